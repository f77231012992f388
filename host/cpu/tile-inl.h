// The Tile of the CPU engine (include/ebmcuda/samplers/body.hpp): a strip of chains, one group for each of its vectors.
// Compiled once per instruction set.

#if defined(EBMCUDA_CPU_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EBMCUDA_CPU_TILE_INL_H_
#undef EBMCUDA_CPU_TILE_INL_H_
#else
#define EBMCUDA_CPU_TILE_INL_H_
#endif

#include <cmath>
#include <limits>

#include "ebmcuda/samplers/all.hpp"
#include "host/cpu/kernels.hpp"
#include "host/cpu/network-inl.h"
#include "host/cpu/simd_math-inl.h"
#include "kernels/math/normal.hpp"

HWY_BEFORE_NAMESPACE();
namespace ebm::cpu {
namespace HWY_NAMESPACE {

// -------------------------------------------------------------------------------------------------- the vocabulary

struct StripReal {
  VF v;
};
struct StripBool {
  Mask m;
};
struct StripBlock {
  StripReal v[4];
};

HWY_INLINE StripReal operator+(StripReal a, StripReal b) { return {hn::Add(a.v, b.v)}; }
HWY_INLINE StripReal operator+(StripReal a, float b) { return {hn::Add(a.v, constant(b))}; }
HWY_INLINE StripReal operator-(StripReal a, StripReal b) { return {hn::Sub(a.v, b.v)}; }
HWY_INLINE StripReal operator*(StripReal a, StripReal b) { return {hn::Mul(a.v, b.v)}; }
HWY_INLINE StripReal operator*(StripReal a, float b) { return {hn::Mul(a.v, constant(b))}; }
HWY_INLINE StripBool operator<(StripReal a, StripReal b) { return {hn::Lt(a.v, b.v)}; }
HWY_INLINE StripBool operator<(StripReal a, float b) { return {hn::Lt(a.v, constant(b))}; }
HWY_INLINE StripBool operator&(StripBool a, StripBool b) { return {hn::And(a.m, b.m)}; }
HWY_INLINE StripBool operator|(StripBool a, StripBool b) { return {hn::Or(a.m, b.m)}; }
HWY_INLINE StripBool operator!(StripBool a) { return {hn::Not(a.m)}; }

HWY_INLINE StripReal mul_add(StripReal a, StripReal b, StripReal c) { return {hn::MulAdd(a.v, b.v, c.v)}; }
HWY_INLINE StripReal square_root(StripReal a) { return {hn::Sqrt(a.v)}; }
HWY_INLINE float scalar_root(float a) { return std::sqrt(a); }
HWY_INLINE float scalar_exp(float a) { return std::exp(a); }
HWY_INLINE StripReal select(StripBool m, StripReal a, StripReal b) { return {hn::IfThenElse(m.m, a.v, b.v)}; }

HWY_INLINE StripBlock mul_add(StripReal a, const StripBlock& b, const StripBlock& c) {
  return {
      {mul_add(a, b.v[0], c.v[0]), mul_add(a, b.v[1], c.v[1]), mul_add(a, b.v[2], c.v[2]), mul_add(a, b.v[3], c.v[3])}};
}
HWY_INLINE StripBlock mul_add(float a, const StripBlock& b, const StripBlock& c) {
  return mul_add(StripReal{constant(a)}, b, c);
}
HWY_INLINE StripBlock select(StripBool m, const StripBlock& a, const StripBlock& b) {
  return {{select(m, a.v[0], b.v[0]), select(m, a.v[1], b.v[1]), select(m, a.v[2], b.v[2]), select(m, a.v[3], b.v[3])}};
}

// 0 * v is 0 for finite numbers and NaN for the others.
HWY_INLINE void watch(StripReal& trouble, StripReal v) { trouble.v = hn::MulAdd(hn::Zero(F()), v.v, trouble.v); }
HWY_INLINE void watch(StripReal& trouble, const StripBlock& b) {
  watch(trouble, b.v[0]);
  watch(trouble, b.v[1]);
  watch(trouble, b.v[2]);
  watch(trouble, b.v[3]);
}
HWY_INLINE StripBool in_trouble(StripReal trouble) { return {hn::Not(hn::Eq(trouble.v, hn::Zero(F())))}; }

HWY_INLINE VU word_of(const PhiloxVectors& w, int i) { return i == 0 ? w.r0 : i == 1 ? w.r1 : i == 2 ? w.r2 : w.r3; }
HWY_INLINE StripReal uniform(const PhiloxVectors& w, int i) { return {unit_of(word_of(w, i))}; }
HWY_INLINE StripReal log_uniform(const PhiloxVectors& w, int i) { return {log_unit(word_of(w, i))}; }

enum Row : int { kX, kGradient, kProposal, kProposalGradient, kMomentum };
static_assert(kMomentum + 1 == kMostRows);

// The lanes of vector `v` of a strip that hold chains.
HWY_INLINE Mask valid_lanes(const StripState& state, std::size_t v) {
  const std::size_t first = v * kLanes;
  return hn::FirstN(F(), state.valid > first ? HWY_MIN(state.valid - first, kLanes) : 0);
}

// ---------------------------------------------------------------------------------------------------- uniform start

// Dimensions 4b .. 4b+3; those beyond D are zero.
HWY_INLINE StripBlock start_block(const Counters& counters, std::uint64_t seed, const StartRegion& region, int dim,
                                  int b) {
  const PhiloxVectors w = counters.words(seed, Purpose::initial_position, static_cast<std::uint32_t>(b));
  StripBlock start;
  for (int i = 0; i < 4; ++i) {
    const int k = 4 * b + i;
    if (k >= dim) {
      start.v[i].v = hn::Zero(F());
    } else if (region.lo == nullptr) {
      start.v[i].v = start_of(word_of(w, i));
    } else {
      const VF lo = constant(region.lo[k]), hi = constant(region.hi[k]);
      start.v[i].v = hn::Min(hn::MulAdd(hn::Sub(hi, lo), unit_of(word_of(w, i)), lo), hi);
    }
  }
  return start;
}

void UniformStartStrip(std::uint64_t seed, int dim, const StartRegion& region, const std::uint64_t* ids,
                       const std::uint64_t* steps, float* x) {
  const F d;
  for (std::size_t v = 0; v < kStripVectors; ++v) {
    const Counters counters = load_counters(ids + v * kLanes, steps + v * kLanes, 0);
    for (int b = 0; 4 * b < dim; ++b) {
      const StripBlock start = start_block(counters, seed, region, dim, b);
      for (int i = 0; i < 4 && 4 * b + i < dim; ++i) {
        hn::Store(start.v[i].v, d, x + static_cast<std::size_t>(4 * b + i) * kStrip + v * kLanes);
      }
    }
  }
}

// ---------------------------------------------------------------------------------------------------------- the tile

// kFixes: chains with fixed coordinates, StripState::fixed.
template <bool kFixes>
class StripTile {
 public:
  static constexpr int kGroups = static_cast<int>(kStripVectors);
  using Real = StripReal;
  using Bool = StripBool;
  using Block = StripBlock;
  using Slope = Block;

