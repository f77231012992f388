// The Tile of the tensor-core engine (ebmcuda/samplers/body.hpp): the 16 chains of a warp, in two groups, the row
// halves of a product. A thread holds a quarter of one chain of each: its blocks i are dimensions 16 i + 4 t .. + 3, t
// = lane mod 4. Dimensions beyond D hold zeros, because all that comes into a row is zero there.
#pragma once

#include "kernels/chains/body.cuh"
#include "kernels/chains/chain_source.cuh"
#include "kernels/chains/mma_chains.hpp"
#include "kernels/energy/mma_network.cuh"

// The bodies are looked up in the namespace of their Tile.
namespace ebm::tensor_cores {

// What is rare where chains are Metropolis-adjusted is not inlined there: it is kept out of the registers and the
// instruction cache of the steps. Each of dimensions d .. d + 3; zeros beyond D.
template <bool Exact = false>
__device__ __forceinline__ ChainBlock start_block(const MmaArguments& a, std::uint64_t id, std::uint64_t step, int d) {
  const PhiloxWords w = philox(a.chains.seed, Purpose::initial_position, id, step, static_cast<std::uint32_t>(d / 4));
  ChainBlock start;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    start.v[i] = Exact || d + i < a.net.dim ? start_position(a.step, d + i, word_of(w, i)) : 0.0f;
  }
  return start;
}
__device__ __noinline__ inline ChainBlock rare_start_block(const MmaArguments& a, std::uint64_t id, std::uint64_t step,
                                                           int d) {
  return start_block(a, id, step, d);
}
// But for the coordinates of the bits `fixed`.
__device__ __forceinline__ bool outside_start_block(const MmaArguments& a, int d, const ChainBlock& x, unsigned fixed) {
  bool out = false;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    out = out || ((fixed >> i & 1u) == 0 && d + i < a.net.dim && outside_start_region(a.step, d + i, x.v[i]));
  }
  return out;
}
__device__ __noinline__ inline bool rare_outside_start(const MmaArguments& a, int d, ChainBlock x) {
  return outside_start_block(a, d, x, 0);
}
// x + d_a - d_b of two training points.
__device__ __noinline__ inline ChainBlock rare_difference(const MmaArguments& a, std::uint32_t first,
                                                          std::uint32_t second, int d, ChainBlock x) {
  const std::size_t dim = static_cast<std::size_t>(a.net.dim);
  const float* from = a.step.data + index_below(first, a.step.n_data) * dim;
  const float* to = a.step.data + index_below(second, a.step.n_data) * dim;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if (d + i < a.net.dim) x.v[i] += from[d + i] - to[d + i];
  }
  return x;
}

template <class C>
class MmaTile {
  static constexpr int kSlopeWords = C::kState.slope_offset(C::kLayers - 1);
  static constexpr int kFixedWords = (C::kGroups + 7) / 8;
  static constexpr int kHeld = C::kState.positions_shared ? 1 : C::kState.hot_rows;  // rows in registers
  static constexpr bool kExact = C::kShape.exact, kLimited = C::kVariant.limited, kTempered = C::kVariant.tempered;
  static constexpr bool kFixes = C::kVariant.fixes;
  using Pass = MmaNetworkPass<C>;

 public:
  static constexpr int kGroups = 2;
  using Real = float;
  using Bool = bool;
  using Block = ChainBlock;
  // A gradient without the confinement's part and in units of `unscale`.
  struct Slope {
    Block raw;
  };

