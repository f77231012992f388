// All K steps of a tile of chains in one launch: Langevin dynamics and the Metropolis-adjusted chain of
// docs/sampling.md.
//
// A block of 8 Tile threads takes tiles of chains in turn. Positions, gradients and activations of a tile stay in the
// block's working memory for all K steps; global memory is touched at the start and the end of the launch only (and for
// weights that don't fit in shared memory). Chain c is served by 8 threads, its *parts*: part p owns dimensions
// 4b .. 4b+3 for b = p modulo 8, which is one Philox block each. Whatever all parts need to agree on (acceptance,
// restarts) each of them computes from the same numbers in the same order.
#include "kernels/chains/chain_source.cuh"
#include "kernels/energy/block.cuh"

namespace ebm {
namespace {

template <int Tile>
struct ChainTile {
  const Evaluator<Tile>& evaluator;
  const ChainsView& chains;
  const StepView& p;
  const Chain& chain;
  Counter& counter;
  float step_size;

  __device__ const Lane<Tile>& lane() const { return evaluator.lane; }
  __device__ float& at(float* rows, int d) const { return rows[d * Tile + lane().chain]; }
  __device__ float* x() const { return evaluator.row(evaluator.layout.x); }
  __device__ float* gradient() const { return evaluator.row(evaluator.layout.gradient); }
  __device__ float* proposal() const { return evaluator.row(evaluator.layout.proposal); }
  __device__ float* proposal_gradient() const { return evaluator.row(evaluator.layout.proposal_gradient); }
  __device__ int dim() const { return evaluator.net.dim; }

  // f(d, i, block) over this part's dimensions; before(block) makes the block's numbers.
  template <class Block, class Element>
  __device__ void each_dimension(Block&& before, Element&& f) const {
    for (int b = lane().part; 4 * b < dim(); b += kParts) {
      const auto numbers = before(b);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        if (4 * b + i < dim()) f(4 * b + i, i, numbers);
      }
    }
  }
  template <class Element>
  __device__ void each_dimension(Element&& f) const {
    each_dimension([](int) { return 0; }, [&](int d, int, int) { f(d); });
  }

  __device__ PhiloxWords words(Purpose purpose, std::uint64_t step, int block) const {
    return philox(chains.seed, purpose, chain.id, step, static_cast<std::uint32_t>(block));
  }

  __device__ void start_uniform(float* to, std::uint64_t step) const {
    each_dimension([&](int b) { return words(Purpose::initial_position, step, b); },
                   [&](int d, int i, const PhiloxWords& w) {
                     at(to, d) = uniform_start(i == 0 ? w.r0 : i == 1 ? w.r1 : i == 2 ? w.r2 : w.r3);
                   });
  }

  __device__ float clip(float g) const { return fminf(fmaxf(g, -p.grad_clip), p.grad_clip); }

  // Whether any part of this chain raised its flag.
  __device__ bool any_part(bool flag) const {
    float* flags = evaluator.row(evaluator.layout.parts + kParts);
    flags[lane().part * Tile + lane().chain] = flag ? 1.0f : 0.0f;
    __syncthreads();
    float sum = 0.0f;
#pragma unroll
    for (int part = 0; part < kParts; ++part) sum += flags[part * Tile + lane().chain];
    return sum > 0.0f;
  }

  __device__ void restart(std::uint64_t step) const {
    start_uniform(x(), step);
    if (lane().part != 0 || !chain.exists) return;
    ++counter.restarts;
    if (chains.restarted != nullptr) chains.restarted[chain.row] = 1;
  }

  __device__ void run_langevin(std::int64_t n_steps) const {
    for (std::int64_t s = 0; s < n_steps; ++s) {
      const std::uint64_t step = chain.step + static_cast<std::uint64_t>(s);
      const float energy = evaluator.energy_gradient(x(), gradient());
      bool bad = !isfinite(energy);
      each_dimension([&](int b) { return normal_block(words(Purpose::langevin_noise, step, b)); },
                     [&](int d, int i, const NormalBlock& noise) {
                       const float g = at(gradient(), d);
                       float next = fmaf(-step_size, clip(g), at(x(), d));
                       next = fmaf(p.noise_scale, noise.n[i], next);
                       bad = bad || !isfinite(g) || !isfinite(next);
                       if (p.clamp_lo != nullptr) next = fminf(fmaxf(next, p.clamp_lo[d]), p.clamp_hi[d]);
                       at(x(), d) = next;
                     });
      if (any_part(bad)) restart(step);
      __syncthreads();
    }
  }

