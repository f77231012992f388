// Energy and gradient of a tile of chains: forward and backward through the network without leaving the block.
//
// Working memory is rows of Tile floats at the offsets of TileLayout, in shared memory or, when they don't fit, in
// global memory that stays in L2. Every function here is called by the whole block.
#pragma once

#include "kernels/energy/plan.hpp"
#include "kernels/energy/tile.cuh"

namespace ebm {

// Activations of values that share a kind: the switch stands around them, and they stay in registers.
template <ActivationKind Kind, int N>
__device__ __forceinline__ void activate_as(const Values<N>& z, Values<N>& value, Values<N>& derivative) {
#pragma unroll
  for (int c = 0; c < N; ++c) {
    const Activated a = activate(Kind, z.v[c]);
    value.v[c] = a.value;
    derivative.v[c] = a.derivative;
  }
}
template <int N>
struct ActivatedValues {
  Values<N> value, derivative;
};
template <int N>
__device__ __forceinline__ ActivatedValues<N> activate_inline(ActivationKind kind, const Values<N>& z) {
  ActivatedValues<N> r;
  switch (kind) {
    case ActivationKind::silu:
      activate_as<ActivationKind::silu>(z, r.value, r.derivative);
      break;
    case ActivationKind::softplus:
      activate_as<ActivationKind::softplus>(z, r.value, r.derivative);
      break;
    case ActivationKind::tanh:
      activate_as<ActivationKind::tanh>(z, r.value, r.derivative);
      break;
    case ActivationKind::gelu:
      activate_as<ActivationKind::gelu>(z, r.value, r.derivative);
      break;
    case ActivationKind::elu:
      activate_as<ActivationKind::elu>(z, r.value, r.derivative);
      break;
    case ActivationKind::relu:
      activate_as<ActivationKind::relu>(z, r.value, r.derivative);
      break;
  }
  return r;
}
// One copy of the switch for the many places of a wide tile; arguments and results stay in registers.
__device__ __noinline__ inline ActivatedValues<4> activate_call(ActivationKind kind, float x, float y, float z,
                                                                float w) {
  return activate_inline<4>(kind, {{x, y, z, w}});
}
template <int N>
__device__ __forceinline__ ActivatedValues<N> activate(ActivationKind kind, const Values<N>& z) {
  if constexpr (N == 4) {
    return activate_call(kind, z.v[0], z.v[1], z.v[2], z.v[3]);
  } else {
    return activate_inline(kind, z);
  }
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

// Rows of TileLayout::parts: two buffers for sums over parts, and the parts of E.
constexpr int kEnergyParts = 2 * kParts;

template <int Tile>
struct Evaluator {
  const NetworkView& net;
  const TileLayout& layout;
  const float* image;
  float* rows;
  Lane<Tile> lane;
  HeldWeights<Tile> held;
  using Vector = Values<Lane<Tile>::kChains>;

  __device__ float* row(int number) const { return rows + static_cast<std::size_t>(number) * Tile; }

  // E(x) in every thread of the chain; gradient rows are ready when it returns. meanwhile() is called by every thread
  // between the first two barriers, for work that threads without a share of the products can do.
  template <class Meanwhile>
  __device__ float energy_gradient(const float* x, float* gradient, const Meanwhile& meanwhile) const {
    // A scalar head's dE/da is w_out, so the last layer's delta is made with its activation and nothing waits for E.
    forward<true>(x, NoObserver{}, meanwhile);
    float energy = 0.0f;
    if (net.logits) {
      energy = logits_head(x, UnitSeed{});
    } else {
      put_energy_part(x);
    }
    backward_hidden();
    const float confinement = 2.0f * net.half_confinement;
    multiply_hidden_transposed(0, row(layout.delta[0]), [&](int k, Vector sum) {
      multiply_add(confinement, load_own(x, k), sum);
      store_own(gradient, k, sum);
    });
    __syncthreads();
    if (net.logits) return energy;
    return sum_parts<Tile>(row(layout.parts + kEnergyParts), lane.chain) + image[net.layer[net.layers - 1].bias];
  }
  __device__ float energy_gradient(const float* x, float* gradient) const {
    return energy_gradient(x, gradient, [] {});
  }

  // The same E(x), bit for bit, and no gradient.
  __device__ float energy(const float* x) const {
    forward(x, NoObserver{});
    return head(x, NoSeed{});
  }

  // a_l and act'(z_l) of the hidden layers; with `Seeded` and a scalar head, of the last one w_out act'(z). x must be
  // ready; so are the results.
  template <bool Seeded = false, class Observer, class Meanwhile>
  __device__ void forward(const float* x, const Observer& observer, const Meanwhile& meanwhile) const {
    const float* const w_out = image + net.layer[net.layers - 1].weight;
    const float* input = x;
    for (int l = 0; l + 1 < net.layers; ++l) {
      float* a = row(layout.activation[l & 1]);
      float* derivative = row(layout.delta[l]);
      const bool seeded = Seeded && l + 2 == net.layers && !net.logits;
      multiply_hidden(l, input, [&](int u, const Vector& z) {
        const ActivatedValues<Lane<Tile>::kChains> r = activate(net.activation, z);
        store_own(a, u, r.value);
        store_own(derivative, u, seeded ? scaled(w_out[u], r.derivative) : r.derivative);
      });
      __syncthreads();
      if (l == 0) meanwhile();
      observer.activations(l, a);
      input = a;
    }
  }
  template <class Observer>
  __device__ void forward(const float* x, const Observer& observer) const {
    forward(x, observer, [] {});
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
      multiply_hidden_transposed(l, row(layout.delta[l]), [&](int k, const Vector& sum) { scale(below, k, sum); });
      __syncthreads();
    }
  }

  // f of the output layer into the head rows.
  __device__ void outputs() const {
    const LayerView& last = net.layer[net.layers - 1];
    float* f = row(layout.head);
    multiply<Tile>(lane, last, image + last.weight, image + last.bias, last_activation(),
                   [&](int u, const Vector& sum) { store_own(f, u, sum); });
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
                   [&](int u, const Vector& sum) { store_own(residual, u, sum); });
    __syncthreads();
    float square = 0.0f;
    for (int d = lane.part; d < net.dim; d += kParts) {
      const float r = residual[d * Tile + lane.chain];
      square = fmaf(r, r, square);
    }
    const float energy = 0.5f * sum_over_parts(square);
    multiply_transposed<Tile>(lane, view, base.root, residual,
                              [&](int k, const Vector& sum) { store_own(gradient, k, sum); });
    __syncthreads();
    return energy;
  }

