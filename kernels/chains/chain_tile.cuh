// The Tile of the fp32 kernels (include/ebmcuda/samplers/body.hpp), and the samplers over it.
//
// Chain c of a tile is served by 8 threads, its *parts*: part p owns dimensions 4b .. 4b+3 for b = p modulo 8, which is
// one Philox block each, and touches no other part's elements outside an evaluation. Whatever all parts need to agree
// on (acceptance, restarts) each of them computes from the same numbers in the same order. evaluate(), sweep(), sum(),
// any() and somewhere() are called by the whole block and hold barriers; nothing else does.
//
// In a tile of 2 chains 16 threads have a part. The others follow them through the sampler with a part that owns
// nothing; during an evaluation half of the block draws the noise that foresee() has announced.
#pragma once

#include "kernels/chains/body.cuh"
#include "kernels/chains/chain_source.cuh"
#include "kernels/energy/energy.cuh"

namespace ebm::fp32 {

// kFixes: chains with fixed coordinates, ChainsView::fixed.
template <int Width, class Evaluator, bool kFixes = false>
class ChainTile {
 public:
  static constexpr int kGroups = 1;
  using Real = float;
  using Bool = bool;
  using Block = ChainBlock;
  using Slope = ChainBlock;

  __device__ ChainTile(const Evaluator& evaluator, const ChainsView& chains, const StepView& step, const Chain& chain,
                       float step_size, Counter& counter)
      : evaluator_(evaluator), chains_(chains), p_(step), chain_(chain), step_size_(step_size), counter_(counter) {
    beta_ = chains.beta == nullptr ? step.beta : chain.exists ? chains.beta[chain.row] : 1.0f;
  }

  __device__ static bool nowhere() { return false; }
  __device__ float zero() const { return 0.0f; }
  __device__ float infinity() const { return INFINITY; }
  __device__ Block zero_block() const { return {}; }

  __device__ int first_block() const { return lane().part; }
  __device__ int end_block() const { return padded(dim()) / 4; }
  __device__ int block_stride() const { return kParts; }

  __device__ Block get(int row, int, int b) const { return block_of(rows(row), b); }
  __device__ void set(int row, int, int b, const Block& block) {
    float* const to = rows(row) + 4 * b * Width + lane().chain;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (4 * b + i < dim()) to[i * Width] = block.v[i];
    }
  }
  __device__ void set_where(bool where, int row, int g, int b, const Block& block) {
    if (where) set(row, g, b, block);
  }

  __device__ float step_size() const { return step_size_; }
  __device__ float own(int i) const { return p_.own[i]; }
  __device__ float jump_prob() const { return p_.jump_prob; }
  __device__ float difference_prob() const { return p_.difference_prob; }
  __device__ float temperature(int) const { return chains_.beta == nullptr ? 1.0f : 1.0f / beta_; }

