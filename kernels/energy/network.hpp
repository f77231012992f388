// A network on the device: what kernels know of it. Its parameters stand in an *image*, laid out for the kernels and
// rebuilt after each change (image.cu): per layer W [out_pad, pitch] row-major, zero-padded, then b [out_pad].
//
// Widths are padded to multiples of 4, so that weights move as float4; pitch is 4 modulo 8 floats, which puts adjacent
// rows on different banks of shared memory.
#pragma once

#include "kernels/math/activation.hpp"

namespace ebm {

constexpr int kMaxLayers = 17;  // linear maps: MlpShape::kMostHidden and the head

struct LayerView {
  int in, out, in_pad, out_pad, pitch;
  std::uint32_t weight, bias;  // offsets into the image, in floats
  std::uint64_t parameter;     // offset of W in the flat parameters; b follows it
};

struct NetworkView {
  int dim, layers, outputs;  // layers: linear maps
  bool logits;
  ActivationKind activation;
  float half_confinement;
  LayerView layer[kMaxLayers];
  std::uint64_t parameters, image_size;  // floats
  const float* image;
};

EBM_HD constexpr int padded(int width) { return (width + 3) / 4 * 4; }
EBM_HD constexpr int padded_pitch(int width) { return padded(width) % 8 == 4 ? padded(width) : padded(width) + 4; }

// E0(x) = |R (x - mean)|^2 / 2; R in the layout of a layer's weights, dim x dim. `root` null: no base.
struct BaseView {
  const float* mean;
  const float* root;
};

}  // namespace ebm