  // The chains `first` .. `first` + 15; `own` is the warp's part of shared memory.
  __device__ __forceinline__ MmaTile(const MmaArguments& arguments, const Pass& network, float* own, std::int64_t first,
                                     Counter& counter)
      : a_(arguments),
        network_(network),
        counter_(counter),
        step_size_(step_size_of(arguments.step)),
        lane_(threadIdx.x % 32),
        t_(lane_ % 4),
        first_(first),
        shared_(reinterpret_cast<float4*>(own + kSlopeWords * 32) + lane_),
        chain_{open_chain(arguments.chains, first + lane_ / 4), open_chain(arguments.chains, first + lane_ / 4 + 8)} {
    if constexpr (kTempered) {
#pragma unroll
      for (int g = 0; g < 2; ++g) {
        beta_[g] = chain_[g].exists ? arguments.chains.beta[chain_[g].row] : 1.0f;
      }
    }
    if constexpr (kFixes) {
#pragma unroll
      for (int g = 0; g < 2; ++g) {
#pragma unroll
        for (int w = 0; w < kFixedWords; ++w) fixed_[w][g] = 0;
#pragma unroll
        for (int b = 0; b < C::kGroups; ++b) {
          if (dimension(b, 0) >= arguments.net.dim) continue;
          fixed_[b / 8][g] |= fixed_in_block(arguments.chains, chain_[g], arguments.net.dim, 4 * b + t_)
                              << (4 * (b % 8));
        }
      }
    }
  }

  __device__ static constexpr bool nowhere() { return false; }
  __device__ static constexpr float zero() { return 0.0f; }
  __device__ static float infinity() { return __int_as_float(0x7f800000); }
  __device__ static constexpr Block zero_block() { return {}; }

  __device__ static constexpr int first_block() { return 0; }
  __device__ static constexpr int end_block() { return C::kGroups; }
  __device__ static constexpr int block_stride() { return 1; }

  __device__ __forceinline__ Block get(int row, int g, int b) const {
    return block_of(in_registers(row) ? held_[place(row)][b][g] : *shared(row, g, b));
  }
  __device__ __forceinline__ void set(int row, int g, int b, const Block& block) {
    (in_registers(row) ? held_[place(row)][b][g] : *shared(row, g, b)) = float4_of(block);
  }
  __device__ __forceinline__ void set_where(bool where, int row, int g, int b, const Block& block) {
    if (where) set(row, g, b, block);
  }

  __device__ __forceinline__ float step_size() const { return step_size_; }
  __device__ __forceinline__ float own(int i) const { return a_.step.own[i]; }
  __device__ __forceinline__ float jump_prob() const { return a_.step.jump_prob; }
  __device__ __forceinline__ float difference_prob() const { return a_.step.difference_prob; }
  __device__ __forceinline__ float temperature(int g) const { return kTempered ? 1.0f / beta_[g] : 1.0f; }

  __device__ __forceinline__ PhiloxWords words(Purpose purpose, int g, std::int64_t offset, int block) const {
    return philox(a_.chains.seed, purpose, chain_[g].id, chain_[g].step + static_cast<std::uint64_t>(offset),
                  static_cast<std::uint32_t>(block));
  }
  __device__ static void foresee(Purpose, std::int64_t) {}
  __device__ __forceinline__ Block normals(Purpose purpose, int g, std::int64_t offset, int b) const {
    if (!block_real(b)) return {};
    const NormalBlock n = normals_of(words(purpose, g, offset, 4 * b + t_));
    return hold(b, g, masked(b, {{n.n[0], n.n[1], n.n[2], n.n[3]}}), {});
  }
  __device__ __forceinline__ Block uniform_start(int g, std::int64_t offset, int b) const {
    const std::uint64_t step = chain_[g].step + static_cast<std::uint64_t>(offset);
    const Block start = C::kVariant.metropolis ? rare_start_block(a_, chain_[g].id, step, dimension(b, 0))
                                               : start_block<kExact>(a_, chain_[g].id, step, dimension(b, 0));
    if constexpr (kFixes) return hold(b, g, start, get(kX, g, b));
    return start;
  }