  // E or beta E + (1 - beta) E0 of `from`, its gradient in `to`.
  __device__ float target(float* from, float* to) const {
    const float energy = evaluator.energy_gradient(from, to);
    if (p.base.root == nullptr) return energy;
    const float base = evaluator.mix_base(p.base, p.base_layer, p.beta, from, to);
    return fmaf(p.beta, energy, (1.0f - p.beta) * base);
  }

  // E and its gradient where the chain stands. A chain that does not stand on finite ground is restarted, once; if that
  // is no better it gets infinite energy and no drift, so that its first finite proposal is taken.
  __device__ float enter_mala() const {
    float energy = 0.0f;
#pragma unroll 1
    for (int attempt = 0; attempt < 2; ++attempt) {
      energy = target(x(), gradient());
      bool bad = !isfinite(energy);
      each_dimension([&](int d) { bad = bad || !isfinite(at(x(), d)) || !isfinite(at(gradient(), d)); });
      bad = any_part(bad);
      if (bad && attempt == 0) restart(chain.step);
      if (bad && attempt == 1) {
        energy = INFINITY;
        each_dimension([&](int d) { at(gradient(), d) = 0.0f; });
      }
      if (!__syncthreads_or(bad)) break;
    }
    each_dimension([&](int d) { at(gradient(), d) = clip(at(gradient(), d)); });
    __syncthreads();
    return energy;
  }

  __device__ void run_mala(std::int64_t n_steps) const {
    float energy = enter_mala();
    const float noise_scale = sqrtf(2.0f * step_size);
    for (std::int64_t s = 0; s < n_steps; ++s) {
      const std::uint64_t step = chain.step + static_cast<std::uint64_t>(s);
      bool jump = false, difference = false;
      if (p.jump_prob > 0.0f || p.difference_prob > 0.0f) {
        const PhiloxWords w = words(Purpose::move, step, 0);
        jump = unit_float(w.r0) < p.jump_prob;
        difference = !jump && unit_float(w.r1) < p.difference_prob;
      }
      propose(step, jump, difference, noise_scale);
      __syncthreads();
      const float proposed_energy = target(proposal(), proposal_gradient());

      // log of the ratio of proposal densities, (|y - x + h g_x|^2 - |x - y + h g_y|^2) / (4h), with the difference of
      // squares multiplied out so that nothing large cancels.
      float log_q = 0.0f;
      bool refused = !isfinite(proposed_energy);
      each_dimension([&](int d) {
        const float from = at(x(), d), to = at(proposal(), d);
        const float raw = at(proposal_gradient(), d);
        const float g_x = at(gradient(), d), g_y = clip(raw);
        refused = refused || !isfinite(raw) || !isfinite(to) || (jump && fabsf(from) > kStartRadius);
        if (p.clamp_lo != nullptr) refused = refused || to < p.clamp_lo[d] || to > p.clamp_hi[d];
        const float mean = fmaf(0.25f * step_size, g_x - g_y, 0.5f * (to - from));
        log_q = fmaf(mean, g_x + g_y, log_q);
      });
      evaluator.row(evaluator.layout.parts)[lane().part * Tile + lane().chain] = log_q;
      refused = any_part(refused);
      const bool local = !jump && !difference;
      float log_a = energy - proposed_energy;
      if (local) log_a += sum_parts<Tile>(evaluator.row(evaluator.layout.parts), lane().chain);
      const bool accepted = !refused && log_unit(words(Purpose::accept, step, 0).r0) < log_a;
      if (accepted) {
        energy = proposed_energy;
        each_dimension([&](int d) {
          at(x(), d) = at(proposal(), d);
          at(gradient(), d) = clip(at(proposal_gradient(), d));
        });
      }
      if (lane().part == 0 && chain.exists) {
        counter.count(Move::local, local, accepted);
        counter.count(Move::jump, jump, accepted);
        counter.count(Move::difference, difference, accepted);
      }
      __syncthreads();
    }
  }