  StripTile(const PackedNetwork& network, const StepParameters& parameters, const StripState& state,
            const StripScratch& scratch, ChainStats* counts)
      : network_(network), p_(parameters), state_(state), scratch_(scratch), counts_(counts), dim_(network.shape.dim) {
    for (int r = 0; r < kMostRows; ++r) rows_[r] = r == kX ? state.x : scratch.rows[r];
    for (int g = 0; g < kGroups; ++g) offset_[g] = -1;
  }

  static Bool nowhere() { return {hn::FirstN(F(), 0)}; }
  HWY_INLINE Real zero() const { return {hn::Zero(F())}; }
  HWY_INLINE Real infinity() const { return {constant(std::numeric_limits<float>::infinity())}; }
  HWY_INLINE Block zero_block() const { return {{zero(), zero(), zero(), zero()}}; }

  HWY_INLINE int first_block() const { return 0; }
  HWY_INLINE int end_block() const { return (dim_ + 3) / 4; }
  HWY_INLINE int block_stride() const { return 1; }

  HWY_INLINE Block get(int row, int g, int b) const {
    const float* from = at(row, g, b);
    if (HWY_LIKELY(4 * b + 4 <= dim_)) {
      return {{{hn::Load(F(), from)},
               {hn::Load(F(), from + kStrip)},
               {hn::Load(F(), from + 2 * kStrip)},
               {hn::Load(F(), from + 3 * kStrip)}}};
    }
    Block block = zero_block();
    for (int i = 0; 4 * b + i < dim_; ++i) block.v[i].v = hn::Load(F(), from + static_cast<std::size_t>(i) * kStrip);
    return block;
  }
  HWY_INLINE void set(int row, int g, int b, const Block& block) {
    float* to = at(row, g, b);
    if (HWY_LIKELY(4 * b + 4 <= dim_)) {
      hn::Store(block.v[0].v, F(), to);
      hn::Store(block.v[1].v, F(), to + kStrip);
      hn::Store(block.v[2].v, F(), to + 2 * kStrip);
      hn::Store(block.v[3].v, F(), to + 3 * kStrip);
      return;
    }
    for (int i = 0; 4 * b + i < dim_; ++i) hn::Store(block.v[i].v, F(), to + static_cast<std::size_t>(i) * kStrip);
  }
  HWY_INLINE void set_where(Bool where, int row, int g, int b, const Block& block) {
    set(row, g, b, select(where, block, get(row, g, b)));
  }

