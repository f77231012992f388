// What the Tiles share whose threads serve one chain each, several threads to a chain: all but where rows stand, how
// the threads of a chain agree, and who evaluates. `Tile` is the Tile itself. It offers, beside what a sampler asks
// for,
//
//   dim()                                            D
//   speaks()                                         true in one of a chain's threads
//   own_gradient(b), base_gradient(b) -> ChainBlock  of E and of E0, from the last evaluation
#pragma once

#include "kernels/chains/body.cuh"
#include "kernels/chains/chain_source.cuh"

namespace ebm {

// kFixes: some chains may have fixed coordinates, ChainsView::fixed.
template <class Tile, bool kFixes>
class ThreadTile {
 public:
  static constexpr int kGroups = 1;
  using Real = float;
  using Bool = bool;
  using Block = ChainBlock;
  using Slope = ChainBlock;

  __device__ ThreadTile(const ChainsView& chains, const StepView& step, const Chain& chain, float step_size,
                        Counter& counter)
      : chains_(chains), p_(step), chain_(chain), step_size_(step_size), counter_(counter) {
    beta_ = chains.beta == nullptr ? step.beta : chain.exists ? chains.beta[chain.row] : 1.0f;
  }

  __device__ static bool nowhere() { return false; }
  __device__ float zero() const { return 0.0f; }
  __device__ float infinity() const { return INFINITY; }
  __device__ Block zero_block() const { return {}; }

  __device__ void set_where(bool where, int row, int g, int b, const Block& block) {
    if (where) tile().set(row, g, b, block);
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
  __device__ Block draw(Purpose purpose, int g, std::int64_t offset, int b) const {
    const NormalBlock n = normal_block(words(purpose, g, offset, b));
    return hold(b, real({{n.n[0], n.n[1], n.n[2], n.n[3]}}, b), {});
  }
  __device__ Block uniform_start(int g, std::int64_t offset, int b) const {
    const PhiloxWords w = words(Purpose::initial_position, g, offset, b);
    Block start{};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (4 * b + i < tile().dim()) start.v[i] = start_position(p_, 4 * b + i, word_of(w, i));
    }
    if constexpr (kFixes) start = hold(b, start, tile().get(kX, g, b));
    return start;
  }

