// The layered path: networks that the fused kernels do not hold well, by one product of cuBLASLt for each layer and
// direction. Points and chains go through it in chunks of one size, all steps of a chunk before the next one, so that
// what a chunk needs beside the weights stays near the second-level cache; the host queues a step's kernels and does
// not wait.
//
//   forward   z_l = a_{l-1} W_l^T + b_l (the product adds b_l),  a_l = act(z_l)
//   head      E, and dE/dz of the last hidden layer in place of z
//   backward  g = delta_l W_l,  delta_{l-1} = g act'(z_{l-1}) in place of z;  grad E = delta_0 W_0 + kappa x (the
//             product adds kappa x)
//
// A chunk is always multiplied whole, whatever number of its rows is in use, by algorithms that are chosen once and
// split no sum (Product). So a chain's bits depend on the network, the device and the version of cuBLASLt, and not on
// the number of chains or how they are shared out.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "host/cuda/cublaslt.hpp"
#include "host/cuda/memory.hpp"
#include "host/cuda/network.hpp"
#include "kernels/chains/layered_chains.hpp"
#include "kernels/energy/evaluate.hpp"

namespace ebm::cuda {

// What a gradient of E costs a chain among many, in clocks of one multiprocessor, by resources alone
// (docs/performance.md): multiplications and additions at 128 a clock, and 28 bytes of the second-level cache a clock.
struct PathCost {
  double fused, layered;
};
PathCost path_cost(const NetworkView& net, const DeviceLimits& limits);

// A network's products.
class LayeredNetwork {
 public:
  LayeredNetwork(const Network& network, const CublasLt& library);

  const std::shared_ptr<const Context>& context() const noexcept { return context_; }
  const NetworkView& view() const noexcept { return net_; }
  std::int64_t chunk() const noexcept { return chunk_; }
  // z_l from a_{l-1}; dE/da_{l-1} from delta_l.
  const Product& forward(int l) const { return forward_[static_cast<std::size_t>(l)]; }
  const Product& backward(int l) const { return backward_[static_cast<std::size_t>(l)]; }
  // Of a matrix laid out like a layer's weights, without a bias.
  Product product(const LayerView& layer, bool transposed, const float* bias = nullptr) const;
  // "layered fp32, cuBLASLt 13.0.2, chunks of 1024 chains"
  std::string describe() const;

 private:
  std::shared_ptr<const Context> context_;
  NetworkView net_;
  std::int64_t chunk_;
  std::shared_ptr<const CublasLtHandle> handle_;
  std::vector<Product> forward_, backward_;
};

// Chains or points in a chunk, always. By the network alone: a chain's bits hang on it. (EBMCUDA_LAYERED_CHUNK stands
// in for it, to measure and to test.)
std::int64_t layered_chunk(const NetworkView& net);

// Whether a network goes this way: by path_cost(), or as EBMCUDA_LAYERED says ("on": whatever can, "off": nothing).
struct LayeredChoice {
  std::shared_ptr<const LayeredNetwork> network;  // null: it does not
  std::string why_not;                            // set where it should and cannot
};
LayeredChoice choose_layered(const Network& network);

// Working memory for one caller at a time; work is queued on a stream in order.
class LayeredWork {
 public:
  // `base`: points and chains have one (StepView::base).
  LayeredWork(std::shared_ptr<const LayeredNetwork> network, bool base);

  // As launch_evaluate(). half_confinement stands in for the network's.
  void evaluate(const EvaluateView& view, float half_confinement, cudaStream_t stream);
  // All that run() needs and a capture cannot take: memory, and each product once, which may load its kernel.
  void prepare(SamplerKind kind);
  // n transitions of every chain of a set, as launch_chains().
  void run(const ChainsView& chains, const StepView& step, std::int64_t n, ChainCounts* counts, cudaStream_t stream);

 private:
  void reserve(int rows, bool states);
  std::size_t matrix(int width) const;
  float* row(int number);
  // E of the first `count` rows of x to energy_; its gradient unless that is null.
  void evaluate_rows(const float* x, std::int64_t count, float half_confinement, float* gradient, cudaStream_t stream);
  void evaluate_outputs(const float* x, std::int64_t count, cudaStream_t stream);
  void forward_hidden(const float* x, std::int64_t count, cudaStream_t stream);
  // E0 and its gradient.
  void evaluate_base(const BaseView& base, const float* x, std::int64_t count, cudaStream_t stream);
  void run_chunk(const LayeredChunk& chunk, std::int64_t n, cudaStream_t stream);

  std::shared_ptr<const LayeredNetwork> network_;
  std::shared_ptr<const Context> context_;
  DeviceArray<float> memory_;  // of all that follows
  std::vector<float*> z_;      // of the hidden layers; on the way back delta
  float* a_ = nullptr;         // activations of the layer at hand; on the way back dE/da
  float* f_ = nullptr;         // logits
  float *energy_ = nullptr, *base_energy_ = nullptr;
  float *own_gradient_ = nullptr, *base_gradient_ = nullptr, *difference_ = nullptr, *residual_ = nullptr;
  std::vector<Product> base_;  // R (x - mean) and R^T r, or empty
  int reserved_ = 0;
  DeviceArray<float> rows_;  // the sampler's, `reserved_` matrices
  DeviceArray<unsigned char> states_;
};

}  // namespace ebm::cuda