  HWY_INLINE float step_size() const { return p_.step_size; }
  HWY_INLINE float own(int i) const { return p_.own[i]; }
  HWY_INLINE float jump_prob() const { return p_.jump_prob; }
  HWY_INLINE float difference_prob() const { return p_.difference_prob; }
  HWY_INLINE Real temperature(int g) const {
    if (state_.beta == nullptr) return {constant(1.0f)};
    return {hn::Div(constant(1.0f), hn::Load(F(), state_.beta + lane(g)))};
  }

  HWY_INLINE PhiloxVectors words(Purpose purpose, int g, std::int64_t offset, int block) {
    return counters(g, offset).words(p_.seed, purpose, static_cast<std::uint32_t>(block));
  }
  HWY_INLINE static void foresee(Purpose, std::int64_t) {}
  HWY_INLINE Block normals(Purpose purpose, int g, std::int64_t offset, int b) {
    const PhiloxVectors w = words(purpose, g, offset, b);
    const NormalPair first = normal_pair(w.r0, w.r1), second = normal_pair(w.r2, w.r3);
    Block n{{{first.a}, {first.b}, {second.a}, {second.b}}};
    if (HWY_UNLIKELY(4 * b + 4 > dim_)) {
      for (int i = dim_ - 4 * b; i < 4; ++i) n.v[i] = zero();
    }
    if constexpr (kFixes) return hold(g, b, n, zero_block());
    return n;
  }
  HWY_INLINE Block uniform_start(int g, std::int64_t offset, int b) {
    const Block start = start_block(counters(g, offset), p_.seed, p_.start, dim_, b);
    if constexpr (kFixes) return hold(g, b, start, get(kX, g, b));
    return start;
  }

  HWY_INLINE Block clip(const Block& g) const {
    const VF limit = constant(p_.grad_clip), below = constant(-p_.grad_clip);
    Block r;
    for (int i = 0; i < 4; ++i) r.v[i].v = hn::Min(hn::Max(g.v[i].v, below), limit);
    return r;
  }
  HWY_INLINE Block clamp(int b, Block x) const {
    if (p_.clamp_lo == nullptr) return x;
    for (int i = 0; i < 4 && 4 * b + i < dim_; ++i) {
      x.v[i].v = hn::Min(hn::Max(x.v[i].v, constant(p_.clamp_lo[4 * b + i])), constant(p_.clamp_hi[4 * b + i]));
    }
    return x;
  }
  HWY_INLINE Bool outside_clamp(int b, const Block& x) const {
    Mask out = hn::FirstN(F(), 0);
    for (int i = 0; i < 4 && 4 * b + i < dim_; ++i) {
      out =
          hn::Or(out, outside(4 * b + i, x.v[i].v, {p_.clamp_lo, p_.clamp_hi}, std::numeric_limits<float>::infinity()));
    }
    return {out};
  }
  HWY_INLINE Bool outside_start(int g, int b, const Block& x) const {
    Mask out = hn::FirstN(F(), 0);
    for (int i = 0; i < 4 && 4 * b + i < dim_; ++i) {
      Mask here = outside(4 * b + i, x.v[i].v, p_.start, kStartRadius);
      if constexpr (kFixes) here = hn::AndNot(fixed(g, b, i), here);
      out = hn::Or(out, here);
    }
    return {out};
  }