  __device__ Block clip(const Block& g) const { return {{clip(g.v[0]), clip(g.v[1]), clip(g.v[2]), clip(g.v[3])}}; }
  __device__ Block clamp(int b, Block x) const {
    if (p_.clamp_lo == nullptr) return x;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int d = 4 * b + i;
      if (d < tile().dim()) x.v[i] = fminf(fmaxf(x.v[i], p_.clamp_lo[d]), p_.clamp_hi[d]);
    }
    return x;
  }
  __device__ bool outside_clamp(int b, const Block& x) const {
    if (p_.clamp_lo == nullptr) return false;
    bool out = false;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int d = 4 * b + i;
      if (d < tile().dim()) out = out || x.v[i] < p_.clamp_lo[d] || x.v[i] > p_.clamp_hi[d];
    }
    return out;
  }
  __device__ bool outside_start(int, int b, const Block& x) const {
    bool out = false;
    const unsigned fixed = fixed_of(b);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (kFixes && (fixed >> i & 1u) != 0) continue;
      if (4 * b + i < tile().dim()) out = out || outside_start_region(p_, 4 * b + i, x.v[i]);
    }
    return out;
  }
  __device__ bool here(bool where) const { return where; }

  __device__ void count(Move move, int, bool proposed, bool accepted) {
    if (tile().speaks() && chain_.exists) counter_.count(move, proposed, accepted);
  }

  __device__ void start(int row, std::int64_t offset) {
    for (int b = tile().first_block(); b < tile().end_block(); b += tile().block_stride()) {
      tile().set(row, 0, b, uniform_start(0, offset, b));
    }
  }
  __device__ void restart(int row, int, bool where, std::int64_t offset) {
    if (!where) return;
    start(row, offset);
    if (!tile().speaks() || !chain_.exists) return;
    ++counter_.restarts;
    if (chains_.restarted != nullptr) chains_.restarted[chain_.row] = 1;
  }

  // y = x + d_a - d_b.
  __device__ void set_differences(int row, int g, bool where, std::int64_t offset) {
    if (!where) return;
    const int dim = tile().dim();
    const PhiloxWords w = words(Purpose::difference, g, offset, 0);
    const float* from = p_.data + static_cast<std::size_t>(index_below(w.r0, p_.n_data)) * dim;
    const float* less = p_.data + static_cast<std::size_t>(index_below(w.r1, p_.n_data)) * dim;
    for (int b = tile().first_block(); b < tile().end_block(); b += tile().block_stride()) {
      Block y = tile().get(kX, g, b);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        if (4 * b + i < dim) y.v[i] += from[4 * b + i] - less[4 * b + i];
      }
      tile().set(row, g, b, y);
    }
  }

  __device__ Block descend(int, int, const Block& x, const Slope& slope, float& trouble) const {
    watch(trouble, slope);
    return mul_add(-step_size_, clip(slope), x);
  }

  __device__ bool recall(float (&energy)[kGroups]) {
    if (!keeps() || !chains_.known) return false;
    energy[0] = 0.0f;
    if (chain_.exists) energy[0] = mix(chains_.energy[chain_.row], has_base() ? chains_.base_energy[chain_.row] : 0.0f);
    for (int b = tile().first_block(); b < tile().end_block(); b += tile().block_stride()) {
      const Block gradient = mix(kept(chains_.gradient, b), has_base() ? kept(chains_.base_gradient, b) : Block{});
      tile().set(kGradient, 0, b, hold(b, clip(gradient), {}));
    }
    return true;
  }
  __device__ void remember(const float (&)[kGroups]) const {}

  __device__ void keep(int, bool where) const {
    if (!where || !keeps() || !chain_.exists) return;
    if (tile().speaks()) {
      chains_.energy[chain_.row] = energy_;
      if (has_base()) chains_.base_energy[chain_.row] = base_energy_;
    }
    for (int b = tile().first_block(); b < tile().end_block(); b += tile().block_stride()) {
      keep(chains_.gradient, b, tile().own_gradient(b));
      if (has_base()) keep(chains_.base_gradient, b, tile().base_gradient(b));
    }
  }
  __device__ void condemn(int, bool where) const {
    if (!where || !keeps() || !chain_.exists) return;
    if (tile().speaks()) chains_.energy[chain_.row] = INFINITY;
    for (int b = tile().first_block(); b < tile().end_block(); b += tile().block_stride()) {
      keep(chains_.gradient, b, {});
      if (has_base()) keep(chains_.base_gradient, b, {});
    }
  }

 protected:
  __device__ bool has_base() const { return p_.base.root != nullptr; }
  __device__ bool keeps() const { return chains_.energy != nullptr; }
  __device__ bool mixed() const { return has_base() || chains_.beta != nullptr; }

  // The target after an evaluation, of which energy_ and base_energy_ are known: E, or beta E + (1 - beta) E0 with a
  // base, or beta E with a beta of its own for each chain. Its gradient goes to row `to`, where that of E is
  // already if nothing is mixed in or kept.
  __device__ void settle(int to, float (&energy)[kGroups]) {
    energy[0] = energy_;
    if (!mixed() && !keeps()) {
      if constexpr (kFixes) {
        for (int b = tile().first_block(); b < tile().end_block(); b += tile().block_stride()) {
          tile().set(to, 0, b, hold(b, tile().get(to, 0, b), {}));
        }
      }
      return;
    }
    energy[0] = mix(energy_, base_energy_);
    for (int b = tile().first_block(); b < tile().end_block(); b += tile().block_stride()) {
      tile().set(to, 0, b, hold(b, mix(tile().own_gradient(b), has_base() ? tile().base_gradient(b) : Block{}), {}));
    }
  }

  // Of dimensions 4 b .. 4 b + 3 of the chain, those that are fixed: bits 0 .. 3.
  __device__ unsigned fixed_of(int b) const {
    if constexpr (kFixes) return chains_.fixed == nullptr ? 0 : fixed_in_block(chains_, chain_, tile().dim(), b);
    return 0;
  }
  // The block with its fixed coordinates taken from `instead`.
  __device__ Block hold(int b, const Block& block, const Block& instead) const {
    if constexpr (kFixes) return ebm::hold(fixed_of(b), block, instead);
    return block;
  }
  // Zeros beyond D.
  __device__ Block real(Block block, int b) const {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (4 * b + i >= tile().dim()) block.v[i] = 0.0f;
    }
    return block;
  }

  const ChainsView& chains_;
  const StepView& p_;
  const Chain& chain_;
  float step_size_, beta_;
  float energy_ = 0.0f, base_energy_ = 0.0f;  // of the last evaluation
  Counter& counter_;

 private:
  __device__ Tile& tile() { return static_cast<Tile&>(*this); }
  __device__ const Tile& tile() const { return static_cast<const Tile&>(*this); }

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
      if (chain_.exists && 4 * b + i < tile().dim()) block.v[i] = from[chain_.row * tile().dim() + 4 * b + i];
    }
    return block;
  }
  __device__ void keep(float* to, int b, const Block& block) const {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (4 * b + i < tile().dim()) to[chain_.row * tile().dim() + 4 * b + i] = block.v[i];
    }
  }
};

}  // namespace ebm