  // The sum of the parts' values, in every thread of the chain. The caller syncs before the next call.
  __device__ float sum_over_parts(float part, int buffer = 0) const {
    float* parts = row(layout.parts + buffer * kParts);
    if (lane.has_part()) parts[lane.part * Tile + lane.chain] = part;
    __syncthreads();
    return sum_parts<Tile>(parts, lane.chain);
  }

 protected:
  __device__ const float* last_activation() const { return row(layout.activation[(net.layers - 2) & 1]); }

  template <class Epilogue>
  __device__ __forceinline__ void multiply_hidden(int l, const float* input, const Epilogue& epilogue) const {
    const LayerView& own = net.layer[l];
    if constexpr (Tile == 2) {
      if (held.has(l)) return held.multiply(lane, own, image + own.bias, input, epilogue);
    }
    multiply<Tile>(lane, own, image + own.weight, image + own.bias, input, epilogue);
  }
  template <class Epilogue>
  __device__ __forceinline__ void multiply_hidden_transposed(int l, const float* delta,
                                                             const Epilogue& epilogue) const {
    const LayerView& own = net.layer[l];
    if constexpr (Tile == 2) {
      if (held.has(l)) return held.multiply_transposed(lane, own, delta, epilogue);
    }
    multiply_transposed<Tile>(lane, own, image + own.weight, delta, epilogue);
  }

  // The thread's chains of row r of `rows`.
  __device__ Vector load_own(const float* rows, int r) const {
    return load<Lane<Tile>::kChains>(rows + r * Tile + lane.first);
  }
  __device__ void store_own(float* rows, int r, const Vector& v) const { store(rows + r * Tile + lane.first, v); }
  __device__ static Vector scaled(float factor, Vector v) {
#pragma unroll
    for (int c = 0; c < Lane<Tile>::kChains; ++c) v.v[c] *= factor;
    return v;
  }
  __device__ void scale(float* rows, int r, const Vector& factor) const {
    Vector v = load_own(rows, r);
#pragma unroll
    for (int c = 0; c < Lane<Tile>::kChains; ++c) v.v[c] *= factor.v[c];
    store_own(rows, r, v);
  }

  // This part's share of (kappa / 2) |x|^2.
  __device__ float confinement_part(const float* x, int part) const {
    if (net.half_confinement == 0.0f) return 0.0f;
    float square = 0.0f;
    for (int d = part; d < net.dim; d += kParts) {
      const float v = x[d * Tile + lane.chain];
      square = fmaf(v, v, square);
    }
    return net.half_confinement * square;
  }

  // A scalar head's share of E for this part, of the last activations and of the confinement.
  __device__ float energy_part(const float* x, int own) const {
    const LayerView& last = net.layer[net.layers - 1];
    const float* w = image + last.weight;
    const float* a = last_activation();
    float part = 0.0f;
    for (int j = own; j < last.in; j += kParts) part = fmaf(w[j], a[j * Tile + lane.chain], part);
    return part + confinement_part(x, own);
  }
  // The same to shared memory, for whoever reads all parts after the next barrier.
  __device__ void put_energy_part(const float* x) const {
    const int own = lane.energy_part();
    if (own < kParts) row(layout.parts + kEnergyParts)[own * Tile + lane.chain] = energy_part(x, own);
  }

  template <class Seed>
  __device__ float scalar_head(const float* x, const Seed& seed) const {
    const LayerView& last = net.layer[net.layers - 1];
    const float* w = image + last.weight;
    const float energy = sum_over_parts(energy_part(x, lane.part)) + image[last.bias];
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
    if (lane.has_part()) highs[lane.part * Tile + lane.chain] = high;
    __syncthreads();
    for (int p = 0; p < kParts; ++p) high = fmaxf(high, highs[p * Tile + lane.chain]);
    float part = 0.0f;
    for (int y = lane.part; y < last.out; y += kParts) part += expf(f[y * Tile] - high);
    const float total = sum_over_parts(part);
    const float log_sum = high + logf(total);
    __syncthreads();
    const float energy = sum_over_parts(confinement_part(x, lane.part)) - log_sum;
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
                              [&](int k, const Vector& sum) { scale(delta, k, sum); });
    __syncthreads();
    return energy;
  }
};

}  // namespace ebm