  // One worker has all dimensions of its chains.
  HWY_INLINE Real sum(Real part) const { return part; }
  HWY_INLINE Bool any(Bool part) const { return part; }
  HWY_INLINE bool here(Bool where) const { return !hn::AllFalse(F(), where.m); }
  HWY_INLINE bool somewhere(Bool where) const { return here(where); }
  HWY_INLINE bool somewhere(const Real (&trouble)[kGroups]) const {
    VF all = trouble[0].v;
    for (int g = 1; g < kGroups; ++g) all = hn::Add(all, trouble[g].v);
    return here(in_trouble({all}));
  }

  HWY_INLINE void count(Move move, int g, Bool proposed, Bool accepted) {
    const Mask mine = hn::And(proposed.m, valid_lanes(state_, static_cast<std::size_t>(g)));
    MoveCount& counted = counts_->moves[static_cast<std::size_t>(move)];
    counted.proposed += hn::CountTrue(F(), mine);
    counted.accepted += hn::CountTrue(F(), hn::And(mine, accepted.m));
  }

  HWY_NOINLINE void restart_lanes(int row, int g, Bool where, std::int64_t offset) {
    for (int b = first_block(); b < end_block(); ++b) set_where(where, row, g, b, uniform_start(g, offset, b));
    const Mask counted = hn::And(where.m, valid_lanes(state_, static_cast<std::size_t>(g)));
    counts_->restarts += hn::CountTrue(F(), counted);
    HWY_ALIGN float marks[kLanes];
    hn::Store(hn::IfThenElseZero(counted, constant(1.0f)), F(), marks);
    for (std::size_t i = 0; i < kLanes; ++i) {
      if (marks[i] != 0) state_.restarted[lane(g) + i] = 1;
    }
  }
  HWY_INLINE void restart(int row, int g, Bool where, std::int64_t offset) {
    if (HWY_UNLIKELY(here(where))) restart_lanes(row, g, where, offset);
  }

  // y = x + d_a - d_b in the lanes of `where`.
  HWY_NOINLINE void set_differences(int row, int g, Bool where, std::int64_t offset) {
    const PhiloxVectors w = words(Purpose::difference, g, offset, 0);
    HWY_ALIGN std::uint32_t first[kLanes], second[kLanes];
    HWY_ALIGN float chosen[kLanes];
    hn::Store(w.r0, U(), first);
    hn::Store(w.r1, U(), second);
    hn::Store(hn::IfThenElseZero(where.m, constant(1.0f)), F(), chosen);
    const auto dim = static_cast<std::size_t>(dim_);
    for (std::size_t i = 0; i < kLanes; ++i) {
      if (chosen[i] == 0) continue;
      const float* a = p_.data + static_cast<std::size_t>(index_below(first[i], p_.n_data)) * dim;
      const float* b = p_.data + static_cast<std::size_t>(index_below(second[i], p_.n_data)) * dim;
      const float* x = rows_[kX] + lane(g) + i;
      float* y = rows_[row] + lane(g) + i;
      for (std::size_t k = 0; k < dim; ++k) y[k * kStrip] = x[k * kStrip] + (a[k] - b[k]);
    }
  }

  // --------------------------------------------------------------------------------------------------- evaluation

  HWY_INLINE void begin_sweeps() {}
  template <class Update>
  HWY_INLINE void sweep(Real (&trouble)[kGroups], const Update& update) {
    HWY_ALIGN float energy[kStrip];
    EvaluateStrip(network_, rows_[kX], scratch_.buffers, energy, rows_[kGradient]);
    for (int g = 0; g < kGroups; ++g) {
      trouble[g] = zero();
      watch(trouble[g], Real{hn::Load(F(), energy + lane(g))});
      const int blocks = end_block();
      for (int b = 0; b < blocks; ++b) {
        const Block next = update(g, b, get(kX, g, b), get(kGradient, g, b));
        if constexpr (kFixes) {
          set(kX, g, b, hold(g, b, next, get(kX, g, b)));
        } else {
          set(kX, g, b, next);
        }
      }
    }
  }
  HWY_INLINE Block descend(int, int, const Block& x, const Slope& slope, Real& trouble) const {
    watch(trouble, slope);
    return mul_add(-p_.step_size, clip(slope), x);
  }

