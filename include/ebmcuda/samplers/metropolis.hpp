// What the exact samplers share: a transition is a trajectory of L evaluations of E and grad E and one decision.
//
// From (x, E, g), with the chain's step number n,
//   u = unit(purpose 9, block 0):  word 0 < jump_prob: the proposal is the uniform start of this step ("jump"),
//                                  else word 1 < difference_prob: x + d_a - d_b with two random training points,
//                                  else the trajectory's own ("local")
// and the proposal y is accepted if ln unit(purpose 4) < log a, where log a = E(x) - E(y), plus what the trajectory
// says for a local move. Refused always: a non-finite E or gradient, a y outside the clamp, a jump from outside the
// region that jumps go to. E and grad E are those of the tile's target, beta E.
//
// A trajectory offers
//   std::int64_t evaluations() const           L
//   begin(tile, offset)                        a transition begins at this offset from the chain's step number
//   propose(tile, g, offset, l, local)         y of evaluation l, in the chains of `local` only
//   evaluated(tile, g, offset, l, energy)      E and gradient of y are there
//   log_ratio(tile, g) -> Real                 what it adds to log a of local moves; sums over all dimensions
#if defined(EBM_SAMPLER_BODY)

template <class Tile>
struct MetropolisMoves {
  typename Tile::Bool jump, difference, local;
};

template <class Tile>
EBM_BODY MetropolisMoves<Tile> draw_moves(Tile& tile, int g, std::int64_t offset) {
  const typename Tile::Bool none = Tile::nowhere();
  if (tile.jump_prob() <= 0.0f && tile.difference_prob() <= 0.0f) return {none, none, !none};
  const auto words = tile.words(Purpose::move, g, offset, 0);
  const typename Tile::Bool jump = uniform(words, 0) < tile.jump_prob();
  const typename Tile::Bool difference = (uniform(words, 1) < tile.difference_prob()) & !jump;
  return {jump, difference, !(jump | difference)};
}

// The proposal of the moves that are not the trajectory's.
template <class Tile>
EBM_BODY void propose_move(Tile& tile, const MetropolisMoves<Tile>& moves, int g, std::int64_t offset) {
  if (tile.here(moves.difference)) tile.set_differences(kProposal, g, moves.difference, offset);
  if (!tile.here(moves.jump)) return;
  EBM_UNROLL
  for (int b = tile.first_block(); b < tile.end_block(); b += tile.block_stride()) {
    tile.set_where(moves.jump, kProposal, g, b, tile.uniform_start(g, offset, b));
  }
}

// A chain that does not stand on finite ground is restarted, once; if that is no better it gets infinite energy and no
// drift, so that its first finite proposal is taken. From the proposal's rows to the chain's own. False when no chain
// needs the second look.
template <class Tile>
EBM_BODY bool enter_chains(Tile& tile, typename Tile::Real (&energy)[Tile::kGroups],
                           const typename Tile::Real (&proposed)[Tile::kGroups], bool last) {
  typename Tile::Bool again = Tile::nowhere();
  EBM_UNROLL
  for (int g = 0; g < Tile::kGroups; ++g) {
    auto trouble = tile.zero();
    watch(trouble, proposed[g]);
    EBM_UNROLL
    for (int b = tile.first_block(); b < tile.end_block(); b += tile.block_stride()) {
      watch(trouble, tile.get(kProposal, g, b));
      watch(trouble, tile.get(kProposalGradient, g, b));
    }
    const auto bad = tile.any(in_trouble(trouble));
    again = again | bad;
    energy[g] = select(bad, tile.infinity(), proposed[g]);
    if (!last) tile.restart(kProposal, g, bad, 0);
    tile.keep(g, !bad);
    tile.condemn(g, bad);
    EBM_UNROLL
    for (int b = tile.first_block(); b < tile.end_block(); b += tile.block_stride()) {
      tile.set(kX, g, b, tile.get(kProposal, g, b));
      tile.set(kGradient, g, b, select(bad, tile.zero_block(), tile.clip(tile.get(kProposalGradient, g, b))));
    }
  }
  return tile.somewhere(again);
}

