#include "host/sampling/fixed_coordinates.hpp"

#include <cmath>
#include <optional>

#include "host/core/check.hpp"

namespace ebm {
namespace {

constexpr std::string_view kField = "fixed";

std::string place(std::size_t i, std::size_t d) { return fmt::format("row {}, column {}", i, d); }

// The first fixed coordinate after a free one, row and column.
std::optional<std::pair<std::size_t, std::size_t>> first_behind_free(MatrixView values) {
  for (std::size_t i = 0; i < values.rows; ++i) {
    for (std::size_t d = 1; d < values.cols; ++d) {
      if (!std::isnan(values.row(i)[d]) && std::isnan(values.row(i)[d - 1])) return std::pair(i, d);
    }
  }
  return std::nullopt;
}

}  // namespace

Matrix FixedCoordinates::filled(MatrixView values, const Mlp& model) {
  const Matrix centre = model.to_data_units(Matrix(1, values.cols));
  Matrix x(values.rows, values.cols);
  for (std::size_t i = 0; i < values.rows; ++i) {
    for (std::size_t d = 0; d < values.cols; ++d) {
      const float value = values.row(i)[d];
      x(i, d) = std::isnan(value) ? centre(0, d) : value;
    }
  }
  return x;
}

void FixedCoordinates::require_values(MatrixView values, const Mlp& model) {
  const auto dim = static_cast<std::size_t>(model.dim());
  require(values.rows > 0, kField, "0 rows", "must hold at least one chain");
  require(values.cols == dim, kField, fmt::format("{} x {}", values.rows, values.cols),
          fmt::format("must hold D = {} columns", dim));
  for (std::size_t i = 0; i < values.rows; ++i) {
    for (std::size_t d = 0; d < dim; ++d) {
      require(!std::isinf(values.row(i)[d]), kField, values.row(i)[d],
              fmt::format("must be finite, or NaN where a coordinate is free ({})", place(i, d)));
    }
  }
  if (model.transform().affine()) return;
  std::vector<double> log_jacobian(values.rows);
  const Matrix x = filled(values, model);
  model.transform().log_jacobian(x.values(), log_jacobian);
  for (std::size_t i = 0; i < values.rows; ++i) {
    require(std::isfinite(log_jacobian[i]), kField, fmt::format("row {}", i),
            "the model's density is 0 at these values: one lies outside what its column can be");
  }
}

bool FixedCoordinates::can_fix(MatrixView values, const Mlp& model) {
  return model.transform().separable() || !first_behind_free(values);
}

FixedCoordinates::FixedCoordinates(MatrixView values, const Mlp& model, const Transition& transition)
    : values_(values.values().begin(), values.values().end()) {
  require_values(values, model);
  if (!can_fix(values, model)) {
    const auto behind = first_behind_free(values).value();
    reject(kField, place(behind.first, behind.second),
           fmt::format("the model's space mixes each column with those before it ({}): a row can fix its first columns "
                       "there, and this one leaves column {} free (reorder_columns() makes others the first)",
                       to_string(model.transform().kind()), behind.second - 1));
  }
  for (const float value : values_) mask_.push_back(std::isnan(value) ? 0 : 1);
  const Matrix x = filled(values, model);
  positions_ = model.to_model_space(x);
  require_inside(transition);
}

void FixedCoordinates::put(std::span<float> x) const {
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (mask_[i] != 0) x[i] = values_[i];
  }
}

void FixedCoordinates::require_inside(const Transition& transition) const {
  if (transition.clamp_lo.empty()) return;
  const std::size_t dim = positions_.cols();
  for (std::size_t i = 0; i < mask_.size(); ++i) {
    const float z = positions_.values()[i];
    const bool inside = z >= transition.clamp_lo[i % dim] && z <= transition.clamp_hi[i % dim];
    require(mask_[i] == 0 || inside, kField, place(i / dim, i % dim), "must lie in the box given as clamp");
  }
}

}  // namespace ebm
