// Several models of the same data as one density, their average: p(x) = (1/M) sum over m of p_m(x), where
// log p_m(x) = -E_m(x) - log Z_m, each member with its own log Z. For the same members it is never below the mean of
// their log densities (Jensen), and errors that are each model's own average out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "ebmcuda/device.hpp"
#include "ebmcuda/export.hpp"
#include "ebmcuda/log_z.hpp"
#include "ebmcuda/matrix.hpp"
#include "ebmcuda/mlp.hpp"
#include "ebmcuda/sampler.hpp"

namespace ebm {

// The seed of member m where `seed` is all that is given: seed + m * 0x9E3779B97F4A7C15 modulo 2^64 (2^64 over the
// golden ratio), so that member 0 is the model of that seed.
EBMCUDA_API std::uint64_t member_seed(std::uint64_t seed, std::size_t member);

struct EBMCUDA_API EnsembleMember {
  Mlp model;
  double log_z = 0;          // of exp(-E), nats, data units; over `box` where there is one
  double log_z_error = 0;    // >= 0: its standard error
  std::optional<Box> box{};  // data units; p_m is 0 outside
};

struct EBMCUDA_API EnsembleLikelihood {
  double mean = 0;            // nats per point, data units
  double standard_error = 0;  // of the mean over the points, every log Z taken as given; NaN for one point
  // What the members' errors of log Z make of it: those are independent, and member m counts by its share of p(x) in
  // the mean over the points.
  double log_z_error = 0;
};

class EBMCUDA_API Ensemble {
 public:
  // Loads the members. Throws ConfigError for no member, members of different D, a log Z or an error that is not
  // finite.
  explicit Ensemble(const std::vector<EnsembleMember>& members, const Device& device = Device::automatic());
  ~Ensemble();
  Ensemble(Ensemble&&) noexcept;
  Ensemble& operator=(Ensemble&&) noexcept;

  std::size_t size() const noexcept;  // M
  int dim() const noexcept;

  // log p of each row of `x` [N, D], nats, data units; -infinity where every p_m is 0. Throws ConfigError on a wrong
  // shape or a non-finite x.
  std::vector<double> log_density(MatrixView x) const;
  // [M, N]: those of the members.
  std::vector<std::vector<double>> member_log_densities(MatrixView x) const;
  EnsembleLikelihood log_likelihood(MatrixView x) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Chains of an ensemble: each is of one member, the chain with id i of member i mod M, so that all are drawn equally
// often. Within its member it is chain i / M of member_seed(seed, m). `samplers`: one for each member. A chain depends
// on its id, not on the others. `fixed` is refused: the members' shares of a conditional density are not equal. The
// engine named is the last member's, replicas are the first's; stats are of all. Throws as sample().
EBMCUDA_API SampleResult sample(const std::vector<Mlp>& models, const std::vector<Sampler>& samplers,
                                const SampleOptions& options, const Device& device = Device::automatic());

}  // namespace ebm
