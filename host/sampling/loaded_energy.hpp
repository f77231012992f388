// What the copies of an Energy share.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>

#include "ebmcuda/energy.hpp"
#include "host/engine/engine.hpp"

namespace ebm {

// `to[i]` = (x - mean) / std or back, element by element of [n, D]: the arithmetic of Mlp::to_model_space() and
// to_data_units().
void to_model_space(const Standardization& s, std::span<const float> x, std::span<float> to);
void to_data_units(const Standardization& s, std::span<float> x);

struct Energy::Loaded {
  Loaded(const Mlp& mlp, const Device& on);
  // ConfigError on an engine without a queue, which has no device memory either.
  const DeviceQueue& queue() const;

  Mlp model;
  Device device;
  std::unique_ptr<Engine> engine;
  std::unique_ptr<EnergyFunction> function;
  std::atomic<std::uint64_t> version = 0;  // of the parameters
  mutable std::mutex mutex;                // of what follows and of `function`, whose chain sets need none
  mutable std::vector<float> points;       // model space, where that is another
  mutable std::vector<float> unwanted;     // energies that nobody asked for
};

}  // namespace ebm