  __device__ __forceinline__ float clip(float g) const {
    return fminf(fmaxf(g, -a_.step.grad_clip), a_.step.grad_clip);
  }
  __device__ __forceinline__ Block clip(const Block& g) const {
    return {{clip(g.v[0]), clip(g.v[1]), clip(g.v[2]), clip(g.v[3])}};
  }
  __device__ __forceinline__ Block clamp(int b, Block x) const {
    if constexpr (kLimited) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        if (a_.step.clamp_lo == nullptr || !real(b, i)) continue;
        x.v[i] = fminf(fmaxf(x.v[i], a_.step.clamp_lo[dimension(b, i)]), a_.step.clamp_hi[dimension(b, i)]);
      }
    }
    return x;
  }
  __device__ __forceinline__ bool outside_clamp(int b, const Block& x) const {
    bool out = false;
    if (a_.step.clamp_lo == nullptr) return out;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int d = dimension(b, i);
      out = out || (real(b, i) && (x.v[i] < a_.step.clamp_lo[d] || x.v[i] > a_.step.clamp_hi[d]));
    }
    return out;
  }
  __device__ __forceinline__ bool outside_start(int g, int b, const Block& x) const {
    if constexpr (kFixes) return outside_start_block(a_, dimension(b, 0), x, fixed_in(b, g));
    return rare_outside_start(a_, dimension(b, 0), x);
  }

  __device__ __forceinline__ float sum(float part) const { return Pass::quad_sum(part); }
  __device__ __forceinline__ bool any(bool part) const { return Pass::quad_any(part, lane_); }
  __device__ __forceinline__ bool here(bool where) const { return where; }
  __device__ __forceinline__ bool somewhere(bool where) const { return __any_sync(0xFFFFFFFFu, where); }
  __device__ __forceinline__ bool somewhere(const float (&trouble)[2]) const {
    return somewhere(in_trouble(trouble[0]) || in_trouble(trouble[1]));
  }

  __device__ __forceinline__ void count(Move move, int g, bool proposed, bool accepted) {
    if (speaks(g)) counter_.count(move, proposed, accepted);
  }
  __device__ __forceinline__ void restart(int row, int g, bool where, std::int64_t offset) {
    if (!where) return;
    start(row, g, offset);
    if (!speaks(g)) return;
    ++counter_.restarts;
    if (a_.chains.restarted != nullptr) a_.chains.restarted[chain_[g].row] = 1;
  }
  __device__ __forceinline__ void set_differences(int row, int g, bool where, std::int64_t offset) {
    if (!where) return;
    const PhiloxWords w = words(Purpose::difference, g, offset, 0);
#pragma unroll
    for (int b = 0; b < C::kGroups; ++b) {
      set(row, g, b, rare_difference(a_, w.r0, w.r1, dimension(b, 0), get(kX, g, b)));
    }
  }

  // --------------------------------------------------------------------------------------------------- evaluation

  // The update takes each block of the gradient as the last product gives it: no row holds a gradient, and the halves
  // of x that the next product takes are made at once.
  __device__ __forceinline__ void begin_sweeps() { put_row(kX, input_); }
  template <class Update>
  __device__ __forceinline__ void sweep(float (&trouble)[2], const Update& update) {
    // Not a constant of the loop to the compiler, which would keep the rounds of Philox that depend on it in registers.
    asm volatile("" : "+l"(chain_[0].id), "+l"(chain_[1].id));
    trouble[0] = trouble[1] = 0.0f;
    float unused[2];
    network_.template evaluate<false>(input_, unused, [&](int b, int g, float4 raw) {
      if (!block_real(b)) return;
      const Block x = get(kX, g, b);
      const Block next = hold(b, g, update(g, b, x, Slope{block_of(raw)}), x);
      set(kX, g, b, next);
      put_positions(input_, b, g, float4_of(next));
    });
  }
  __device__ __forceinline__ Block descend(int, int, const Block& x, const Slope& slope, float& trouble) const {
    const float kappa = 2.0f * network_.half_confinement;
    if constexpr (kLimited) {
      // A clipped gradient or a clamped position may look sound.
      const Block gradient = confined(kappa, x, slope.raw);
      watch(trouble, gradient);
      return mul_add(-step_size_, clip(gradient), x);
    } else {
      // In two roundings.
      return mul_add(-network_.unscale * step_size_, slope.raw, mul_add(-kappa * step_size_, x, x));
    }
  }

  __device__ __forceinline__ void evaluate(int from, int to, float (&energy)[2]) {
    typename C::Input input;
    put_row(from, input);
    float partial[2];
    const float kappa = 2.0f * network_.half_confinement;
    network_.template evaluate<true>(input, partial, [&](int b, int g, float4 raw) {
      Block gradient = confined(kappa, get(from, g, b), block_of(raw));
      if constexpr (kTempered) gradient = mul_add(beta_[g], gradient, zero_block());
      set(to, g, b, hold(b, g, gradient, {}));
    });
#pragma unroll
    for (int g = 0; g < 2; ++g) {
      float square = 0.0f;
#pragma unroll
      for (int b = 0; b < C::kGroups; ++b) {
        const Block x = get(from, g, b);
#pragma unroll
        for (int i = 0; i < 4; ++i) square = fmaf(x.v[i], x.v[i], square);
      }
      const float part = fmaf(network_.half_confinement, square, network_.unscale * partial[g]);
      energy[g] = sum(part) + network_.out_bias;
      if constexpr (kTempered) {
        evaluated_[g] = energy[g];
        energy[g] *= beta_[g];
      }
    }
  }

  // From launch to launch only E is kept, for whoever swaps temperatures. The same x gives the same bits of E and grad
  // E again.
  __device__ __forceinline__ bool recall(float (&)[2]) const { return false; }
  __device__ __forceinline__ void keep(int g, bool where) {
    if constexpr (kTempered) kept_[g] = where ? evaluated_[g] : kept_[g];
  }
  __device__ __forceinline__ void condemn(int g, bool where) {
    if constexpr (kTempered) kept_[g] = where ? infinity() : kept_[g];
  }
  __device__ __forceinline__ void remember(const float (&)[2]) const {
    if constexpr (kTempered) {
#pragma unroll
      for (int g = 0; g < 2; ++g) {
        if (a_.chains.energy != nullptr && speaks(g)) a_.chains.energy[chain_[g].row] = kept_[g];
      }
    }
  }

  // ------------------------------------------------------------------------------------------------ from and to memory

  __device__ void load() {
    const float* from = a_.chains.source == ChainSource::data ? a_.chains.batch : a_.chains.x;
#pragma unroll
    for (int g = 0; g < 2; ++g) {
#pragma unroll
      for (int b = 0; b < C::kGroups; ++b) {
        Block x{};
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          if (!chain_[g].exists || chain_[g].fresh || !real(b, i)) continue;
          x.v[i] = from[chain_[g].row * a_.net.dim + dimension(b, i)];
        }
        set(kX, g, b, x);
      }
      if (chain_[g].fresh) start(kX, g, 0);
      if (t_ == 0) counter_.reinitialized += chain_[g].reinitialized;
    }
  }
  __device__ void store() const {
#pragma unroll
    for (int g = 0; g < 2; ++g) {
      if (!chain_[g].exists) continue;
      const std::int64_t index = first_ + lane_ / 4 + 8 * g;
#pragma unroll
      for (int b = 0; b < C::kGroups; ++b) {
        const Block x = get(kX, g, b);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          if (!real(b, i)) continue;
          const int d = dimension(b, i);
          if (a_.chains.x != nullptr) a_.chains.x[chain_[g].row * a_.net.dim + d] = x.v[i];
          if (a_.chains.batch != nullptr) a_.chains.batch[(a_.chains.n + index) * a_.net.dim + d] = x.v[i];
        }
      }
      if (t_ != 0 || a_.chains.steps == nullptr) continue;
      a_.chains.steps[chain_[g].row] = chain_[g].step + static_cast<std::uint64_t>(a_.n * a_.step.evaluations);
    }
  }

 private:
  // (Device code cannot call a function of a constant that is a member.)
  __device__ static constexpr bool in_registers(int row) {
    constexpr MmaState state = C::kState;
    return state.hot(row) && !state.positions_shared;
  }
  __device__ static constexpr int place(int row) {
    constexpr MmaState state = C::kState;
    return state.place(row);
  }
  __device__ __forceinline__ float4* shared(int row, int g, int b) const {
    return shared_ + ((place(row) * C::kGroups + b) * 2 + g) * 32;
  }
  __device__ static Block block_of(float4 v) { return {{v.x, v.y, v.z, v.w}}; }
  __device__ static float4 float4_of(const Block& v) { return {v.v[0], v.v[1], v.v[2], v.v[3]}; }

  // With an exact shape there are no dimensions beyond D.
  __device__ __forceinline__ int dimension(int b, int i) const { return 16 * b + 4 * t_ + i; }
  __device__ __forceinline__ bool real(int b, int i) const { return kExact || dimension(b, i) < a_.net.dim; }
  __device__ __forceinline__ bool block_real(int b) const { return kExact || 16 * b < a_.net.dim; }
  __device__ __forceinline__ Block masked(int b, Block v) const {
    if constexpr (!kExact) {
#pragma unroll
      for (int i = 0; i < 4; ++i) v.v[i] = real(b, i) ? v.v[i] : 0.0f;
    }
    return v;
  }
  __device__ __forceinline__ unsigned fixed_in(int b, int g) const { return fixed_[b / 8][g] >> (4 * (b % 8)) & 0xFu; }
  // The block with its fixed coordinates taken from `instead`.
  __device__ __forceinline__ Block hold(int b, int g, const Block& block, const Block& instead) const {
    if constexpr (kFixes) return ebm::hold(fixed_in(b, g), block, instead);
    return block;
  }
  // Whether this thread is the one that counts for its chain.
  __device__ __forceinline__ bool speaks(int g) const { return t_ == 0 && chain_[g].exists; }

  __device__ static NormalBlock normals_of(const PhiloxWords& w) {
#if defined(__CUDA_ARCH__)
    if constexpr (C::kFast) return fast_normal_block(w);
#endif
    return normal_block(w);
  }
  __device__ __forceinline__ void start(int row, int g, std::int64_t offset) {
#pragma unroll
    for (int b = 0; b < C::kGroups; ++b) {
      if (block_real(b)) set(row, g, b, uniform_start(g, offset, b));
    }
  }
  __device__ __forceinline__ void put_row(int row, typename C::Input& input) const {
#pragma unroll
    for (int b = 0; b < C::kGroups; ++b) {
#pragma unroll
      for (int g = 0; g < 2; ++g) put_positions(input, b, g, float4_of(get(row, g, b)));
    }
  }
  __device__ __forceinline__ Block confined(float kappa, const Block& x, const Block& raw) const {
    Block gradient;
#pragma unroll
    for (int i = 0; i < 4; ++i) gradient.v[i] = fmaf(kappa, x.v[i], network_.unscale * raw.v[i]);
    return gradient;
  }

  const MmaArguments& a_;
  const Pass& network_;
  Counter& counter_;
  float step_size_;
  int lane_, t_;
  std::int64_t first_;
  float4* shared_;  // this lane's blocks of the rows in shared memory, 32 apart
  Chain chain_[2];
  float beta_[2], evaluated_[2], kept_[2];  // tempered: 1 / temperature, E of the last evaluation and of x
  std::uint32_t fixed_[kFixedWords][2];     // with fixed coordinates: four bits a block
  float4 held_[kHeld][C::kGroups][2];       // the others
  typename C::Input input_;                 // x, for sweeps
};

#define EBM_UNROLL _Pragma("unroll")
#include "kernels/chains/sampler_bodies.cuh"

template <class C>
__device__ __forceinline__ void run_sampler(MmaTile<C>& tile, std::int64_t n) {
#define EBM_RUN(name, type) \
  if constexpr (C::kVariant.kind == SamplerKind::name) run_##name(tile, n);
  EBM_SAMPLERS(EBM_RUN)
#undef EBM_RUN
}

}  // namespace ebm::tensor_cores
