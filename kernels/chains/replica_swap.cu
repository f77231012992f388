// Parallel tempering: neighbouring replicas of a chain swap their states. A warp per chain; its lanes share the rows.
#include "kernels/chains/replica_swap.hpp"

#include "kernels/launch.hpp"

namespace ebm {
namespace {

constexpr int kWarps = 4;  // of a block

__device__ void swap_rows(float* rows, std::int64_t a, std::int64_t b, int dim, int lane) {
  for (int d = lane; d < dim; d += 32) {
    const float v = rows[a * dim + d];
    rows[a * dim + d] = rows[b * dim + d];
    rows[b * dim + d] = v;
  }
}

__global__ void __launch_bounds__(32 * kWarps) swap_replicas_kernel(const __grid_constant__ ReplicaView v) {
  if (v.stopped != nullptr && *v.stopped != 0) return;
  const int lane = threadIdx.x % 32;
  const std::int64_t chain = static_cast<std::int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32;
  if (chain >= v.n_chains) return;
  const std::int64_t first = chain * v.replicas;
  const std::uint64_t id = v.ids[first], step = v.steps[first];
  if (step % v.period >= static_cast<std::uint64_t>(v.evaluations)) return;
  // Pairs of a round share no replica, so nothing that one pair writes is read by another.
  for (int r = static_cast<int>(step / v.period % 2); r + 1 < v.replicas; r += 2) {
    const std::int64_t a = first + r, b = a + 1;
    const PhiloxWords w = philox(v.seed, Purpose::replica_swap, id, step, static_cast<std::uint32_t>(r / 4));
    const std::uint32_t word = r % 4 == 0 ? w.r0 : r % 4 == 1 ? w.r1 : r % 4 == 2 ? w.r2 : w.r3;
    const float energy_a = v.energy[a], energy_b = v.energy[b];
    const bool accepted = swaps(word, v.beta[a], v.beta[b], energy_a, energy_b);
    if (lane == 0) {
      // Whole numbers: the order is free.
      atomicAdd(v.total, 1ull);
      if (accepted) atomicAdd(v.total + 1, 1ull);
      if (v.counts != nullptr) {
        atomicAdd(v.counts + 1 + 2 * r, 1ull);
        if (accepted) atomicAdd(v.counts + 2 + 2 * r, 1ull);
      }
    }
    __syncwarp();  // every lane has read the energies
    if (!accepted) continue;
    swap_rows(v.x, a, b, v.dim, lane);
    if (v.gradient != nullptr) swap_rows(v.gradient, a, b, v.dim, lane);
    if (lane != 0) continue;
    v.energy[a] = energy_b;
    v.energy[b] = energy_a;
    if (v.from_hot == nullptr) continue;
    const std::uint8_t flag = v.from_hot[a];
    v.from_hot[a] = v.from_hot[b];
    v.from_hot[b] = flag;
  }
  if (lane != 0 || v.from_hot == nullptr) return;
  v.from_hot[first + v.replicas - 1] = 1;
  if (v.from_hot[first] != 0) atomicAdd(v.counts, 1ull);
  v.from_hot[first] = 0;
}

}  // namespace

cudaError_t launch_swap_replicas(const ReplicaView& view, cudaStream_t stream) {
  const std::int64_t blocks = (view.n_chains + kWarps - 1) / kWarps;
  return launch(swap_replicas_kernel, static_cast<unsigned>(blocks), 32 * kWarps, 0, stream, view);
}

}  // namespace ebm
