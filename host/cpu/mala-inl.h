// The K-step loop of the Metropolis-adjusted chain. Compiled once per instruction set.

#if defined(EBMCUDA_CPU_MALA_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EBMCUDA_CPU_MALA_INL_H_
#undef EBMCUDA_CPU_MALA_INL_H_
#else
#define EBMCUDA_CPU_MALA_INL_H_
#endif

#include <cmath>
#include <limits>

#include "host/cpu/langevin-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ebm::cpu {
namespace HWY_NAMESPACE {

// The energy that a chain runs on: E, or beta E + (1 - beta) E0.
struct Target {
  const PackedNetwork& network;
  const BaseView* base;
  float beta;
  const StripScratch& scratch;

  // energy and gradient are E's own; base_energy is E0, whose gradient goes to `base_gradient` (both only with a base).
  HWY_INLINE void evaluate(const float* x, float* energy, float* gradient, float* base_energy,
                           float* base_gradient) const {
    EvaluateStrip(network, x, scratch.buffers, energy, gradient);
    if (base != nullptr) {
      BaseEnergyStrip(*base, network.shape.dim, x, scratch.base_work, base_energy, base_gradient);
    }
  }
  HWY_INLINE VF mix(const float* own, const float* of_base) const {
    const F d;
    if (base == nullptr) return hn::Load(d, own);
    return hn::MulAdd(constant(beta), hn::Load(d, own), hn::Mul(constant(1.0f - beta), hn::Load(d, of_base)));
  }
};

struct Moves {
  Mask jump, difference;  // the other lanes move locally
};

HWY_INLINE Moves draw_moves(const Counters& counters, const StepParameters& p) {
  const F d;
  const Mask none = hn::FirstN(d, 0);
  if (p.jump_prob <= 0 && p.difference_prob <= 0) return {none, none};
  const PhiloxVectors w = counters.words(p.seed, Purpose::move, 0);
  const Mask jump = hn::Lt(unit_of(w.r0), constant(p.jump_prob));
  return {jump, hn::AndNot(jump, hn::Lt(unit_of(w.r1), constant(p.difference_prob)))};
}

// y = x + d_a - d_b in the lanes of `lanes`.
HWY_NOINLINE void difference_lanes(const Counters& counters, const StepParameters& p, int dim, Mask lanes,
                                   const float* x, float* y) {
  const U u;
  const PhiloxVectors w = counters.words(p.seed, Purpose::difference, 0);
  HWY_ALIGN std::uint32_t first[kLanes], second[kLanes];
  HWY_ALIGN float chosen[kLanes];
  hn::Store(w.r0, u, first);
  hn::Store(w.r1, u, second);
  hn::Store(hn::IfThenElseZero(lanes, constant(1.0f)), F(), chosen);
  for (std::size_t i = 0; i < kLanes; ++i) {
    if (chosen[i] == 0) continue;
    const float* a = p.data + static_cast<std::size_t>(index_below(first[i], p.n_data)) * static_cast<std::size_t>(dim);
    const float* b =
        p.data + static_cast<std::size_t>(index_below(second[i], p.n_data)) * static_cast<std::size_t>(dim);
    for (int k = 0; k < dim; ++k) {
      const std::size_t at = static_cast<std::size_t>(k) * kStrip + i;
      y[at] = x[at] + (a[k] - b[k]);
    }
  }
}

struct Proposal {
  Moves moves;
  Mask allowed;  // finite, inside the clamp, and for jumps between points of the box
};

// Writes y for one vector of chains.
HWY_INLINE Proposal propose(const Counters& counters, const StepParameters& p, int dim, const float* x,
                            const float* gradient, float* y) {
  const F d;
  Proposal proposal{draw_moves(counters, p), hn::FirstN(d, kLanes)};
  const VF step_size = constant(p.step_size), noise_scale = constant(std::sqrt(2.0f * p.step_size));
  for (int k = 0; k < dim; k += kBlock) {
    const BlockValues noise = normal_block(counters, p.seed, Purpose::langevin_noise, k / kBlock);
    for (int i = 0; i < kBlock && k + i < dim; ++i) {
      const std::size_t at = static_cast<std::size_t>(k + i) * kStrip;
      const VF drifted = hn::NegMulAdd(step_size, hn::Load(d, gradient + at), hn::Load(d, x + at));
      hn::Store(hn::MulAdd(noise_scale, noise.value[i], drifted), d, y + at);
    }
  }
  if (!hn::AllFalse(d, proposal.moves.difference)) {
    difference_lanes(counters, p, dim, proposal.moves.difference, x, y);
  }
  const bool any_jump = !hn::AllFalse(d, proposal.moves.jump);
  if (any_jump) start_lanes(counters, p.seed, dim, proposal.moves.jump, y);

  Mask outside = hn::FirstN(d, 0);  // of the box that jumps go to
  for (int k = 0; k < dim; ++k) {
    const std::size_t at = static_cast<std::size_t>(k) * kStrip;
    const VF to = hn::Load(d, y + at);
    proposal.allowed = hn::And(proposal.allowed, is_finite(to));
    if (p.clamp_lo != nullptr) {
      proposal.allowed =
          hn::And(proposal.allowed, hn::And(hn::Ge(to, constant(p.clamp_lo[k])), hn::Le(to, constant(p.clamp_hi[k]))));
    }
    if (any_jump) outside = hn::Or(outside, hn::Gt(hn::Abs(hn::Load(d, x + at)), constant(3.0f)));
  }
  proposal.allowed = hn::AndNot(hn::And(outside, proposal.moves.jump), proposal.allowed);
  return proposal;
}

// One thread's view of the chains while they run; [kStrip] each.
struct ChainEnergies {
  HWY_ALIGN float energy[kStrip], base_energy[kStrip];
};

// E and its gradient where the chains stand. A chain that does not stand on finite ground is restarted, once.
HWY_NOINLINE void enter_mala(const Target& target, const StepParameters& p, const StripState& state, float* gradient,
                             float* base_gradient, ChainEnergies* current, ChainStats* counts) {
  const F d;
  const int dim = target.network.shape.dim;
  if (state.known) {
    for (std::size_t i = 0; i < kStrip; i += kLanes) {
      hn::Store(hn::Load(d, state.energy + i), d, current->energy + i);
      hn::Store(hn::Load(d, state.base_energy + i), d, current->base_energy + i);
    }
    return;
  }
  bool again = true;
  for (int attempt = 0; attempt < 2 && again; ++attempt) {
    target.evaluate(state.x, current->energy, gradient, current->base_energy, base_gradient);
    again = false;
    for (std::size_t v = 0; v < kStripVectors; ++v) {
      VF trouble = target.mix(current->energy + v * kLanes, current->base_energy + v * kLanes);
      trouble = hn::Sub(trouble, trouble);
      for (int k = 0; k < dim; ++k) {
        const std::size_t at = static_cast<std::size_t>(k) * kStrip + v * kLanes;
        const VF sum = hn::Add(hn::Load(d, state.x + at), hn::Load(d, gradient + at));
        trouble = hn::Add(trouble, hn::Sub(sum, sum));
      }
      const Mask bad = hn::Not(hn::Eq(trouble, hn::Zero(d)));
      if (HWY_LIKELY(hn::AllFalse(d, bad))) continue;
      if (attempt == 0) {
        start_lanes(load_counters(state.ids + v * kLanes, state.steps + v * kLanes, 0), p.seed, dim, bad,
                    state.x + v * kLanes);
        const Mask counted = hn::And(bad, valid_lanes(state, v));
        counts->restarts += count(counted);
        mark_restarted(counted, state.restarted + v * kLanes);
        again = true;
        continue;
      }
      // The restart is no better: infinite energy and no drift, so that the first finite proposal is taken.
      hn::Store(hn::IfThenElse(bad, constant(std::numeric_limits<float>::infinity()),
                               hn::Load(d, current->energy + v * kLanes)),
                d, current->energy + v * kLanes);
      for (int k = 0; k < dim; ++k) {
        float* g = gradient + static_cast<std::size_t>(k) * kStrip + v * kLanes;
        hn::Store(hn::IfThenZeroElse(bad, hn::Load(d, g)), d, g);
      }
    }
  }
}

// scratch.gradient = the clipped gradient of the mixed energy.
HWY_INLINE void clip_gradient(const Target& target, const StepParameters& p, const float* gradient,
                              const float* base_gradient, float* out) {
  const F d;
  for (std::size_t i = 0; i < static_cast<std::size_t>(target.network.shape.dim) * kStrip; i += kLanes) {
    hn::Store(clip(target.mix(gradient + i, base_gradient + i), p.grad_clip), d, out + i);
  }
}

void MalaStrip(const PackedNetwork& network, const StepParameters& p, const BaseView* base, std::int64_t n_steps,
               const StripState& state, const StripScratch& scratch, ChainStats* counts) {
  const F d;
  const int dim = network.shape.dim;
  const Target target{network, base, base != nullptr ? p.beta : 1.0f, scratch};
  // Without a base the clipped gradient is all that is needed of the current position.
  float* const gradient = base != nullptr ? state.gradient : scratch.gradient;
  ChainEnergies current, proposed;
  enter_mala(target, p, state, gradient, state.base_gradient, &current, counts);
  clip_gradient(target, p, gradient, state.base_gradient, scratch.gradient);

  const VF half = constant(0.5f), quarter_step = constant(0.25f * p.step_size);
  for (std::int64_t s = 0; s < n_steps; ++s) {
    Proposal proposals[kStripVectors];
    Counters counters[kStripVectors];
    for (std::size_t v = 0; v < kStripVectors; ++v) {
      counters[v] = load_counters(state.ids + v * kLanes, state.steps + v * kLanes, s);
      proposals[v] = propose(counters[v], p, dim, state.x + v * kLanes, scratch.gradient + v * kLanes,
                             scratch.proposal + v * kLanes);
    }
    target.evaluate(scratch.proposal, proposed.energy, scratch.proposal_gradient, proposed.base_energy,
                    scratch.base_gradient);
    for (std::size_t v = 0; v < kStripVectors; ++v) {
      const std::size_t lane = v * kLanes;
      const Moves moves = proposals[v].moves;
      const Mask local = hn::Not(hn::Or(moves.jump, moves.difference));
      // log of the ratio of proposal densities, (|y - x + h g_x|^2 - |x - y + h g_y|^2) / (4h), with the difference of
      // squares multiplied out so that nothing large cancels.
      VF log_q = hn::Zero(d), trouble = hn::Zero(d);
      for (int k = 0; k < dim; ++k) {
        const std::size_t at = static_cast<std::size_t>(k) * kStrip + lane;
        const VF raw = target.mix(scratch.proposal_gradient + at, scratch.base_gradient + at);
        trouble = hn::Add(trouble, hn::Sub(raw, raw));
        const VF g_x = hn::Load(d, scratch.gradient + at);
        const VF g_y = clip(raw, p.grad_clip);
        const VF move = hn::Sub(hn::Load(d, scratch.proposal + at), hn::Load(d, state.x + at));
        const VF mean = hn::MulAdd(quarter_step, hn::Sub(g_x, g_y), hn::Mul(half, move));
        log_q = hn::MulAdd(mean, hn::Add(g_x, g_y), log_q);
      }
      const VF e_x = target.mix(current.energy + lane, current.base_energy + lane);
      const VF e_y = target.mix(proposed.energy + lane, proposed.base_energy + lane);
      const VF log_a = hn::Add(hn::Sub(e_x, e_y), hn::IfThenElseZero(local, log_q));
      const VF log_u = log_unit(counters[v].words(p.seed, Purpose::accept, 0).r0);
      const Mask finite = hn::And(is_finite(e_y), hn::Eq(trouble, hn::Zero(d)));
      const Mask accepted = hn::And(hn::Lt(log_u, log_a), hn::And(finite, proposals[v].allowed));

      const Mask valid = valid_lanes(state, v);
      counts->proposed += count(hn::And(valid, local));
      counts->accepted += count(hn::And(valid, hn::And(local, accepted)));
      counts->jumps_proposed += count(hn::And(valid, moves.jump));
      counts->jumps_accepted += count(hn::And(valid, hn::And(moves.jump, accepted)));
      counts->differences_proposed += count(hn::And(valid, moves.difference));
      counts->differences_accepted += count(hn::And(valid, hn::And(moves.difference, accepted)));
      if (hn::AllFalse(d, accepted)) continue;

      const auto take = [accepted, d](const float* from, float* to) HWY_ATTR {
        hn::Store(hn::IfThenElse(accepted, hn::Load(d, from), hn::Load(d, to)), d, to);
      };
      take(proposed.energy + lane, current.energy + lane);
      if (base != nullptr) take(proposed.base_energy + lane, current.base_energy + lane);
      for (int k = 0; k < dim; ++k) {
        const std::size_t at = static_cast<std::size_t>(k) * kStrip + lane;
        take(scratch.proposal + at, state.x + at);
        const VF g_y = clip(target.mix(scratch.proposal_gradient + at, scratch.base_gradient + at), p.grad_clip);
        if (base != nullptr) {
          take(scratch.proposal_gradient + at, state.gradient + at);
          take(scratch.base_gradient + at, state.base_gradient + at);
        }
        hn::Store(hn::IfThenElse(accepted, g_y, hn::Load(d, scratch.gradient + at)), d, scratch.gradient + at);
      }
    }
  }
  for (std::size_t i = 0; i < kStrip; ++i) state.steps[i] += static_cast<std::uint64_t>(n_steps);
  if (base != nullptr) {
    for (std::size_t i = 0; i < kStrip; i += kLanes) {
      hn::Store(hn::Load(d, current.energy + i), d, state.energy + i);
      hn::Store(hn::Load(d, current.base_energy + i), d, state.base_energy + i);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace ebm::cpu
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
