// A network's parameters in the order in which the kernels read them.
#pragma once

#include <span>
#include <vector>

#include "ebmcuda/mlp.hpp"
#include "host/cpu/aligned.hpp"

namespace ebm::cpu {

// Rows of a matrix that the micro-kernel computes at once: 6 rows x 2 vectors = 12 accumulators, plus 2 vectors of
// input and 1 broadcast weight, fill the 16 registers of AVX2.
inline constexpr int kPanelRows = 6;

// Rows of the next panel when `left` rows are left. The last 7, 8 or 9 are cut in half: fewer than 4 rows leave the
// multiply-add units waiting for sums to come back (4 cycles x 2 units = 8 accumulators).
constexpr int panel_rows(int left) {
  if (left <= kPanelRows) return left;
  return left < kPanelRows + 4 ? (left + 1) / 2 : kPanelRows;
}

// A [rows, cols] matrix as panels of panel_rows() rows, each panel [cols][panel rows]: the micro-kernel reads it front
// to back.
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
