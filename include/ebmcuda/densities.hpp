// Six exact densities in the plane: what a model is trained on is drawn from them, and how far it is from the truth is
// a number. Definitions and entropies: docs/densities.md.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "ebmcuda/export.hpp"
#include "ebmcuda/matrix.hpp"

namespace ebm {

enum class Density2d { two_moons, eight_gaussians, twenty_five_gaussians, rings, spirals, checkerboard };

EBMCUDA_API std::vector<Density2d> all_densities_2d();
EBMCUDA_API std::string_view to_string(Density2d density);
// Throws ConfigError that lists the names.
EBMCUDA_API Density2d parse_density_2d(std::string_view name, std::string_view field = "name");

// n exact draws, [n, 2]. Point i depends only on (seed, first + i).
EBMCUDA_API Matrix draw(Density2d density, std::int64_t n, std::uint64_t seed, std::uint64_t first = 0);
// log p(x), nats; -infinity outside the support (checkerboard).
EBMCUDA_API double log_density(Density2d density, double x, double y);
// -integral of p log p, nats; the best attainable mean log-likelihood is its negative.
EBMCUDA_API double entropy(Density2d density);

}  // namespace ebm
