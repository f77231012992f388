// The parameter gradient sum_i c_i dE(x_i)/dtheta, in three launches: forward and backward pass of all rows that keeps
// activations and deltas; their outer products over chunks of kChunkRows rows; the tree over chunks. That is the order
// of summation of kernels/math/ordered_sum.hpp, so the bits do not depend on grid or policy.
//
// The rows of a pass are one or two *parts* (data and samples), which are cut into chunks and summed apart, then added.
#pragma once

#include <cuda_runtime.h>

#include "kernels/energy/network.hpp"
#include "kernels/energy/plan.hpp"
#include "kernels/math/ordered_sum.hpp"
#include "kernels/training/batch_loss.hpp"

namespace ebm {

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
  // The rows' weights, or null: then rows below `batch` weigh as loss.data says, and those from there as loss.samples.
  const float* weights;
  std::int64_t batch;
  BatchLoss loss;
  const int* labels;     // [batch] of the data rows, or null
  float* energy;         // [*] or null
  float* cross_entropy;  // [batch], with labels
  const int* stopped;    // or null
  PassStorage storage;
};

cudaError_t launch_pass(const TilePlan& plan, const NetworkView& net, const PassView& view, cudaStream_t stream);

// partial [parts, chunks_of(part_rows), parameters]: the outer products of each chunk of the stored rows, part after
// part.
cudaError_t launch_outer_products(const NetworkView& net, const PassStorage& storage, std::int64_t parts,
                                  std::int64_t part_rows, float* partial, const int* stopped, cudaStream_t stream);

// sum [n] = the tree over partial[0][0..chunks-1], plus the tree over partial[1][...] and so on; partial
// [parts, chunks, n]. `sum` may be the first of them.
cudaError_t launch_sum_chunks(std::uint64_t n, std::int64_t parts, std::int64_t chunks, const float* partial,
                              float* sum, const int* stopped, cudaStream_t stream);

}  // namespace ebm
