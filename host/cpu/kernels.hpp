// What the vector code offers to the rest of the CPU engine. Chains are processed in *strips* of strip_width() chains
// (two vectors): every array of a strip is [rows][strip_width()], chains along the lanes, so that weights are
// broadcast, nothing is transposed in the loop, and a chain's arithmetic never sees its neighbours. A strip runs all
// its K steps while its state stays in the first-level cache.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include "ebmcuda/sampler.hpp"
#include "host/cpu/packed_network.hpp"

namespace ebm::cpu {

// Chains in a strip on this machine's instruction set.
std::size_t strip_width();
// Rows of a matrix that this machine's micro-kernel computes at once.
int panel_height();
// "AVX2", "AVX3", "SSE2", ...
const char* instruction_set();

// Buffers of one strip's evaluation, [rows][strip_width()] each.
struct EvaluationBuffers {
  float*
      activation[MlpShape::kMostHidden];  // a_l; sampling needs two that alternate, parameter gradients need them all
  float* delta[MlpShape::kMostHidden];    // first act'(z_l), then dE/dz_l
  float* logits;                          // [outputs], logits head only: f, then dE/df
};

// E0(x) = |R (x - mean)|^2 / 2.
struct BaseView {
  const float* mean = nullptr;         // [D]
  const PackedMatrix* root = nullptr;  // R
  const PackedMatrix* root_transposed = nullptr;
};

// One strip's chains, in the engine's storage.
struct StripState {
  float* x;                 // [D][width]
  std::uint64_t* ids;       // [width]
  std::uint64_t* steps;     // [width] number of the next step
  std::uint8_t* restarted;  // [width]
  std::size_t valid;        // chains that exist; lanes beyond are padding
  const float* beta;        // [width] inverse temperatures, or null: StepParameters::beta for all, temperature 1
  const float* fixed;       // [D][width] 1 where a coordinate stays, 0 elsewhere; or null: none does
  // For chains that keep them: of the positions x, from call to call. All null otherwise; E0's without a base.
  float* energy;         // [width] E
  float* base_energy;    // [width] E0
  float* gradient;       // [D][width] grad E
  float* base_gradient;  // [D][width] grad E0
  bool known = false;    // whether these are up to date
};

// Rows of D numbers per chain that a sampler may ask for (Row of tile-inl.h); the first is StripState::x.
inline constexpr int kMostRows = 5;

// Working memory of one thread, from Scratch.
struct StripScratch {
  EvaluationBuffers buffers;
  float* rows[kMostRows];  // [D][width]; [0] is not used
  // For chains that keep E and its gradient only; null otherwise. Of the last evaluation, E and E0 apart:
  float* energy;         // [width]
  float* base_energy;    // [width]
  float* gradient;       // [D][width]
  float* base_gradient;  // [D][width]
  float* base_work;      // [D][width]
};

// Where uniform starts go, [D] each; null: +-3.
struct StartRegion {
  const float* lo = nullptr;
  const float* hi = nullptr;
};

// Transition (host/engine/engine.hpp) as plain numbers.
struct StepParameters {
  std::uint64_t seed = 0;
  std::int64_t evaluations = 1;
  float step_size = 0;
  float own[4] = {};  // the sampler's own numbers
  float grad_clip = std::numeric_limits<float>::infinity();
  const float* clamp_lo = nullptr;  // [D] or null
  const float* clamp_hi = nullptr;
  StartRegion start;
  float jump_prob = 0;
  float difference_prob = 0;
  const float* data = nullptr;  // [n_data, D] row-major, for difference moves
  std::uint64_t n_data = 0;
  const BaseView* base = nullptr;  // needs chains that keep E and its gradient
  float beta = 1;
};

// `count` rows of row-major x [count][dim] into strip layout [dim][width]; lanes beyond `count` get zeros.
void load_strip(const float* x, std::size_t count, int dim, float* strip);
// And back; reads and writes nothing of the lanes beyond.
void store_strip(const float* strip, std::size_t count, int dim, float* x);

// E and grad_x E of a strip: x [D][width] -> energy [width], gradient [D][width] (null: not wanted).
void evaluate_strip(const PackedNetwork& network, const float* x, const EvaluationBuffers& buffers, float* energy,
                    float* gradient);
// f [outputs][width].
void outputs_strip(const PackedNetwork& network, const float* x, const EvaluationBuffers& buffers, float* outputs);
// E0 and grad E0 of a strip; `work` [D][width].
void base_energy_strip(const BaseView& base, int dim, const float* x, float* work, float* energy, float* gradient);

// x [D][width] = the uniform start of each chain at its step.
void uniform_start_strip(std::uint64_t seed, int dim, const StartRegion& region, const std::uint64_t* ids,
                         const std::uint64_t* steps, float* x);

// n transitions of a sampler; adds to every count but `steps`. With `parameters.base` on beta E + (1 - beta) E0.
void run_strip(SamplerKind kind, const PackedNetwork& network, const StepParameters& parameters, std::int64_t n,
               const StripState& state, const StripScratch& scratch, ChainStats* counts);

// The factors c_i of sum_i c_i dE(x_i)/dtheta for one strip, as RowLoss has them: c = weight + energy_weight E.
struct GradientWeights {
  const float* weight = nullptr;  // [width]
  float energy_weight = 0;
  const std::int32_t* labels = nullptr;  // [width]; with them, label_weight times the cross-entropy's gradient is added
  float label_weight = 0;
};
// Forward and backward pass of a strip that leaves a_l in buffers.activation and c dE/dz_l in buffers.delta (all
// distinct), c dE/df in buffers.logits. energy [width], cross_entropy [width] (null without labels).
void parameter_gradient_strip(const PackedNetwork& network, const float* x, const EvaluationBuffers& buffers,
                              const GradientWeights& weights, float* energy, float* cross_entropy);

// For outer products a chunk's matrix [kChunkRows rows][units] is packed into panels of a few units, [panel][row][units
// of the panel], panels one after the other: `broadcast` panels hold 4 units, `across` panels up to three vectors.
// Panels are padded with units of zeros.
enum class Packing { broadcast, across };
// Units of a packed matrix with its padding; times kChunkRows, its floats.
int packed_units(Packing packing, int units);
// Number of unit u of row 0, and from there to row 1.
struct PackedPlace {
  std::size_t at, row_stride;
};
PackedPlace packed_place(Packing packing, int units, int u);
// Rows `first_row` .. of a strip [units][strip_width()] to their places in a chunk's packed matrix of `all_units` >=
// units; touches no others.
void pack_strip(Packing packing, const float* strip, int units, int all_units, std::size_t first_row, float* packed);
// products[i - first][j] = sum over rows r of left(r, i) right(r, j), r ascending from a zero start, for the
// `broadcast` units i of [first, last) (first a multiple of 4) and all `across` units j; row-major,
// packed_units(across, right_units) columns.
void outer_product(const float* left, const float* right, int rows, int first, int last, int right_units,
                   float* products);
// to[i] += from[i]
void add_arrays(float* to, const float* from, std::size_t n);

// Test hooks: the vector forms of the shared formulas. `n` numbers; arrays need no alignment.
void activation_values(Activation activation, const float* z, std::size_t n, float* value, float* derivative);
// n_a and n_b of word pairs.
void normal_pairs(const std::uint32_t* words_a, const std::uint32_t* words_b, std::size_t n, float* n_a, float* n_b);
// ln u(r).
void log_units(const std::uint32_t* words, std::size_t n, float* values);

}  // namespace ebm::cpu
