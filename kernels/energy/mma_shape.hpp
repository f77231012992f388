// What a tensor-core kernel is specialised to, and the layout that follows from it: the same formulas for the host,
// which plans a launch, and for the device. Compiled by NVRTC too.
#pragma once

#include "kernels/math/activation.hpp"
// After portable.hpp, whose integers it needs at run time.
#include "ebmcuda/samplers/all.hpp"
#include "kernels/chains/rows.hpp"

namespace ebm {

constexpr int kMmaPad = 8;    // halves added to each row of W: 8 rows of 16 bytes then lie on different banks
constexpr int kMmaRows = 16;  // chains per warp
constexpr int kMaxHidden = 4;

// A network's units and dimensions padded with zeros, which changes nothing but the work.
struct MmaShape {
  int dim;                // a multiple of 16
  bool exact;             // the network's D is `dim`; else any D <= dim, masked at run time
  int layers;             // hidden
  int width[kMaxHidden];  // multiples of 32; 0 beyond `layers`
  ActivationKind activation;
  bool operator==(const MmaShape&) const = default;

  EBM_HD constexpr int fan_in(int l) const { return l == 0 ? dim : width[l - 1]; }
  EBM_HD constexpr int pitch(int l) const { return fan_in(l) + kMmaPad; }  // of W_l, in halves
  EBM_HD constexpr int matrix_offset(int l) const {                        // of W_l, in bytes
    int bytes = 0;
    for (int k = 0; k < l; ++k) bytes += 2 * width[k] * pitch(k);
    return bytes;
  }
  EBM_HD constexpr int matrices_bytes() const { return matrix_offset(layers); }  // of all hi parts, or all lo parts
  EBM_HD constexpr int bias_offset(int l) const {                                // in floats; l == layers: of w_out
    int floats = 0;
    for (int k = 0; k < l; ++k) floats += width[k];
    return floats;
  }
  EBM_HD constexpr int half_offset() const { return bias_offset(layers) + width[layers - 1]; }  // w_out in halves
  EBM_HD constexpr int tail_offset() const { return half_offset() + width[layers - 1] / 2; }
  EBM_HD constexpr int floats_bytes() const { return 4 * (tail_offset() + 4); }
  EBM_HD constexpr int widest() const {
    int most = 0;
    for (int l = 0; l < layers; ++l) most = width[l] > most ? width[l] : most;
    return most;
  }
};

// One kernel of a shape.
struct MmaVariant {
  bool split;  // fp16x3, else fp16
  SamplerKind kind;
  bool metropolis;  // the sampler's Traits
  int rows;
  bool limited;   // a sampler that sweeps, with grad_clip or a clamp; Metropolis-adjusted chains always look
  bool tempered;  // Metropolis-adjusted chains on beta E
  bool fixes;     // chains with fixed coordinates
  bool operator==(const MmaVariant&) const = default;

  // Terms of the forward and backward products. Metropolis-adjusted chains need E at single-precision grade: their
  // forward pass is always split, so that fp16 means a half-precision gradient, which costs acceptance but no
  // exactness.
  EBM_HD constexpr int forward() const { return split || metropolis ? 3 : 1; }
  EBM_HD constexpr int backward() const { return split ? 3 : 1; }
  // Of the weights in shared memory: hi, or hi and lo.
  EBM_HD constexpr int copies() const { return forward() == 3 ? 2 : 1; }
};

#if !defined(__CUDACC_RTC__)
constexpr MmaVariant mma_variant(bool split, SamplerKind kind, bool limited = false, bool tempered = false,
                                 bool fixes = false) {
  MmaVariant variant{split, kind, false, 0, limited, tempered, fixes};
  switch (kind) {
#define EBM_ROWS(name, type)                        \
  case SamplerKind::name:                           \
    variant.metropolis = type::Traits::kMetropolis; \
    variant.rows = type::Traits::kRows;             \
    break;
    EBM_SAMPLERS(EBM_ROWS)
#undef EBM_ROWS
  }
  variant.limited = limited && !variant.metropolis;
  variant.tempered = tempered && variant.metropolis;
  return variant;
}
#endif

// What a lane keeps in shared memory, and how many warps have registers enough.
struct MmaState {
  bool slopes_shared;           // act' of all but the last layer; else in registers
  bool positions_shared;        // the rows that an evaluation reads and writes; else in registers
  int slope_words[kMaxHidden];  // per lane, by layer
  int first_hot, hot_rows;      // those rows: x, or the proposal and its gradient
  int cold_rows;                // always in shared memory
  int words;                    // per lane in all
  int most_warps;               // per block

  // Where layer l's slopes begin in a lane's words; l == layers - 1: where they end.
  EBM_HD constexpr int slope_offset(int l) const {
    int before = 0;
    for (int k = 0; k < l; ++k) before += slope_words[k];
    return before;
  }
  EBM_HD constexpr bool hot(int row) const { return row >= first_hot && row < first_hot + hot_rows; }
  // The place of a row among those in shared memory; the hot ones, if they are there, come first.
  EBM_HD constexpr int place(int row) const {
    if (hot(row)) return row - first_hot;
    return (positions_shared ? hot_rows : 0) + (row < kProposal ? row : row - 2);
  }

  EBM_HD static constexpr MmaState of(const MmaShape& shape, const MmaVariant& variant) {
    MmaState s{};
    const bool wide = shape.widest() > 128;
    s.slopes_shared = variant.split || wide || shape.layers > 3;
    // 12 warps leave 168 registers to a lane, 8 leave 255.
    s.most_warps = variant.split || variant.metropolis || wide || shape.layers > 2 || shape.dim > 64 ? 8 : 12;
    // The half-precision Langevin kernel needs x only where it updates it: what it computes with are x's halves. So x
    // makes way where registers are short.
    s.positions_shared = wide || shape.dim > 64 || s.most_warps == 12;
    // A sampler that sweeps has no gradient in a row, and no proposal.
    s.first_hot = variant.metropolis ? kProposal : kX;
    s.hot_rows = variant.metropolis ? 2 : 1;
    s.cold_rows = variant.rows - 2;
    for (int l = 0; s.slopes_shared && l + 1 < shape.layers; ++l) {
      s.slope_words[l] = variant.backward() == 3 ? shape.width[l] / 2 : shape.width[l] / 4;
      s.words += s.slope_words[l];
    }
    s.words += (s.cold_rows + (s.positions_shared ? s.hot_rows : 0)) * shape.dim / 2;
    return s;
  }
};

// Shared memory of a block with so many warps.
EBM_HD constexpr int mma_shared_bytes(const MmaShape& shape, const MmaVariant& variant, int warps) {
  return variant.copies() * shape.matrices_bytes() + shape.floats_bytes() +
         warps * MmaState::of(shape, variant).words * 32 * 4;
}

// Activations in scaled units: the kernel's z is s times the network's and its activation too, with s = log2 e where
// that saves a multiplication per unit. W_1 and all biases carry s, w_out its inverse; the other weights and all slopes
// stay what they are.
EBM_HD constexpr float mma_scale(ActivationKind kind) {
  return kind == ActivationKind::silu || kind == ActivationKind::softplus ? 1.4426950408889634f : 1.0f;  // log2 e
}

}  // namespace ebm