 private:
  __device__ void propose(std::uint64_t step, bool jump, bool difference, float noise_scale) const {
    if (jump) {
      start_uniform(proposal(), step);
    } else if (difference) {
      const PhiloxWords w = words(Purpose::difference, step, 0);
      const float* a = p.data + static_cast<std::size_t>(index_below(w.r0, p.n_data)) * dim();
      const float* b = p.data + static_cast<std::size_t>(index_below(w.r1, p.n_data)) * dim();
      each_dimension([&](int d) { at(proposal(), d) = at(x(), d) + (a[d] - b[d]); });
    } else {
      each_dimension([&](int b) { return normal_block(words(Purpose::langevin_noise, step, b)); },
                     [&](int d, int i, const NormalBlock& noise) {
                       const float drifted = fmaf(-step_size, at(gradient(), d), at(x(), d));
                       at(proposal(), d) = fmaf(noise_scale, noise.n[i], drifted);
                     });
    }
  }
};

struct ChainArguments {
  NetworkView net;
  TileLayout layout;
  ChainsView chains;
  StepView step;
  std::int64_t n_steps;
  ChainCounts* counts;
  float* slab;
};

template <int Tile, bool WeightsShared, bool StateShared>
__global__ void __launch_bounds__(kParts* Tile) chains_kernel(const __grid_constant__ ChainArguments a) {
  if (a.chains.stopped != nullptr && *a.chains.stopped != 0) return;
  const BlockMemory memory = open_block<Tile, WeightsShared, StateShared>(a.net, a.layout, a.slab);
  const Evaluator<Tile> evaluator{a.net, a.layout, memory.image, memory.rows, {}};
  const Lane<Tile>& lane = evaluator.lane;
  const int dim = a.net.dim, dim_pad = padded(dim);
  float* const x = evaluator.row(a.layout.x);
  const float step_size = step_size_of(a.step);
  Counter counter;

  for (std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * Tile; first < a.chains.n;
       first += static_cast<std::int64_t>(gridDim.x) * Tile) {
    const std::int64_t index = first + lane.chain;
    const Chain chain = open_chain(a.chains, index);
    const ChainTile<Tile> tile{evaluator, a.chains, a.step, chain, counter, step_size};
    const float* from = a.chains.source == ChainSource::data ? a.chains.batch : a.chains.x;
    for (int d = lane.part; d < dim_pad; d += kParts) {
      const bool real = d < dim && chain.exists && !chain.fresh;
      x[d * Tile + lane.chain] = real ? from[chain.row * dim + d] : 0.0f;
      if (a.step.mala) evaluator.row(a.layout.proposal)[d * Tile + lane.chain] = 0.0f;
    }
    __syncthreads();
    if (chain.fresh) tile.start_uniform(x, chain.step);
    if (lane.part == 0) counter.reinitialized += chain.reinitialized;
    __syncthreads();

    if (a.step.mala) {
      tile.run_mala(a.n_steps);
    } else {
      tile.run_langevin(a.n_steps);
    }

    if (chain.exists) {
      for (int d = lane.part; d < dim; d += kParts) {
        const float v = x[d * Tile + lane.chain];
        if (a.chains.x != nullptr) a.chains.x[chain.row * dim + d] = v;
        if (a.chains.batch != nullptr) a.chains.batch[(a.chains.n + index) * dim + d] = v;
      }
      if (lane.part == 0 && a.chains.steps != nullptr) {
        a.chains.steps[chain.row] = chain.step + static_cast<std::uint64_t>(a.n_steps);
      }
    }
    __syncthreads();
  }
  add_counts(counter, a.counts);
}

// A thread per Philox block of a chain.
__global__ void uniform_start_kernel(const __grid_constant__ ChainsView chains, const __grid_constant__ StepView step,
                                     int dim, int blocks_per_chain) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const std::int64_t row = i / blocks_per_chain;
  if (row >= chains.n) return;
  const int block = static_cast<int>(i % blocks_per_chain);
  const PhiloxWords w = philox(chains.seed, Purpose::initial_position, chains.ids[row], chains.steps[row],
                               static_cast<std::uint32_t>(block));
  const std::uint32_t words[4] = {w.r0, w.r1, w.r2, w.r3};
  for (int k = 0; k < 4 && 4 * block + k < dim; ++k) {
    const int d = 4 * block + k;
    chains.x[row * dim + d] = start_position(step, d, words[k]);
  }
}

}  // namespace

cudaError_t launch_uniform_start(const ChainsView& chains, const StepView& step, int dim, cudaStream_t stream) {
  const int blocks_per_chain = padded(dim) / 4;
  const std::int64_t threads = chains.n * blocks_per_chain;
  uniform_start_kernel<<<static_cast<unsigned>((threads + 255) / 256), 256, 0, stream>>>(chains, step, dim,
                                                                                         blocks_per_chain);
  return cudaGetLastError();
}

cudaError_t launch_chains(const TilePlan& plan, const NetworkView& net, const ChainsView& chains, const StepView& step,
                          std::int64_t n_steps, ChainCounts* counts, cudaStream_t stream) {
  const ChainArguments arguments{net, plan.layout, chains, step, n_steps, counts, plan.slab};
  return launch_tiles(plan, chains.n, stream, [&](auto tile, auto weights_shared, auto state_shared) {
    return TileKernel{chains_kernel<tile(), weights_shared(), state_shared()>, arguments};
  });
}

}  // namespace ebm