  // The target: E, or beta E + (1 - beta) E0 with a base, with a beta of its own for each chain in `state.beta`.
  HWY_NOINLINE void evaluate(int from, int to, Real (&energy)[kGroups]) {
    HWY_ALIGN float own[kStrip];
    if (!keeps()) {
      EvaluateStrip(network_, rows_[from], scratch_.buffers, own, rows_[to]);
      for (int g = 0; g < kGroups; ++g) {
        energy[g].v = hn::Load(F(), own + lane(g));
        zero_fixed(g, to);
      }
      return;
    }
    EvaluateStrip(network_, rows_[from], scratch_.buffers, scratch_.energy, scratch_.gradient);
    if (p_.base != nullptr) {
      BaseEnergyStrip(*p_.base, dim_, rows_[from], scratch_.base_work, scratch_.base_energy, scratch_.base_gradient);
    }
    for (int g = 0; g < kGroups; ++g) {
      energy[g] = mix(g, scratch_.energy + lane(g), scratch_.base_energy + lane(g));
      mix_gradient(g, scratch_.gradient, scratch_.base_gradient, rows_[to]);
      zero_fixed(g, to);
    }
  }

  HWY_INLINE bool recall(Real (&energy)[kGroups]) {
    if (!state_.known) return false;
    for (int g = 0; g < kGroups; ++g) {
      energy[g] = mix(g, state_.energy + lane(g), state_.base_energy + lane(g));
      mix_gradient(g, state_.gradient, state_.base_gradient, rows_[kGradient]);
      zero_fixed(g, kGradient);
      for (int b = 0; b < end_block(); ++b) set(kGradient, g, b, clip(get(kGradient, g, b)));
    }
    return true;
  }
  HWY_INLINE void remember(const Real (&)[kGroups]) {}

  HWY_INLINE void keep(int g, Bool where) {
    if (!keeps()) return;
    take(where, scratch_.energy + lane(g), state_.energy + lane(g));
    take_row(g, where, scratch_.gradient, state_.gradient);
    if (p_.base == nullptr) return;
    take(where, scratch_.base_energy + lane(g), state_.base_energy + lane(g));
    take_row(g, where, scratch_.base_gradient, state_.base_gradient);
  }
  HWY_INLINE void condemn(int g, Bool where) {
    if (!keeps() || HWY_LIKELY(!here(where))) return;
    float* energy = state_.energy + lane(g);
    hn::Store(select(where, infinity(), Real{hn::Load(F(), energy)}).v, F(), energy);
    for (float* row : {state_.gradient, state_.base_gradient}) {
      for (int k = 0; row != nullptr && k < dim_; ++k) {
        float* const to = row + static_cast<std::size_t>(k) * kStrip + lane(g);
        hn::Store(hn::IfThenZeroElse(where.m, hn::Load(F(), to)), F(), to);
      }
    }
  }

 private:
  static constexpr std::size_t lane(int g) { return static_cast<std::size_t>(g) * kLanes; }
  HWY_INLINE float* at(int row, int g, int b) const {
    return rows_[row] + 4 * static_cast<std::size_t>(b) * kStrip + lane(g);
  }
  bool keeps() const { return state_.energy != nullptr; }

  // The counters of one step, made anew when the step changes.
  HWY_INLINE const Counters& counters(int g, std::int64_t offset) {
    if (offset_[g] != offset) {
      offset_[g] = offset;
      counters_[g] = load_counters(state_.ids + lane(g), state_.steps + lane(g), offset);
    }
    return counters_[g];
  }

  // Dimension k outside the box; without one, beyond `radius` from the origin.
  HWY_INLINE static Mask outside(int k, VF v, const StartRegion& box, float radius) {
    if (box.lo == nullptr) return hn::Gt(hn::Abs(v), constant(radius));
    return hn::Or(hn::Lt(v, constant(box.lo[k])), hn::Gt(v, constant(box.hi[k])));
  }

