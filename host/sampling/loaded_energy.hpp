// What the copies of an Energy share.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "ebmcuda/energy.hpp"
#include "host/engine/engine.hpp"

namespace ebm {

// energy[i] -= log_jacobian[i], in double: from model space to data units where the transform is not affine.
void subtract_log_jacobian(std::span<const double> log_jacobian, std::span<float> energy);

struct Energy::Loaded {
  Loaded(const Mlp& mlp, const Device& on);
  // Before `function` computes: a change of its parameters that failed halfway is undone, by another change to those
  // of `model`, which may fail too.
  void settle();
  // ConfigError on an engine without a queue, which has no device memory either.
  const DeviceQueue& queue() const;

  Mlp model;
  Device device;
  std::unique_ptr<Engine> engine;
  std::unique_ptr<EnergyFunction> function;
  std::atomic<std::uint64_t> version = 0;  // of the parameters
  std::atomic<bool> mixed = false;         // whether `function` may hold a part of other parameters
  mutable std::mutex mutex;                // of what follows and of `function`, whose chain sets need none
  mutable std::vector<float> points;       // model space, where that is another
  mutable std::vector<float> unwanted;     // energies that nobody asked for
};

}  // namespace ebm
