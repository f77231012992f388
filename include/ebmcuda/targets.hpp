// Distributions in any number of dimensions D of which everything is known: the energy with its gradient, log Z in
// closed form, and exact draws. For tests of samplers, of models and of estimates of log Z, yours or ours. Definitions:
// docs/densities.md.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "ebmcuda/export.hpp"
#include "ebmcuda/matrix.hpp"

namespace ebm {

enum class TargetKind {
  gaussian,    // independent, standard deviations from 0.1 to 10
  correlated,  // each coordinate follows its neighbour: correlation 0.95^distance
  mixture,     // five Gaussians of weights 1 : 2 : 3 : 4 : 5
  twonorm,     // two Gaussians, 4 apart (Breiman 1996)
  ringnorm,    // a wide Gaussian around a narrow one (Breiman 1996)
  funnel,      // Neal 2003; D >= 2
  pieces,      // independent coordinates of three kinds: bimodal, heavy tails, skew
};

EBMCUDA_API std::vector<TargetKind> all_targets();
EBMCUDA_API std::string_view to_string(TargetKind kind);
// Throws ConfigError that lists the names.
EBMCUDA_API TargetKind parse_target(std::string_view name, std::string_view field = "name");

class EBMCUDA_API Target {
 public:
  // Throws ConfigError unless dim is in 1 .. 16384 (funnel: from 2).
  Target(TargetKind kind, int dim);

  TargetKind kind() const noexcept { return kind_; }
  int dim() const noexcept { return dim_; }

  // E(x), p(x) = exp(-E(x)) / Z, x [D]; computed in double. Throws ConfigError when x does not hold D values.
  double energy(std::span<const float> x) const;
  void gradient(std::span<const float> x, std::span<float> result) const;  // dE/dx
  double log_z() const noexcept { return log_z_; }
  double log_density(std::span<const float> x) const { return -energy(x) - log_z_; }  // nats
  // -integral of p log p, nats, where it has a closed form; the best attainable mean log-likelihood is its negative.
  std::optional<double> entropy() const;

  // n exact draws, [n, D]. Point i depends only on (seed, first + i). Throws ConfigError for n outside 1 .. 2^40, and
  // first + n > 2^56.
  Matrix draw(std::int64_t n, std::uint64_t seed, std::uint64_t first = 0) const;

 private:
  template <class Visit>
  EBMCUDA_HIDDEN void visit_components(std::span<const float> x, const Visit& visit) const;
  EBMCUDA_HIDDEN void require_point(std::span<const float> x) const;
  EBMCUDA_HIDDEN void draw_row(std::uint64_t seed, std::uint64_t point, std::span<float> row) const;
  TargetKind kind_;
  int dim_;
  double log_z_;
};

}  // namespace ebm
