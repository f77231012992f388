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

#include "kernels/chains/thread_tile.cuh"
#include "kernels/energy/energy.cuh"

namespace ebm::fp32 {

// kFixes: chains with fixed coordinates, ChainsView::fixed.
template <int Width, class Evaluator, bool kFixes = false>
class ChainTile : public ThreadTile<ChainTile<Width, Evaluator, kFixes>, kFixes> {
  using Base = ThreadTile<ChainTile<Width, Evaluator, kFixes>, kFixes>;

 public:
  using Base::kGroups;
  using typename Base::Block;
  using typename Base::Slope;

  __device__ ChainTile(const Evaluator& evaluator, const ChainsView& chains, const StepView& step, const Chain& chain,
                       float step_size, Counter& counter)
      : Base(chains, step, chain, step_size, counter), evaluator_(evaluator) {}

  __device__ int dim() const { return evaluator_.net.dim; }
  __device__ bool speaks() const { return lane().part == 0; }
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
  __device__ Block own_gradient(int b) const { return block_of(own_gradient_row(), b); }
  __device__ Block base_gradient(int b) const { return block_of(base_gradient(), b); }

  __device__ void foresee(Purpose purpose, std::int64_t offset) { next_ = {purpose, offset}; }
  __device__ Block normals(Purpose purpose, int g, std::int64_t offset, int b) const {
    if constexpr (kForesees) {
      if (purpose == drawn_.purpose && offset == drawn_.offset) return this->hold(b, block_of(noise(), b), {});
    }
    return this->draw(purpose, g, offset, b);
  }

  __device__ float sum(float part) {
    // The buffers alternate: a thread comes back to this one only when every other has read it, before the barrier of
    // the call in between.
    if constexpr (Width == 2) return sum_parts_of_two(part);
    buffer_ ^= 1;
    return evaluator_.sum_over_parts(part, buffer_);
  }
  __device__ bool any(bool part) { return sum(part ? 1.0f : 0.0f) > 0.0f; }
  __device__ bool somewhere(bool where) const { return __syncthreads_or(where) != 0; }
  __device__ bool somewhere(const float (&trouble)[kGroups]) const { return somewhere(in_trouble(trouble[0])); }

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
      set(kX, 0, b, this->hold(b, update(0, b, x, get(kGradient, 0, b)), x));
    }
  }

  __device__ void evaluate(int from, int to, float (&energy)[kGroups]) {
    __syncthreads();
    this->energy_ = evaluator_.energy_gradient(rows(from), own_gradient_row(), [&] { draw_foreseen(); });
    if (this->has_base()) {
      this->base_energy_ =
          evaluator_.base_energy_gradient(this->p_.base, this->p_.base_layer, rows(from), base_gradient());
    }
    this->settle(to, energy);
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
          const PhiloxWords w = this->words(next_.purpose, 0, next_.offset, b);
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
  __device__ float* rows(int row) const { return evaluator_.row(evaluator_.layout.x + row * padded(dim())); }
  // Where an evaluation of a proposal puts the gradient of E, which is in its place unless it is kept too.
  __device__ float* own_gradient_row() const {
    return this->keeps() ? evaluator_.row(evaluator_.layout.own_gradient) : rows(kProposalGradient);
  }
  __device__ float* base_gradient() const { return evaluator_.row(evaluator_.layout.base_gradient); }
  __device__ Block block_of(const float* from, int b) const {
    from += 4 * b * Width + lane().chain;
    return this->real({{from[0], from[Width], from[2 * Width], from[3 * Width]}}, b);
  }

  const Evaluator& evaluator_;
  int buffer_ = 0;
  Noise next_ = kNoNoise, drawn_ = kNoNoise;  // announced, and drawn at the last evaluation
};

// Loops over blocks stay rolled: a part has one block for each 32 dimensions. Those over a block's elements unroll by
// themselves.
#include "kernels/chains/sampler_bodies.cuh"

// n transitions of the chains of a tile.
template <SamplerKind kKind, class Tile>
__device__ __forceinline__ void run_sampler(Tile& tile, std::int64_t n) {
#define EBM_RUN_TILE(name, type) \
  if constexpr (kKind == SamplerKind::name) run_##name(tile, n);
  EBM_SAMPLERS(EBM_RUN_TILE)
#undef EBM_RUN_TILE
}

}  // namespace ebm::fp32
