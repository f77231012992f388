// The K-step loop of Langevin dynamics, and what both loops share: starts, noise, restarts. Compiled once per
// instruction set.

#if defined(EBMCUDA_CPU_LANGEVIN_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EBMCUDA_CPU_LANGEVIN_INL_H_
#undef EBMCUDA_CPU_LANGEVIN_INL_H_
#else
#define EBMCUDA_CPU_LANGEVIN_INL_H_
#endif

#include "host/cpu/kernels.hpp"
#include "host/cpu/network-inl.h"
#include "host/cpu/simd_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ebm::cpu {
namespace HWY_NAMESPACE {

constexpr int kBlock = 4;  // dimensions whose numbers come from one Philox block

// The lanes of vector `v` of a strip that hold chains.
HWY_INLINE Mask valid_lanes(const StripState& state, std::size_t v) {
  const std::size_t first = v * kLanes;
  return hn::FirstN(F(), state.valid > first ? HWY_MIN(state.valid - first, kLanes) : 0);
}

HWY_INLINE std::uint64_t count(Mask mask) { return hn::CountTrue(F(), mask); }

HWY_INLINE VF clip(VF g, float limit) { return hn::Min(hn::Max(g, constant(-limit)), constant(limit)); }

// Four vectors of one Philox block, by dimension.
struct BlockValues {
  VF value[kBlock];
};

HWY_INLINE BlockValues normal_block(const Counters& counters, std::uint64_t seed, Purpose purpose, int block) {
  const PhiloxVectors w = counters.words(seed, purpose, static_cast<std::uint32_t>(block));
  const NormalPair first = normal_pair(w.r0, w.r1);
  const NormalPair second = normal_pair(w.r2, w.r3);
  return {{first.a, first.b, second.a, second.b}};
}

HWY_INLINE BlockValues start_block(const Counters& counters, std::uint64_t seed, int block) {
  const PhiloxVectors w = counters.words(seed, Purpose::initial_position, static_cast<std::uint32_t>(block));
  return {{start_of(w.r0), start_of(w.r1), start_of(w.r2), start_of(w.r3)}};
}

// x = the uniform start in the lanes of `lanes`.
HWY_NOINLINE void start_lanes(const Counters& counters, std::uint64_t seed, int dim, Mask lanes, float* x) {
  const F d;
  for (int k = 0; k < dim; k += kBlock) {
    const BlockValues start = start_block(counters, seed, k / kBlock);
    for (int i = 0; i < kBlock && k + i < dim; ++i, x += kStrip) {
      hn::Store(hn::IfThenElse(lanes, start.value[i], hn::Load(d, x)), d, x);
    }
  }
}

void UniformStartStrip(std::uint64_t seed, int dim, const std::uint64_t* ids, const std::uint64_t* steps, float* x) {
  const F d;
  for (std::size_t v = 0; v < kStripVectors; ++v) {
    start_lanes(load_counters(ids + v * kLanes, steps + v * kLanes, 0), seed, dim, hn::FirstN(d, kLanes),
                x + v * kLanes);
  }
}

HWY_INLINE void mark_restarted(Mask lanes, std::uint8_t* flags) {
  HWY_ALIGN float marks[kLanes];
  hn::Store(hn::IfThenElseZero(lanes, constant(1.0f)), F(), marks);
  for (std::size_t i = 0; i < kLanes; ++i) {
    if (marks[i] != 0) flags[i] = 1;
  }
}

// ------------------------------------------------------------------------------------------------ Langevin dynamics

void LangevinStrip(const PackedNetwork& network, const StepParameters& p, std::int64_t n_steps, const StripState& state,
                   const StripScratch& scratch, ChainStats* counts) {
  const F d;
  const int dim = network.shape.dim;
  const VF step_size = constant(p.step_size), noise_scale = constant(p.noise_scale);
  HWY_ALIGN float energy[kStrip];
  for (std::int64_t s = 0; s < n_steps; ++s) {
    EvaluateStrip(network, state.x, scratch.buffers, energy, scratch.gradient);
    for (std::size_t v = 0; v < kStripVectors; ++v) {
      const Counters counters = load_counters(state.ids + v * kLanes, state.steps + v * kLanes, s);
      // The running sum of v - v is 0 while everything is finite and NaN ever after.
      const VF e = hn::Load(d, energy + v * kLanes);
      VF trouble = hn::Sub(e, e);
      float* x = state.x + v * kLanes;
      const float* g = scratch.gradient + v * kLanes;
      for (int k = 0; k < dim; k += kBlock) {
        const BlockValues noise = normal_block(counters, p.seed, Purpose::langevin_noise, k / kBlock);
        for (int i = 0; i < kBlock && k + i < dim; ++i, x += kStrip, g += kStrip) {
          const VF gradient = hn::Load(d, g);
          VF next = hn::NegMulAdd(step_size, clip(gradient, p.grad_clip), hn::Load(d, x));
          next = hn::MulAdd(noise_scale, noise.value[i], next);
          trouble = hn::Add(trouble, hn::Add(hn::Sub(gradient, gradient), hn::Sub(next, next)));
          if (p.clamp_lo != nullptr) {
            next = hn::Min(hn::Max(next, constant(p.clamp_lo[k + i])), constant(p.clamp_hi[k + i]));
          }
          hn::Store(next, d, x);
        }
      }
      const Mask bad = hn::Not(hn::Eq(trouble, hn::Zero(d)));
      if (HWY_UNLIKELY(!hn::AllFalse(d, bad))) {
        start_lanes(counters, p.seed, dim, bad, state.x + v * kLanes);
        const Mask counted = hn::And(bad, valid_lanes(state, v));
        counts->restarts += count(counted);
        mark_restarted(counted, state.restarted + v * kLanes);
      }
    }
  }
  for (std::size_t i = 0; i < kStrip; ++i) state.steps[i] += static_cast<std::uint64_t>(n_steps);
}

}  // namespace HWY_NAMESPACE
}  // namespace ebm::cpu
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
