// The parameter gradient sum_i c_i dE(x_i)/dtheta, in three launches: forward and backward pass of all rows that keeps
// activations and deltas; their outer products over fixed chunks of kChunkRows rows; the sum over chunks in order. Each
// number is summed in one fixed order, so the bits do not depend on grid or policy.
#pragma once

#include <cuda_runtime.h>

#include "kernels/energy/network.hpp"
#include "kernels/energy/plan.hpp"

namespace ebm {

constexpr int kChunkRows = 128;

// Where the pass keeps a_l (a_0 = x) and c dE/dz_l: rows of `stride` floats, a unit each, points along the row.
struct PassStorage {
  float* values;
  std::int64_t stride;         // a multiple of kChunkRows
  int activation[kMaxLayers];  // first row of the input of linear map l
  int delta[kMaxLayers];       // first row of c dE/d(output of linear map l)
  int rows;
};

struct PassView {
  std::int64_t first, n;  // rows of x to pass through
  const float* x;         // [*, D]
  // c = weights[i] or, where null, +-1/batch (+ below batch, - from there), plus energy_factor E.
  const float* weights;
  std::int64_t batch;
  float energy_factor;
  const int* labels;     // [batch] or null: adds the cross-entropy's gradient over batch for rows below batch
  float* energy;         // [*] or null
  float* cross_entropy;  // [batch], with labels
  const int* stopped;    // or null
  PassStorage storage;
};

cudaError_t launch_pass(const TilePlan& plan, const NetworkView& net, const PassView& view, cudaStream_t stream);

// partial [chunks, parameters]: the outer products of each chunk of the stored rows; n as in the pass.
cudaError_t launch_outer_products(const NetworkView& net, const PassStorage& storage, std::int64_t n, float* partial,
                                  const int* stopped, cudaStream_t stream);

// gradient [parameters] = (continue_sum ? gradient : 0) + partial[0] + partial[1] + ...
cudaError_t launch_sum_chunks(std::uint64_t parameters, std::int64_t chunks, const float* partial, bool continue_sum,
                              double* gradient, const int* stopped, cudaStream_t stream);

}  // namespace ebm