// The parts of a leapfrog, for trajectories that have momenta.
template <class Tile>
EBM_BODY void draw_momentum(Tile& tile, int g, std::int64_t offset) {
  EBM_UNROLL
  for (int b = tile.first_block(); b < tile.end_block(); b += tile.block_stride()) {
    tile.set(kMomentum, g, b, tile.normals(Purpose::momentum, g, offset, b));
  }
}

// p <- p + kick g(y), and for the chains of `local` y <- y + step p. In the first step of a trajectory y is still x.
template <class Tile>
EBM_BODY void kick_and_drift(Tile& tile, int g, bool first, const typename Tile::Real& kick,
                             const typename Tile::Real& step, const typename Tile::Bool& local) {
  EBM_UNROLL
  for (int b = tile.first_block(); b < tile.end_block(); b += tile.block_stride()) {
    const auto slope = first ? tile.get(kGradient, g, b) : tile.clip(tile.get(kProposalGradient, g, b));
    const auto p = mul_add(kick, slope, tile.get(kMomentum, g, b));
    tile.set(kMomentum, g, b, p);
    const auto from = first ? tile.get(kX, g, b) : tile.get(kProposal, g, b);
    tile.set_where(local, kProposal, g, b, mul_add(step, p, from));
  }
}

// p <- p + kick g(y)
template <class Tile>
EBM_BODY void kick_at_proposal(Tile& tile, int g, const typename Tile::Real& kick) {
  EBM_UNROLL
  for (int b = tile.first_block(); b < tile.end_block(); b += tile.block_stride()) {
    const auto slope = tile.clip(tile.get(kProposalGradient, g, b));
    tile.set(kMomentum, g, b, mul_add(kick, slope, tile.get(kMomentum, g, b)));
  }
}

// |p|^2 / 2
template <class Tile>
EBM_BODY typename Tile::Real kinetic_energy(Tile& tile, int g) {
  auto sum = tile.zero();
  EBM_UNROLL
  for (int b = tile.first_block(); b < tile.end_block(); b += tile.block_stride()) {
    const auto p = tile.get(kMomentum, g, b);
    EBM_UNROLL
    for (int i = 0; i < 4; ++i) sum = mul_add(p.v[i], p.v[i], sum);
  }
  return tile.sum(sum) * 0.5f;
}

template <class Tile, class Trajectory>
EBM_BODY void decide(Tile& tile, Trajectory& local, const MetropolisMoves<Tile>& moves, int g, std::int64_t offset,
                     typename Tile::Real& energy, const typename Tile::Real& proposed) {
  const bool jumps = tile.here(moves.jump);
  auto trouble = tile.zero();
  watch(trouble, proposed);
  auto outside = Tile::nowhere();
  EBM_UNROLL
  for (int b = tile.first_block(); b < tile.end_block(); b += tile.block_stride()) {
    const auto to = tile.get(kProposal, g, b);
    watch(trouble, to);
    watch(trouble, tile.get(kProposalGradient, g, b));
    outside = outside | tile.outside_clamp(b, to);
    if (jumps) outside = outside | (moves.jump & tile.outside_start(g, b, tile.get(kX, g, b)));
  }
  const auto refused = tile.any(outside | in_trouble(trouble));
  const auto log_a = (energy - proposed) + select(moves.local, local.log_ratio(tile, g), tile.zero());
  const auto log_u = log_uniform(tile.words(Purpose::accept, g, offset, 0), 0);
  const auto accepted = (log_u < log_a) & !refused;
  tile.count(Move::local, g, moves.local, accepted);
  tile.count(Move::jump, g, moves.jump, accepted);
  tile.count(Move::difference, g, moves.difference, accepted);
  if (!tile.here(accepted)) return;
  energy = select(accepted, proposed, energy);
  tile.keep(g, accepted);
  EBM_UNROLL
  for (int b = tile.first_block(); b < tile.end_block(); b += tile.block_stride()) {
    tile.set_where(accepted, kX, g, b, tile.get(kProposal, g, b));
    tile.set_where(accepted, kGradient, g, b, tile.clip(tile.get(kProposalGradient, g, b)));
  }
}

