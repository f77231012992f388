// A network's parameters in the order in which the kernels read them.
#pragma once

#include <span>
#include <vector>

#include "ebmcuda/mlp.hpp"
#include "host/cpu/aligned.hpp"

namespace ebm::cpu {

// Height of a matrix's next panel when `left` rows are left and the micro-kernel computes at most `tallest` at once: as
// few panels as that allows, and those as even as they can be, because a panel of less than 4 rows leaves the
// multiply-add units waiting for sums to come back (4 cycles x 2 units = 8 accumulators, 2 to a row).
constexpr int panel_rows(int left, int tallest) {
  const int panels = (left + tallest - 1) / tallest;
  return (left + panels - 1) / panels;
}

// A [rows, cols] matrix as panels of panel_rows(rows left, panel_height()) rows, each panel [cols][panel rows]: the
// micro-kernel reads it front to back.
struct PackedMatrix {
  int rows = 0;
  int cols = 0;
  AlignedVector<float> panels;

  PackedMatrix() = default;
  PackedMatrix(int n_rows, int n_cols)
      : rows(n_rows), cols(n_cols), panels(static_cast<std::size_t>(n_rows) * static_cast<std::size_t>(n_cols)) {}
  // `values` [rows, cols] row-major.
  void pack(std::span<const float> values);
  // `values` [cols, rows] row-major, packed as its transpose.
  void pack_transposed(std::span<const float> values);
};

struct PackedLayer {
  PackedMatrix forward;   // W   [out, in]
  PackedMatrix backward;  // W^T [in, out]
  AlignedVector<float> bias;
};

struct PackedNetwork {
  MlpShape shape;
  std::vector<PackedLayer> layers;  // the head is the last one

  PackedNetwork(MlpShape network_shape, std::span<const float> parameters);
  // The same shape with other parameters (flat as Mlp::parameters()); allocates nothing.
  void repack(std::span<const float> parameters);

  int hidden_layers() const noexcept { return static_cast<int>(shape.hidden.size()); }
  int width(int hidden_layer) const { return shape.hidden[static_cast<std::size_t>(hidden_layer)]; }
};

}  // namespace ebm::cpu
