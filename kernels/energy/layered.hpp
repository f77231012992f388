// What stands between the products of the layered path (host/cuda/layered.hpp): activations, slopes and heads of a
// chunk of points. A chunk's matrices hold a point in each row, padded(width) floats from one to the next; what is
// behind a width is zero wherever it is multiplied by anything but the zeros of the weights' padding.
//
// Sums over a row have one order, which depends on its length alone: 32 lanes, each its blocks of four in turn, then a
// tree.
#pragma once

#include <cuda_runtime.h>

#include "kernels/energy/network.hpp"

namespace ebm {

// A vector of `width` numbers for each of `rows` points.
struct LayeredRows {
  std::int64_t rows;
  int width;
};

// [rows, cols] between matrices of other pitches.
cudaError_t launch_copy_rows(const float* from, int from_pitch, float* to, int to_pitch, LayeredRows size,
                             cudaStream_t stream);
// a = act(z)
cudaError_t launch_activate(ActivationKind kind, const float* z, float* a, LayeredRows size, cudaStream_t stream);
// z <- g act'(z)
cudaError_t launch_slope(ActivationKind kind, const float* g, float* z, LayeredRows size, cudaStream_t stream);

struct LayeredHead {
  LayeredRows size;  // width: of the last hidden layer, or of f
  const float* x;    // [rows, padded(dim)], for the confinement
  int dim;
  float half_confinement;
  const float* weight;  // scalar head: w_out
  const float* bias;    // scalar head: b_out
  bool slopes;          // else the energy alone
  float* energy;        // [rows]
};
// Scalar head: E from the last hidden layer's z, and z <- w_out act'(z).
cudaError_t launch_scalar_head(ActivationKind kind, const LayeredHead& head, float* z, cudaStream_t stream);
// Logits: E from f, and f <- dE/df.
cudaError_t launch_logits_head(const LayeredHead& head, float* f, cudaStream_t stream);

// x - mean
cudaError_t launch_difference(const float* x, const float* mean, float* difference, LayeredRows size,
                              cudaStream_t stream);
// energy = |r|^2 / 2
cudaError_t launch_half_square(const float* r, float* energy, LayeredRows size, cudaStream_t stream);

}  // namespace ebm
