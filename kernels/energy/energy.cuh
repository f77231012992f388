// Energy and gradient of a tile of chains: forward and backward through the network without leaving the block.
//
// Working memory is rows of Tile floats at the offsets of TileLayout, in shared memory or, when they don't fit, in
// global memory that stays in L2. Every function here is called by the whole block.
#pragma once

#include "kernels/energy/plan.hpp"
#include "kernels/energy/tile.cuh"

namespace ebm {

// One copy of this long switch is enough; the call is cheap beside the sum that precedes it.
__device__ __noinline__ inline void activate4(ActivationKind kind, float4 z, float* value, float* derivative) {
  const Activated p = activate(kind, z.x), q = activate(kind, z.y), r = activate(kind, z.z), s = activate(kind, z.w);
  store4(value, make_float4(p.value, q.value, r.value, s.value));
  store4(derivative, make_float4(p.derivative, q.derivative, r.derivative, s.derivative));
}

// Watches the forward pass; the parameter gradient keeps activations this way.
struct NoObserver {
  __device__ void activations(int, const float*) const {}
};

// How dE/df is weighted: by 1 for sampling, by a chain's share of the loss for training.
struct UnitSeed {
  static constexpr bool kUnit = true, kSlopes = true;
  __device__ float energy_factor(float) const { return 1.0f; }
  __device__ int label() const { return -1; }
  __device__ float label_factor() const { return 0.0f; }
  __device__ void cross_entropy(float) const {}
};

// For the energy alone: no delta is made.
struct NoSeed : UnitSeed {
  static constexpr bool kSlopes = false;
};

template <int Tile>
struct Evaluator {
  const NetworkView& net;
  const TileLayout& layout;
  const float* image;
  float* rows;
  Lane<Tile> lane;

  __device__ float* row(int number) const { return rows + static_cast<std::size_t>(number) * Tile; }

  // E(x) in every thread of the chain; gradient rows are ready when it returns.
  __device__ float energy_gradient(const float* x, float* gradient) const {
    forward(x, NoObserver{});
    const float energy = head(x, UnitSeed{});
    backward_hidden();
    const LayerView& first = net.layer[0];
    const float confinement = 2.0f * net.half_confinement;
    multiply_transposed<Tile>(lane, first, image + first.weight, row(layout.delta[0]), [&](int k, float4 sum) {
      multiply_add(confinement, load4(x + k * Tile + lane.quad), sum);
      store4(gradient + k * Tile + lane.quad, sum);
    });
    __syncthreads();
    return energy;
  }

  // The same E(x), bit for bit, and no gradient.
  __device__ float energy(const float* x) const {
    forward(x, NoObserver{});
    return head(x, NoSeed{});
  }

  // a_l and act'(z_l) of the hidden layers. x must be ready; so are the results.
  template <class Observer>
  __device__ void forward(const float* x, const Observer& observer) const {
    const float* input = x;
    for (int l = 0; l + 1 < net.layers; ++l) {
      float* a = row(layout.activation[l & 1]);
      float* derivative = row(layout.delta[l]);
      multiply<Tile>(lane, net.layer[l], image + net.layer[l].weight, image + net.layer[l].bias, input,
                     [&](int u, const float4& z) {
                       activate4(net.activation, z, a + u * Tile + lane.quad, derivative + u * Tile + lane.quad);
                     });
      __syncthreads();
      observer.activations(l, a);
      input = a;
    }
  }

  // E(x); turns the last layer's derivatives into seed dE/dz and leaves seed dE/df in the head rows, with NoSeed
  // neither.
  template <class Seed>
  __device__ float head(const float* x, const Seed& seed) const {
    return net.logits ? logits_head(x, seed) : scalar_head(x, seed);
  }

  // delta of the hidden layers below the last one.
  __device__ void backward_hidden() const {
    for (int l = net.layers - 2; l >= 1; --l) {
      float* below = row(layout.delta[l - 1]);
      multiply_transposed<Tile>(lane, net.layer[l], image + net.layer[l].weight, row(layout.delta[l]),
                                [&](int k, float4 sum) { scale(below + k * Tile + lane.quad, sum); });
      __syncthreads();
    }
  }

  // f of the output layer into the head rows.
  __device__ void outputs() const {
    const LayerView& last = net.layer[net.layers - 1];
    float* f = row(layout.head);
    multiply<Tile>(lane, last, image + last.weight, image + last.bias, last_activation(),
                   [&](int u, const float4& sum) { store4(f + u * Tile + lane.quad, sum); });
    __syncthreads();
  }

