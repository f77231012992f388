// How a tile kernel is laid out for one network on one device: tile width, what lives in shared memory, grid. No choice
// changes a chain's bits.
#pragma once

#include "kernels/energy/network.hpp"

namespace ebm {

class KernelLimits;  // kernels/launch.hpp

struct TileLayout {  // numbers of rows (of one float per chain) from the start of the working memory
  int x, gradient;   // the sampler's rows, padded(D) each: these two, and behind them what else it asks for
  int own_gradient;  // of E alone, for chains that keep it
  int base_gradient, base_difference, base_residual;  // with a base only
  int activation[2];                                  // a_l, alternating
  int delta[kMaxLayers - 1];                          // first act'(z_l), then dE/dz_l
  int head;                                           // f, then dE/df
  int parts;                                          // 3 kParts rows of partial sums and flags
  int rows;                                           // in all; tiles of 2 chains have padded(D) more, for noise
};

struct TilePolicy {
  int tile;             // chains per block: 2, 8 or 32; with 2, everything is in shared memory
  bool weights_shared;  // else read through L1 and L2
  bool state_shared;    // else in global memory, one slab per block
  bool operator==(const TilePolicy&) const = default;
};

struct DeviceLimits {
  int multiprocessors;
  std::size_t shared_per_block;  // opt-in
};

struct TilePlan {
  TilePolicy policy;
  TileLayout layout;
  std::size_t shared_bytes;
  int multiprocessors;
  float* slab;  // [blocks, layout.rows, tile], when the state is not shared
  int blocks;   // at most this many: fewer where there are fewer tiles or the device holds fewer
  KernelLimits* limits;
};

}  // namespace ebm
