#include "tools/known_density.hpp"

#include <fmt/format.h>

#include "ebmcuda/error.hpp"

namespace ebm::tools {

std::string density_names() {
  std::string names;
  for (const Density2d density : all_densities_2d()) names += fmt::format(" {}", ebm::to_string(density));
  names += ", or of any dimension:";
  for (const TargetKind kind : all_targets()) names += fmt::format(" {}", ebm::to_string(kind));
  return names;
}

std::optional<DensityName> find_density(std::string_view name) {
  for (const Density2d density : all_densities_2d()) {
    if (ebm::to_string(density) == name) return density;
  }
  for (const TargetKind kind : all_targets()) {
    if (ebm::to_string(kind) == name) return kind;
  }
  return std::nullopt;
}

DensityName parse_density(std::string_view name, std::string_view option) {
  if (const auto found = find_density(name)) return *found;
  throw ConfigError(std::string(option), std::string(name), "must be one of" + density_names());
}

std::string to_string(DensityName name) {
  return std::visit([](auto value) { return std::string(ebm::to_string(value)); }, name);
}

bool has_any_dimension(DensityName name) { return std::holds_alternative<TargetKind>(name); }

namespace {

std::variant<Density2d, Target> density_of(DensityName name, int dim, std::string_view option) {
  if (const auto* kind = std::get_if<TargetKind>(&name)) return Target(*kind, dim);
  if (dim != 2) {
    throw ConfigError(std::string(option), to_string(name),
                      fmt::format("is a density in the plane, not of D = {}", dim));
  }
  return std::get<Density2d>(name);
}

}  // namespace

KnownDensity::KnownDensity(DensityName name, int dim, std::string_view option)
    : density_(density_of(name, dim, option)) {}

int KnownDensity::dim() const {
  const auto* target = std::get_if<Target>(&density_);
  return target == nullptr ? 2 : target->dim();
}

Matrix KnownDensity::draw(std::int64_t n, std::uint64_t seed, std::uint64_t first) const {
  if (const auto* target = std::get_if<Target>(&density_)) return target->draw(n, seed, first);
  return ebm::draw(std::get<Density2d>(density_), n, seed, first);
}

std::vector<double> KnownDensity::log_density(MatrixView x) const {
  std::vector<double> result(x.rows);
  for (std::size_t i = 0; i < x.rows; ++i) {
    const auto row = x.row(i);
    if (const auto* target = std::get_if<Target>(&density_)) {
      result[i] = target->log_density(row);
    } else {
      result[i] =
          ebm::log_density(std::get<Density2d>(density_), static_cast<double>(row[0]), static_cast<double>(row[1]));
    }
  }
  return result;
}

std::optional<double> KnownDensity::entropy() const {
  if (const auto* target = std::get_if<Target>(&density_)) return target->entropy();
  return ebm::entropy(std::get<Density2d>(density_));
}

}  // namespace ebm::tools