// What a run carries from one evaluation to the next, beside its rows and its trajectory.
template <class Tile>
struct MetropolisState {
  typename Tile::Real energy[Tile::kGroups];
  MetropolisMoves<Tile> moves[Tile::kGroups];
};

// All that comes before evaluation l of the transition at `offset`, and all that comes after it: a Tile whose
// evaluations are other kernels' (kernels/chains/layered_tile.cuh) calls these by itself, the others run_metropolis().
template <class Tile, class Trajectory>
EBM_BODY void before_evaluation(Tile& tile, Trajectory& local, MetropolisState<Tile>& state, std::int64_t offset,
                                std::int64_t l) {
  if (l == 0) {
    local.begin(tile, offset);
    EBM_UNROLL
    for (int g = 0; g < Tile::kGroups; ++g) {
      state.moves[g] = draw_moves(tile, g, offset);
      propose_move(tile, state.moves[g], g, offset);
    }
  }
  EBM_UNROLL
  for (int g = 0; g < Tile::kGroups; ++g) local.propose(tile, g, offset, l, state.moves[g].local);
}

template <class Tile, class Trajectory>
EBM_BODY void after_evaluation(Tile& tile, Trajectory& local, MetropolisState<Tile>& state,
                               const typename Tile::Real (&proposed)[Tile::kGroups], std::int64_t offset,
                               std::int64_t l, std::int64_t length) {
  EBM_UNROLL
  for (int g = 0; g < Tile::kGroups; ++g) local.evaluated(tile, g, offset, l);
  if (l + 1 < length) return;
  EBM_UNROLL
  for (int g = 0; g < Tile::kGroups; ++g) {
    decide(tile, local, state.moves[g], g, offset, state.energy[g], proposed[g]);
  }
}

// Where the chains stand, from which a run begins: what the set has kept, else (false) two evaluations of a copy, the
// second only after a restart, each followed by enter_chains().
template <class Tile>
EBM_BODY bool open_chains(Tile& tile, MetropolisState<Tile>& state) {
  if (tile.recall(state.energy)) return true;
  EBM_UNROLL
  for (int g = 0; g < Tile::kGroups; ++g) {
    EBM_UNROLL
    for (int b = tile.first_block(); b < tile.end_block(); b += tile.block_stride()) {
      tile.set(kProposal, g, b, tile.get(kX, g, b));
    }
  }
  return false;
}

template <class Tile, class Trajectory>
EBM_BODY void run_metropolis(Tile& tile, Trajectory& local, std::int64_t n_transitions) {
  const std::int64_t length = local.evaluations(), total = n_transitions * length;
  typename Tile::Real proposed[Tile::kGroups];
  MetropolisState<Tile> state;
  // Evaluations -2 and -1 look where the chains stand; one body serves all.
  std::int64_t e = open_chains(tile, state) ? 0 : -2, offset = 0, l = 0;
  EBM_NO_UNROLL
  for (; e < total; ++e) {
    if (e >= 0) before_evaluation(tile, local, state, offset, l);
    tile.evaluate(kProposal, kProposalGradient, proposed);
    if (e < 0) {
      if (!enter_chains(tile, state.energy, proposed, e == -1)) e = -1;
      continue;
    }
    after_evaluation(tile, local, state, proposed, offset, l, length);
    if (++l < length) continue;
    offset += length;
    l = 0;
  }
  tile.remember(state.energy);
}

#endif  // EBM_SAMPLER_BODY
