// E, its gradient and f at given points.
#pragma once

#include <cuda_runtime.h>

#include "kernels/energy/network.hpp"
#include "kernels/energy/plan.hpp"

namespace ebm {

struct EvaluateView {
  std::int64_t n;
  const float* x;      // [n, D]
  float* energy;       // [n] or null
  float* gradient;     // [n, D] or null
  float* outputs;      // [n, outputs] or null; logits head only, and then nothing else is written
  float* base_energy;  // [n] or null
  BaseView base;
  LayerView base_layer;
};

cudaError_t launch_evaluate(const TilePlan& plan, const NetworkView& net, const EvaluateView& view,
                            cudaStream_t stream);

}  // namespace ebm