  // With a base: E0(x) and its gradient, as energy_gradient() of E. `view` describes R as a layer.
  __device__ float base_energy_gradient(const BaseView& base, const LayerView& view, const float* x,
                                        float* gradient) const {
    float* difference = row(layout.base_difference);
    float* residual = row(layout.base_residual);
    for (int d = lane.part; d < view.in_pad; d += kParts) {
      difference[d * Tile + lane.chain] = d < net.dim ? x[d * Tile + lane.chain] - base.mean[d] : 0.0f;
    }
    __syncthreads();
    multiply<Tile>(lane, view, base.root, base.root + view.bias, difference,
                   [&](int u, const float4& sum) { store4(residual + u * Tile + lane.quad, sum); });
    __syncthreads();
    float square = 0.0f;
    for (int d = lane.part; d < net.dim; d += kParts) {
      const float r = residual[d * Tile + lane.chain];
      square = fmaf(r, r, square);
    }
    const float energy = 0.5f * sum_over_parts(square);
    multiply_transposed<Tile>(lane, view, base.root, residual,
                              [&](int k, const float4& sum) { store4(gradient + k * Tile + lane.quad, sum); });
    __syncthreads();
    return energy;
  }

  // The sum of the parts' values, in every thread of the chain. The caller syncs before the next call.
  __device__ float sum_over_parts(float part, int buffer = 0) const {
    float* parts = row(layout.parts + buffer * kParts);
    parts[lane.part * Tile + lane.chain] = part;
    __syncthreads();
    return sum_parts<Tile>(parts, lane.chain);
  }

 private:
  __device__ const float* last_activation() const { return row(layout.activation[(net.layers - 2) & 1]); }

  __device__ static void scale(float* at, const float4& factor) {
    const float4 v = load4(at);
    store4(at, make_float4(v.x * factor.x, v.y * factor.y, v.z * factor.z, v.w * factor.w));
  }

  // This part's share of (kappa / 2) |x|^2.
  __device__ float confinement_part(const float* x) const {
    if (net.half_confinement == 0.0f) return 0.0f;
    float square = 0.0f;
    for (int d = lane.part; d < net.dim; d += kParts) {
      const float v = x[d * Tile + lane.chain];
      square = fmaf(v, v, square);
    }
    return net.half_confinement * square;
  }

  template <class Seed>
  __device__ float scalar_head(const float* x, const Seed& seed) const {
    const LayerView& last = net.layer[net.layers - 1];
    const float* w = image + last.weight;
    const float* a = last_activation();
    float part = 0.0f;
    for (int j = lane.part; j < last.in; j += kParts) part = fmaf(w[j], a[j * Tile + lane.chain], part);
    const float energy = sum_over_parts(part + confinement_part(x)) + image[last.bias];
    if constexpr (!Seed::kSlopes) {
      __syncthreads();
      return energy;
    }
    const float factor = seed.energy_factor(energy);
    float* delta = row(layout.delta[net.layers - 2]);
    for (int j = lane.part; j < last.in_pad; j += kParts) {
      delta[j * Tile + lane.chain] *= Seed::kUnit ? w[j] : factor * w[j];
    }
    if (!Seed::kUnit && lane.part == 0) row(layout.head)[lane.chain] = factor;
    __syncthreads();
    return energy;
  }

  template <class Seed>
  __device__ float logits_head(const float* x, const Seed& seed) const {
    const LayerView& last = net.layer[net.layers - 1];
    outputs();
    float* f = row(layout.head) + lane.chain;
    float high = -INFINITY;
    for (int y = lane.part; y < last.out; y += kParts) high = fmaxf(high, f[y * Tile]);
    float* highs = row(layout.parts + kParts);
    highs[lane.part * Tile + lane.chain] = high;
    __syncthreads();
    for (int p = 0; p < kParts; ++p) high = fmaxf(high, highs[p * Tile + lane.chain]);
    float part = 0.0f;
    for (int y = lane.part; y < last.out; y += kParts) part += expf(f[y * Tile] - high);
    const float total = sum_over_parts(part);
    const float log_sum = high + logf(total);
    __syncthreads();
    const float energy = sum_over_parts(confinement_part(x)) - log_sum;
    if constexpr (!Seed::kSlopes) {
      __syncthreads();
      return energy;
    }
    const float factor = seed.energy_factor(energy);
    const int label = seed.label();
    if (label >= 0) seed.cross_entropy(log_sum - f[label * Tile]);
    __syncthreads();
    for (int y = lane.part; y < last.out_pad; y += kParts) {
      const float probability = y < last.out ? expf(f[y * Tile] - high) / total : 0.0f;
      float df = -factor * probability;
      if (label >= 0) df = fmaf(seed.label_factor(), probability - (y == label ? 1.0f : 0.0f), df);
      f[y * Tile] = y < last.out ? df : 0.0f;
    }
    __syncthreads();
    float* delta = row(layout.delta[net.layers - 2]);
    multiply_transposed<Tile>(lane, last, image + last.weight, row(layout.head),
                              [&](int k, const float4& sum) { scale(delta + k * Tile + lane.quad, sum); });
    __syncthreads();
    return energy;
  }
};

}  // namespace ebm
