// The Tile of the layered path: a warp with one chain, whose rows stand in a chunk's matrices in global memory. Its
// evaluations are other kernels', so a sampler's run is cut there: the Tile has its own run_metropolis(), which goes
// from one evaluation to the next by the two functions that everybody's is made of, and run_langevin() takes one step
// at a time.
#pragma once

#include <type_traits>

#include "kernels/chains/layered_chains.hpp"
#include "kernels/chains/thread_tile.cuh"
#include "kernels/energy/warp_row.cuh"

namespace ebm::layered {

class LayeredTile : public ThreadTile<LayeredTile, true> {
 public:
  // The chunk's chain i.
  __device__ LayeredTile(const LayeredChunk& chunk, const Chain& chain, std::int64_t i, std::int64_t evaluation,
                         Counter& counter)
      : ThreadTile(chunk.chains, chunk.step, chain, step_size_of(chunk.step), counter),
        chunk_(chunk),
        i_(i),
        evaluation_(evaluation) {}

  __device__ int dim() const { return chunk_.dim; }
  __device__ bool speaks() const { return lane_of_warp() == 0; }
  __device__ int first_block() const { return lane_of_warp(); }
  __device__ int end_block() const { return padded(dim()) / 4; }
  __device__ int block_stride() const { return kLanes; }

  __device__ Block get(int row, int, int b) const { return block_of(chunk_.rows + row * chunk_.stride, b); }
  // Beyond D a row holds zeros, which the products read.
  __device__ void set(int row, int, int b, const Block& block) {
    const Block own = real(block, b);
    *reinterpret_cast<float4*>(chunk_.rows + row * chunk_.stride + offset(b)) =
        make_float4(own.v[0], own.v[1], own.v[2], own.v[3]);
  }
  __device__ Block own_gradient(int b) const { return block_of(chunk_.own_gradient, b); }
  __device__ Block base_gradient(int b) const { return block_of(chunk_.base_gradient, b); }

  __device__ void foresee(Purpose, std::int64_t) {}
  __device__ Block normals(Purpose purpose, int g, std::int64_t offset, int b) const {
    return draw(purpose, g, offset, b);
  }

  __device__ float sum(float part) const { return sum_over_warp(part); }
  __device__ bool any(bool part) const { return __any_sync(0xFFFFFFFFu, part) != 0; }
  __device__ bool somewhere(bool where) const { return any(where); }
  __device__ bool somewhere(const float (&trouble)[kGroups]) const { return any(in_trouble(trouble[0])); }

  // --------------------------------------------------------------------------------------------------- evaluation

  // Of x, which has been done.
  __device__ void begin_sweeps() const {}
  template <class Update>
  __device__ void sweep(float (&trouble)[kGroups], const Update& update) {
    trouble[0] = 0.0f;
    watch(trouble[0], chunk_.energy[i_]);
    for (int b = first_block(); b < end_block(); b += block_stride()) {
      const Block x = get(kX, 0, b);
      set(kX, 0, b, hold(b, update(0, b, x, get(kGradient, 0, b)), x));
    }
  }
  // Of the proposal, which has been done.
  __device__ void evaluated(float (&energy)[kGroups]) {
    energy_ = chunk_.energy[i_];
    if (has_base()) base_energy_ = chunk_.base_energy[i_];
    settle(kProposalGradient, energy);
  }

  // The evaluation that comes next.
  __device__ std::int64_t evaluation() const { return evaluation_; }
  __device__ bool begins() const { return evaluation_ == (keeps() && chains_.known ? 0 : -2); }

  // What a run carries: every lane has the same.
  template <class State>
  __device__ void load(State& state) const {
    state = *place<State>();
  }
  template <class State>
  __device__ void store(const State& state) const {
    __syncwarp();
    if (speaks()) *place<State>() = state;
  }

 private:
  __device__ std::int64_t offset(int b) const { return i_ * padded(dim()) + 4 * b; }
  __device__ Block block_of(const float* matrix, int b) const {
    const float4 v = *reinterpret_cast<const float4*>(matrix + offset(b));
    return {{v.x, v.y, v.z, v.w}};
  }
  template <class State>
  __device__ State* place() const {
    static_assert(sizeof(State) <= kStateBytes && std::is_trivially_copyable_v<State>);
    return reinterpret_cast<State*>(static_cast<char*>(chunk_.states) + i_ * kStateBytes);
  }

  const LayeredChunk& chunk_;
  std::int64_t i_, evaluation_;
};

#include "kernels/chains/sampler_bodies.cuh"

// The more special one of two: a Metropolis-adjusted sampler that is given this Tile calls it.
template <class Trajectory>
__device__ __forceinline__ void run_metropolis(LayeredTile& tile, Trajectory& local, std::int64_t n_transitions) {
  struct Run {
    MetropolisState<LayeredTile> state;
    Trajectory local;
  };
  const std::int64_t length = local.evaluations(), total = n_transitions * length, next = tile.evaluation();
  Run run{{}, local};
  if (tile.begins()) {
    open_chains(tile, run.state);
  } else {
    const std::int64_t last = next - 1;
    float proposed[LayeredTile::kGroups];
    tile.evaluated(proposed);
    if (last != -2) tile.load(run);
    if (last < 0) {
      enter_chains(tile, run.state.energy, proposed, last == -1);
    } else {
      after_evaluation(tile, run.local, run.state, proposed, last / length * length, last % length, length);
    }
  }
  if (next == total) return;
  if (next >= 0) before_evaluation(tile, run.local, run.state, next / length * length, next % length);
  tile.store(run);
}

}  // namespace ebm::layered
