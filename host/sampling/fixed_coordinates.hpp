// Coordinates that chains hold fixed: from a user's rows, data units with NaN where free, to model space.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ebmcuda/matrix.hpp"
#include "ebmcuda/mlp.hpp"
#include "host/engine/engine.hpp"

namespace ebm {

// A coordinate that is fixed in data units is fixed in model space where the transform acts on each column alone. One
// that whitens has z_d follow from x_0 .. x_d, L being lower triangular: there the first columns can be fixed.
class FixedCoordinates {
 public:
  // Throws ConfigError for values [n, D] that are infinite or where the model's density is 0.
  static void require_values(MatrixView values, const Mlp& model);
  // Whether chains of the model can hold these coordinates as they are.
  static bool can_fix(MatrixView values, const Mlp& model);

  // `values` [n, D]. Throws ConfigError for values that are infinite, outside the transition's box or where the model's
  // density is 0, and for columns that cannot be fixed.
  FixedCoordinates(MatrixView values, const Mlp& model, const Transition& transition);

  // For ChainSet::fix.
  std::span<const std::uint8_t> mask() const noexcept { return mask_; }
  // Positions with these coordinates and any others, model space.
  const Matrix& positions() const noexcept { return positions_; }
  // Writes the fixed values into x [n, D], data units.
  void put(std::span<float> x) const;
  // Throws ConfigError unless a new transition's box holds the values.
  void require_inside(const Transition& transition) const;

 private:
  // With the free coordinates in the middle of model space.
  static Matrix filled(MatrixView values, const Mlp& model);

  std::vector<float> values_;
  std::vector<std::uint8_t> mask_;
  Matrix positions_;
};

}  // namespace ebm
