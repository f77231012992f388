// E, its gradient and f at given points: one evaluation of the tile that the chain kernels run K times.
#include "kernels/energy/block.cuh"
#include "kernels/energy/evaluate.hpp"

namespace ebm {
namespace {

struct EvaluateArguments {
  NetworkView net;
  TileLayout layout;
  EvaluateView view;
  float* slab;
};

template <int Tile, bool WeightsShared, bool StateShared>
__global__ void __launch_bounds__(Lane<Tile>::kThreads) evaluate_kernel(const __grid_constant__ EvaluateArguments a) {
  const BlockMemory memory = open_block<Tile, WeightsShared, StateShared>(a.net, a.layout, a.slab);
  const Evaluator<Tile> evaluator = make_evaluator<Tile>(a.net, a.layout, memory);
  const Lane<Tile>& lane = evaluator.lane;
  const EvaluateView& view = a.view;
  const int dim = a.net.dim;
  float* const x = evaluator.row(a.layout.x);
  float* const gradient = evaluator.row(a.layout.gradient);

  for (std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * Tile; first < view.n;
       first += static_cast<std::int64_t>(gridDim.x) * Tile) {
    const std::int64_t row = first + lane.chain;
    const bool exists = row < view.n;
    for (int d = lane.part; d < padded(dim); d += kParts) {
      x[d * Tile + lane.chain] = d < dim && exists ? view.x[row * dim + d] : 0.0f;
    }
    __syncthreads();
    if (view.outputs != nullptr) {
      evaluator.forward(x, NoObserver{});
      evaluator.outputs();
      const float* f = evaluator.row(a.layout.head) + lane.chain;
      for (int y = lane.part; y < a.net.outputs && exists; y += kParts)
        view.outputs[row * a.net.outputs + y] = f[y * Tile];
      __syncthreads();
      continue;
    }
    const float energy = view.gradient != nullptr ? evaluator.energy_gradient(x, gradient) : evaluator.energy(x);
    if (exists) {
      if (lane.part == 0 && view.energy != nullptr) view.energy[row] = energy;
      for (int d = lane.part; d < dim && view.gradient != nullptr; d += kParts) {
        view.gradient[row * dim + d] = gradient[d * Tile + lane.chain];
      }
    }
    __syncthreads();
    if (view.base_energy != nullptr) {
      const float base = evaluator.base_energy_gradient(view.base, view.base_layer, x, gradient);
      if (exists && lane.part == 0) view.base_energy[row] = base;
      __syncthreads();
    }
  }
}

}  // namespace

cudaError_t launch_evaluate(const TilePlan& plan, const NetworkView& net, const EvaluateView& view,
                            cudaStream_t stream) {
  const EvaluateArguments arguments{net, plan.layout, view, plan.slab};
  return launch_tiles(plan, view.n, stream, [&](auto tile, auto weights_shared, auto state_shared) {
    return TileKernel{evaluate_kernel<tile(), weights_shared(), state_shared()>, arguments};
  });
}

}  // namespace ebm