  HWY_INLINE Mask fixed(int g, int b, int i) const {
    return hn::Ne(hn::Load(F(), state_.fixed + static_cast<std::size_t>(4 * b + i) * kStrip + lane(g)), hn::Zero(F()));
  }
  // The block with its fixed coordinates taken from `instead`.
  HWY_INLINE Block hold(int g, int b, Block block, const Block& instead) const {
    if constexpr (kFixes) {
      for (int i = 0; i < 4 && 4 * b + i < dim_; ++i) {
        block.v[i].v = hn::IfThenElse(fixed(g, b, i), instead.v[i].v, block.v[i].v);
      }
    }
    return block;
  }
  // Of a gradient, the group's.
  HWY_INLINE void zero_fixed(int g, int row) {
    if constexpr (kFixes) {
      for (int b = 0; b < end_block(); ++b) set(row, g, b, hold(g, b, get(row, g, b), zero_block()));
    }
  }

  HWY_INLINE VF beta(int g) const {
    return state_.beta != nullptr ? hn::Load(F(), state_.beta + lane(g)) : constant(p_.beta);
  }
  HWY_INLINE Real mix(int g, const float* own, const float* of_base) const {
    const VF b = beta(g), part = hn::Mul(b, hn::Load(F(), own));
    if (p_.base == nullptr) return {part};
    return {hn::MulAdd(b, hn::Load(F(), own), hn::Mul(hn::Sub(constant(1.0f), b), hn::Load(F(), of_base)))};
  }
  HWY_INLINE void mix_gradient(int g, const float* own, const float* of_base, float* to) const {
    for (int k = 0; k < dim_; ++k) {
      const std::size_t i = static_cast<std::size_t>(k) * kStrip + lane(g);
      hn::Store(mix(g, own + i, of_base + i).v, F(), to + i);
    }
  }

  HWY_INLINE static void take(Bool where, const float* from, float* to) {
    hn::Store(select(where, Real{hn::Load(F(), from)}, Real{hn::Load(F(), to)}).v, F(), to);
  }
  HWY_INLINE void take_row(int g, Bool where, const float* from, float* to) const {
    for (int k = 0; k < dim_; ++k) {
      const std::size_t i = static_cast<std::size_t>(k) * kStrip + lane(g);
      take(where, from + i, to + i);
    }
  }

  const PackedNetwork& network_;
  const StepParameters& p_;
  const StripState& state_;
  const StripScratch& scratch_;
  ChainStats* counts_;
  int dim_;
  float* rows_[kMostRows];
  std::int64_t offset_[kGroups];
  Counters counters_[kGroups];
};

// ------------------------------------------------------------------------------------------------------ the samplers

#define EBM_SAMPLER_BODY
#define EBM_BODY HWY_INLINE
#define EBM_LAMBDA HWY_ATTR
#define EBM_UNROLL
#define EBM_NO_UNROLL
#include "ebmcuda/samplers/all.hpp"
#undef EBM_SAMPLER_BODY
#undef EBM_BODY
#undef EBM_LAMBDA
#undef EBM_UNROLL
#undef EBM_NO_UNROLL

#define EBM_RUN_STRIP(name, type)                                              \
  template <class Tile>                                                        \
  HWY_NOINLINE void run_strip_##name(Tile& tile, std::int64_t n_transitions) { \
    run_##name(tile, n_transitions);                                           \
  }
EBM_SAMPLERS(EBM_RUN_STRIP)
#undef EBM_RUN_STRIP

template <class Tile>
void run_tile(SamplerKind kind, Tile tile, std::int64_t n_transitions) {
  switch (kind) {
#define EBM_RUN_STRIP(name, type)          \
  case SamplerKind::name:                  \
    run_strip_##name(tile, n_transitions); \
    break;
    EBM_SAMPLERS(EBM_RUN_STRIP)
#undef EBM_RUN_STRIP
  }
}

void RunStrip(SamplerKind kind, const PackedNetwork& network, const StepParameters& p, std::int64_t n_transitions,
              const StripState& state, const StripScratch& scratch, ChainStats* counts) {
  if (state.fixed != nullptr) {
    run_tile(kind, StripTile<true>(network, p, state, scratch, counts), n_transitions);
  } else {
    run_tile(kind, StripTile<false>(network, p, state, scratch, counts), n_transitions);
  }
  const auto advance = static_cast<std::uint64_t>(n_transitions * p.evaluations);
  for (std::size_t i = 0; i < kStrip; ++i) state.steps[i] += advance;
}

}  // namespace HWY_NAMESPACE
}  // namespace ebm::cpu
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
