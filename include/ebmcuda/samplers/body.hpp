// What the body of a sampler is written in. A sampler's file ends in its *body*: one function template over a Tile, the
// chains that an engine's worker holds. Every engine includes all.hpp once more inside its own namespace with
// EBM_SAMPLER_BODY defined, after it has defined its Tile and these macros:
//
//   EBM_BODY    stands before a function: its attributes on this engine
//   EBM_LAMBDA  stands after a lambda's parameters: the same
//   EBM_UNROLL  stands before a loop over groups, blocks or elements that is to be unrolled, EBM_NO_UNROLL before one
//               that is not
//
// A body includes nothing. Where it runs there may be no standard library (NVRTC), and the functions that it calls are
// those of the namespace it is included in.
//
// Words. A Tile holds kGroups *groups* of chains; a worker computes with one Real, or Bool, per group, which stands for
// one chain (a GPU's lane) or for a vector of them (a CPU's). It walks its share of the dimensions in *blocks* of four,
// those of one Philox block; a Block is four Reals. Elements beyond D read as zero in every row and random block, and
// what is written to them is dropped.
//
// Chains may have *fixed coordinates*, other ones each. Those read as zero in gradients and random blocks, and as x in
// the uniform start, so that no arithmetic of a body moves them, gives them a momentum or adds to a ratio; a sweep
// leaves them, and they are never outside the start region. A Tile for chains without them has no code for them.
//
//   for (int b = tile.first_block(); b < tile.end_block(); b += tile.block_stride())
//
// Rows are D numbers of every chain: kX, kGradient (of the target at x, clipped), kProposal, kProposalGradient (as it
// came, not clipped), and kMomentum for those that ask for it (kRows).
//
//   tile.get(row, g, b) -> Block                     tile.set(row, g, b, Block)
//   tile.evaluate(kProposal, kProposalGradient, energy)   beta E and its gradient, energy[kGroups]
//   tile.step_size() -> float                        the local step, as adapted
//   tile.temperature(g) -> Real                      1 / beta of the chain
//   tile.own(i) -> float                             the sampler's own numbers, in the order of its `own()`
//   tile.words(purpose, g, offset, block)            Philox words of the chain's step number plus offset
//   tile.normals(purpose, g, offset, b) -> Block     tile.uniform_start(g, offset, b) -> Block
//   tile.foresee(purpose, offset)                    after the next evaluation these normals will be asked for: an
//   engine
//                                                    may draw them meanwhile, or take no notice
//   uniform(words, i) -> Real in (0, 1)              log_uniform(words, i) -> its logarithm
//   tile.clip(Block) -> Block                        by grad_clip
//   tile.sum(Real) -> Real                           over the workers that share the chain's dimensions
//   tile.any(Bool) -> Bool                           the same for a flag
//   tile.somewhere(Bool) -> bool                     true when it holds for any chain of the worker's lanes
//   tile.restart(row, g, Bool, offset)               the uniform start in this row; flagged and counted
//   tile.count(Move, g, proposed, accepted)
//   tile.here(Bool) -> bool                          true when it holds for any chain of this Bool's lanes
//
// evaluate(), sweep(), begin_sweeps(), sum(), any() and somewhere() may be barriers between workers: every worker comes
// to them, so they stand under no condition that differs between chains, here() included.
//
// A set of chains may keep E and grad E between calls and pieces of a path, apart from beta: recall(energy) puts them
// into energy and kGradient, or says false; keep(g, Bool) takes those of the last evaluate() for some chains;
// condemn(g, Bool) notes infinite energy and no gradient; remember(energy) ends a call.
//
// Arithmetic: + - * on Real, & | ! on Bool, < on Reals, mul_add(a, b, c) = a b + c in one rounding where the machine
// has it, select(Bool, a, b), square_root, absolute, is_finite. A *trouble* is a Real that is 0 while all that it has
// watched was finite and NaN ever after: watch(trouble, Real or Block), in_trouble(trouble) -> Bool.
#pragma once