  __device__ PhiloxWords words(Purpose purpose, int, std::int64_t offset, int block) const {
    return philox(chains_.seed, purpose, chain_.id, chain_.step + static_cast<std::uint64_t>(offset),
                  static_cast<std::uint32_t>(block));
  }
  __device__ void foresee(Purpose purpose, std::int64_t offset) { next_ = {purpose, offset}; }
  __device__ Block normals(Purpose purpose, int g, std::int64_t offset, int b) const {
    if constexpr (kForesees) {
      if (purpose == drawn_.purpose && offset == drawn_.offset) return hold(b, block_of(noise(), b), {});
    }
    return draw(purpose, g, offset, b);
  }
  __device__ Block draw(Purpose purpose, int g, std::int64_t offset, int b) const {
    const NormalBlock n = normal_block(words(purpose, g, offset, b));
    return hold(b, real({{n.n[0], n.n[1], n.n[2], n.n[3]}}, b), {});
  }
  __device__ Block uniform_start(int g, std::int64_t offset, int b) const {
    const PhiloxWords w = words(Purpose::initial_position, g, offset, b);
    Block start{};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (4 * b + i < dim()) start.v[i] = start_position(p_, 4 * b + i, word_of(w, i));
    }
    if constexpr (kFixes) start = hold(b, start, get(kX, g, b));
    return start;
  }

  __device__ Block clip(const Block& g) const { return {{clip(g.v[0]), clip(g.v[1]), clip(g.v[2]), clip(g.v[3])}}; }
  __device__ Block clamp(int b, Block x) const {
    if (p_.clamp_lo == nullptr) return x;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int d = 4 * b + i;
      if (d < dim()) x.v[i] = fminf(fmaxf(x.v[i], p_.clamp_lo[d]), p_.clamp_hi[d]);
    }
    return x;
  }
  __device__ bool outside_clamp(int b, const Block& x) const {
    if (p_.clamp_lo == nullptr) return false;
    bool out = false;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int d = 4 * b + i;
      if (d < dim()) out = out || x.v[i] < p_.clamp_lo[d] || x.v[i] > p_.clamp_hi[d];
    }
    return out;
  }
  __device__ bool outside_start(int, int b, const Block& x) const {
    bool out = false;
    const unsigned fixed = kFixes ? fixed_in_block(chains_, chain_, dim(), b) : 0;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (kFixes && (fixed >> i & 1u) != 0) continue;
      if (4 * b + i < dim()) out = out || outside_start_region(p_, 4 * b + i, x.v[i]);
    }
    return out;
  }

  __device__ float sum(float part) {
    // The buffers alternate: a thread comes back to this one only when every other has read it, before the barrier of
    // the call in between.
    if constexpr (Width == 2) return sum_parts_of_two(part);
    buffer_ ^= 1;
    return evaluator_.sum_over_parts(part, buffer_);
  }
  __device__ bool any(bool part) { return sum(part ? 1.0f : 0.0f) > 0.0f; }
  __device__ bool here(bool where) const { return where; }
  __device__ bool somewhere(bool where) const { return __syncthreads_or(where) != 0; }
  __device__ bool somewhere(const float (&trouble)[kGroups]) const { return somewhere(in_trouble(trouble[0])); }

  __device__ void count(Move move, int, bool proposed, bool accepted) {
    if (lane().part == 0 && chain_.exists) counter_.count(move, proposed, accepted);
  }

  __device__ void start(int row, std::int64_t offset) {
    for (int b = first_block(); b < end_block(); b += block_stride()) set(row, 0, b, uniform_start(0, offset, b));
  }
  __device__ void restart(int row, int, bool where, std::int64_t offset) {
    if (!where) return;
    start(row, offset);
    if (lane().part != 0 || !chain_.exists) return;
    ++counter_.restarts;
    if (chains_.restarted != nullptr) chains_.restarted[chain_.row] = 1;
  }

  // y = x + d_a - d_b.
  __device__ void set_differences(int row, int g, bool where, std::int64_t offset) {
    if (!where) return;
    const PhiloxWords w = words(Purpose::difference, g, offset, 0);
    const float* from = p_.data + static_cast<std::size_t>(index_below(w.r0, p_.n_data)) * dim();
    const float* less = p_.data + static_cast<std::size_t>(index_below(w.r1, p_.n_data)) * dim();
    for (int b = first_block(); b < end_block(); b += block_stride()) {
      Block y = get(kX, g, b);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        if (4 * b + i < dim()) y.v[i] += from[4 * b + i] - less[4 * b + i];
      }
      set(row, g, b, y);
    }
  }

  // --------------------------------------------------------------------------------------------------- evaluation

  // Between sweeps the sampler asks somewhere(), which is a barrier too.
  __device__ void begin_sweeps() const { __syncthreads(); }
  template <class Update>
  __device__ void sweep(float (&trouble)[kGroups], const Update& update) {
    const float energy = evaluator_.energy_gradient(rows(kX), rows(kGradient), [&] { draw_foreseen(); });
    trouble[0] = 0.0f;
    watch(trouble[0], energy);
    for (int b = first_block(); b < end_block(); b += block_stride()) {
      const Block x = get(kX, 0, b);
      set(kX, 0, b, hold(b, update(0, b, x, get(kGradient, 0, b)), x));
    }
  }
  __device__ Block descend(int, int, const Block& x, const Slope& slope, float& trouble) const {
    watch(trouble, slope);
    return mul_add(-step_size_, clip(slope), x);
  }

  // The target: E, or beta E + (1 - beta) E0 with a base, or beta E with a beta of its own for each chain.
  __device__ void evaluate(int from, int to, float (&energy)[kGroups]) {
    __syncthreads();
    float* const gradient = keeps() ? evaluator_.row(evaluator_.layout.own_gradient) : rows(to);
    energy_ = evaluator_.energy_gradient(rows(from), gradient, [&] { draw_foreseen(); });
    energy[0] = energy_;
    if (!mixed() && !keeps()) {
      if constexpr (kFixes) {
        for (int b = first_block(); b < end_block(); b += block_stride()) set(to, 0, b, hold(b, get(to, 0, b), {}));
      }
      return;
    }
    if (has_base()) {
      base_energy_ = evaluator_.base_energy_gradient(p_.base, p_.base_layer, rows(from), base_gradient());
    }
    energy[0] = mix(energy_, base_energy_);
    for (int b = first_block(); b < end_block(); b += block_stride()) {
      set(to, 0, b, hold(b, mix(block_of(gradient, b), has_base() ? block_of(base_gradient(), b) : Block{}), {}));
    }
  }

  __device__ bool recall(float (&energy)[kGroups]) {
    if (!keeps() || !chains_.known) return false;
    energy[0] = 0.0f;
    if (chain_.exists) energy[0] = mix(chains_.energy[chain_.row], has_base() ? chains_.base_energy[chain_.row] : 0.0f);
    for (int b = first_block(); b < end_block(); b += block_stride()) {
      const Block gradient = mix(kept(chains_.gradient, b), has_base() ? kept(chains_.base_gradient, b) : Block{});
      set(kGradient, 0, b, hold(b, clip(gradient), {}));
    }
    return true;
  }
  __device__ void remember(const float (&)[kGroups]) const {}

  __device__ void keep(int, bool where) const {
    if (!where || !keeps() || !chain_.exists) return;
    if (lane().part == 0) {
      chains_.energy[chain_.row] = energy_;
      if (has_base()) chains_.base_energy[chain_.row] = base_energy_;
    }
    for (int b = first_block(); b < end_block(); b += block_stride()) {
      keep(chains_.gradient, b, block_of(evaluator_.row(evaluator_.layout.own_gradient), b));
      if (has_base()) keep(chains_.base_gradient, b, block_of(base_gradient(), b));
    }
  }
  __device__ void condemn(int, bool where) const {
    if (!where || !keeps() || !chain_.exists) return;
    if (lane().part == 0) chains_.energy[chain_.row] = INFINITY;
    for (int b = first_block(); b < end_block(); b += block_stride()) {
      keep(chains_.gradient, b, {});
      if (has_base()) keep(chains_.base_gradient, b, {});
    }
  }

 private:
  static constexpr bool kForesees = Width == 2;
  // A random number of every dimension and chain.
  struct Noise {
    Purpose purpose;
    std::int64_t offset;
  };
  static constexpr Noise kNoNoise{Purpose::langevin_noise, -1};

  __device__ float* noise() const { return evaluator_.row(evaluator_.layout.rows); }
  __device__ void draw_foreseen() {
    if constexpr (kForesees) {
      constexpr int kHelpers = Lane<Width>::kHelpers;
      const int own = static_cast<int>(threadIdx.x) - (Lane<Width>::kThreads - kHelpers);
      if (own >= 0 && next_.offset >= 0) {
        // Half a block a thread, of the chain that is the thread's anyway: what normals() says, in half the time.
        const int half = own / Width % 2;
        for (int b = own / Width / 2; b < end_block(); b += kHelpers / Width / 2) {
          const PhiloxWords w = words(next_.purpose, 0, next_.offset, b);
          const NormalPair n = normal_pair(half == 0 ? w.r0 : w.r2, half == 0 ? w.r1 : w.r3);
          const int d = 4 * b + 2 * half;
          float* const to = noise() + d * Width + lane().chain;
          to[0] = d < dim() ? n.a : 0.0f;
          to[Width] = d + 1 < dim() ? n.b : 0.0f;
        }
      }
      drawn_ = next_;
      next_ = kNoNoise;
    }
  }

  __device__ const Lane<Width>& lane() const { return evaluator_.lane; }
  __device__ int dim() const { return evaluator_.net.dim; }
  __device__ float* rows(int row) const { return evaluator_.row(evaluator_.layout.x + row * padded(dim())); }
  __device__ float* base_gradient() const { return evaluator_.row(evaluator_.layout.base_gradient); }
  __device__ bool has_base() const { return p_.base.root != nullptr; }
  __device__ bool keeps() const { return chains_.energy != nullptr; }
  __device__ bool mixed() const { return has_base() || chains_.beta != nullptr; }

  // The block with its fixed coordinates taken from `instead`.
  __device__ Block hold(int b, const Block& block, const Block& instead) const {
    if constexpr (kFixes) return ebm::hold(fixed_in_block(chains_, chain_, dim(), b), block, instead);
    return block;
  }
  // Zeros beyond D.
  __device__ Block real(Block block, int b) const {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (4 * b + i >= dim()) block.v[i] = 0.0f;
    }
    return block;
  }
  __device__ Block block_of(const float* from, int b) const {
    from += 4 * b * Width + lane().chain;
    return real({{from[0], from[Width], from[2 * Width], from[3 * Width]}}, b);
  }
  __device__ float clip(float g) const { return fminf(fmaxf(g, -p_.grad_clip), p_.grad_clip); }

  __device__ float mix(float own, float of_base) const {
    return has_base() ? fmaf(beta_, own, (1.0f - beta_) * of_base) : beta_ * own;
  }
  __device__ Block mix(const Block& own, const Block& of_base) const {
    return {{mix(own.v[0], of_base.v[0]), mix(own.v[1], of_base.v[1]), mix(own.v[2], of_base.v[2]),
             mix(own.v[3], of_base.v[3])}};
  }

  // From and to [n, D].
  __device__ Block kept(const float* from, int b) const {
    Block block{};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (chain_.exists && 4 * b + i < dim()) block.v[i] = from[chain_.row * dim() + 4 * b + i];
    }
    return block;
  }
  __device__ void keep(float* to, int b, const Block& block) const {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (4 * b + i < dim()) to[chain_.row * dim() + 4 * b + i] = block.v[i];
    }
  }

  const Evaluator& evaluator_;
  const ChainsView& chains_;
  const StepView& p_;
  const Chain& chain_;
  float step_size_, beta_;
  float energy_ = 0.0f, base_energy_ = 0.0f;  // of the last evaluation
  int buffer_ = 0;
  Noise next_ = kNoNoise, drawn_ = kNoNoise;  // announced, and drawn at the last evaluation
  Counter& counter_;
};

// Loops over blocks stay rolled: a part has one block for each 32 dimensions. Those over a block's elements unroll by
// themselves.
#define EBM_SAMPLER_BODY
#define EBM_BODY __device__ __forceinline__
#define EBM_LAMBDA
#define EBM_UNROLL
#define EBM_NO_UNROLL _Pragma("unroll 1")
#include "ebmcuda/samplers/all.hpp"
#undef EBM_SAMPLER_BODY
#undef EBM_BODY
#undef EBM_LAMBDA
#undef EBM_UNROLL
#undef EBM_NO_UNROLL

// n transitions of the chains of a tile.
template <SamplerKind kKind, class Tile>
__device__ __forceinline__ void run_sampler(Tile& tile, std::int64_t n) {
#define EBM_RUN_TILE(name, type) \
  if constexpr (kKind == SamplerKind::name) run_##name(tile, n);
  EBM_SAMPLERS(EBM_RUN_TILE)
#undef EBM_RUN_TILE
}

}  // namespace ebm::fp32
