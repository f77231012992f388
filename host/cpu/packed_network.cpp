#include "host/cpu/packed_network.hpp"

#include <algorithm>

#include "host/cpu/kernels.hpp"

namespace ebm::cpu {

void PackedMatrix::pack(std::span<const float> values) {
  const int tallest = panel_height();
  float* out = panels.data();
  for (int first = 0, height = 0; first < rows; first += height) {
    height = panel_rows(rows - first, tallest);
    const float* in = values.data() + static_cast<std::size_t>(first) * static_cast<std::size_t>(cols);
    for (int c = 0; c < cols; ++c) {
      for (int r = 0; r < height; ++r) *out++ = in[r * cols + c];
    }
  }
}

void PackedMatrix::pack_transposed(std::span<const float> values) {
  const int tallest = panel_height();
  float* out = panels.data();
  for (int first = 0, height = 0; first < rows; first += height) {
    height = panel_rows(rows - first, tallest);
    const float* in = values.data() + first;
    for (int c = 0; c < cols; ++c, in += rows) out = std::copy(in, in + height, out);
  }
}

PackedNetwork::PackedNetwork(MlpShape network_shape, std::span<const float> parameters)
    : shape(std::move(network_shape)) {
  for (int l = 0; l < shape.layers(); ++l) {
    layers.push_back({PackedMatrix(shape.out(l), shape.in(l)), PackedMatrix(shape.in(l), shape.out(l)),
                      AlignedVector<float>(static_cast<std::size_t>(shape.out(l)))});
  }
  repack(parameters);
}

void PackedNetwork::repack(std::span<const float> parameters) {
  for (int l = 0; l < shape.layers(); ++l) {
    auto& layer = layers[static_cast<std::size_t>(l)];
    const auto weights = parameters.subspan(
        shape.weight_offset(l), static_cast<std::size_t>(shape.out(l)) * static_cast<std::size_t>(shape.in(l)));
    layer.forward.pack(weights);
    layer.backward.pack_transposed(weights);
    std::ranges::copy(parameters.subspan(shape.bias_offset(l), layer.bias.size()), layer.bias.begin());
  }
}

}  // namespace ebm::cpu
