// The densities that ebm data draws from: those in the plane, and targets in any number of dimensions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "ebmcuda/densities.hpp"
#include "ebmcuda/matrix.hpp"
#include "ebmcuda/targets.hpp"

namespace ebm::tools {

using DensityName = std::variant<Density2d, TargetKind>;

std::string density_names();  // " two_moons ...", and those of any dimension
std::optional<DensityName> find_density(std::string_view name);
DensityName parse_density(std::string_view name, std::string_view option);  // ConfigError that lists the names
std::string to_string(DensityName name);
bool has_any_dimension(DensityName name);

class KnownDensity {
 public:
  // Throws ConfigError that names `option` for a density in the plane and another dimension, and as Target.
  KnownDensity(DensityName name, int dim, std::string_view option);

  int dim() const;
  Matrix draw(std::int64_t n, std::uint64_t seed, std::uint64_t first) const;
  std::vector<double> log_density(MatrixView x) const;
  std::optional<double> entropy() const;

 private:
  std::variant<Density2d, Target> density_;
};

}  // namespace ebm::tools
