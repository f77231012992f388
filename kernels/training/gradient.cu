// See gradient.hpp. The outer products are small matrices over a long row axis (128 x 128 from thousands of rows), so
// the row axis is cut into chunks that run in parallel; 32 x 32 output tiles, 4 x 4 outputs a thread.
#include "kernels/energy/block.cuh"
#include "kernels/training/gradient.hpp"

namespace ebm {
namespace {

struct PassArguments {
  NetworkView net;
  TileLayout layout;
  PassView view;
  float* slab;
};

template <int Tile>
__device__ void keep(const Lane<Tile>& lane, const PassStorage& storage, int first_row, int rows, std::int64_t column,
                     const float* from) {
  for (int r = lane.part; r < rows; r += kParts) {
    storage.values[(first_row + r) * storage.stride + column] = from[r * Tile + lane.chain];
  }
}

template <int Tile>
struct KeepActivations {
  const Lane<Tile>& lane;
  const NetworkView& net;
  const PassStorage& storage;
  std::int64_t column;
  __device__ void activations(int l, const float* a) const {
    keep<Tile>(lane, storage, storage.activation[l + 1], net.layer[l + 1].in, column, a);
  }
};

struct LossSeed {
  static constexpr bool kUnit = false, kSlopes = true;
  const PassView& view;
  std::int64_t row;  // of x, or -1 for padding
  bool writes;
  __device__ float energy_factor(float energy) const {
    if (row < 0) return 0.0f;
    if (writes && view.energy != nullptr) view.energy[row] = energy;
    if (view.weights != nullptr) return view.weights[row];
    const RowLoss& loss = row < view.batch ? view.loss.data : view.loss.samples;
    return fmaf(loss.energy_weight, energy, loss.weight);
  }
  __device__ int label() const {
    return view.labels != nullptr && row >= 0 && row < view.batch ? view.labels[row] : -1;
  }
  __device__ float label_factor() const { return view.loss.data.label_weight; }
  __device__ void cross_entropy(float value) const {
    if (writes) view.cross_entropy[row] = value;
  }
};

template <int Tile, bool WeightsShared, bool StateShared>
__global__ void __launch_bounds__(Lane<Tile>::kThreads) pass_kernel(const __grid_constant__ PassArguments a) {
  if (a.view.stopped != nullptr && *a.view.stopped != 0) return;
  const BlockMemory memory = open_block<Tile, WeightsShared, StateShared>(a.net, a.layout, a.slab);
  const Evaluator<Tile> evaluator = make_evaluator<Tile>(a.net, a.layout, memory);
  const Lane<Tile>& lane = evaluator.lane;
  const PassStorage& storage = a.view.storage;
  const int dim = a.net.dim, layers = a.net.layers;
  float* const x = evaluator.row(a.layout.x);

  for (std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * Tile; first < a.view.n;
       first += static_cast<std::int64_t>(gridDim.x) * Tile) {
    const std::int64_t column = first + lane.chain;
    const std::int64_t row = column < a.view.n ? a.view.first + column : -1;
    for (int d = lane.part; d < padded(dim); d += kParts) {
      x[d * Tile + lane.chain] = d < dim && row >= 0 ? a.view.x[row * dim + d] : 0.0f;
    }
    __syncthreads();
    keep<Tile>(lane, storage, storage.activation[0], dim, column, x);
    evaluator.forward(x, KeepActivations<Tile>{lane, a.net, storage, column});
    evaluator.head(x, LossSeed{a.view, row, lane.part == 0});
    evaluator.backward_hidden();
    for (int l = 0; l + 1 < layers; ++l) {
      keep<Tile>(lane, storage, storage.delta[l], a.net.layer[l].out, column, evaluator.row(a.layout.delta[l]));
    }
    keep<Tile>(lane, storage, storage.delta[layers - 1], a.net.outputs, column, evaluator.row(a.layout.head));
    __syncthreads();
  }
}

constexpr int kOuter = 32;               // output tile
constexpr int kOuterPitch = kOuter + 4;  // 16-byte aligned rows on different banks
constexpr int kOuterThreads = 64;

struct OuterTiles {  // tiles of all linear maps, one after the other
  int first[kMaxLayers + 1];
  int across[kMaxLayers];  // tiles along the inputs, the bias as one more input
};

__global__ void __launch_bounds__(kOuterThreads)
    outer_product_kernel(const __grid_constant__ NetworkView net, const __grid_constant__ PassStorage storage,
                         const __grid_constant__ OuterTiles tiles, std::int64_t chunks, std::int64_t part_rows,
                         float* partial, const int* stopped) {
  if (stopped != nullptr && *stopped != 0) return;
  __shared__ __align__(16) float left[kOuter][kOuterPitch];   // deltas
  __shared__ __align__(16) float right[kOuter][kOuterPitch];  // inputs
  int l = 0;
  while (static_cast<int>(blockIdx.x) >= tiles.first[l + 1]) ++l;
  const LayerView& layer = net.layer[l];
  const int tile = static_cast<int>(blockIdx.x) - tiles.first[l];
  const int first_out = tile / tiles.across[l] * kOuter, first_in = tile % tiles.across[l] * kOuter;
  const int own_out = threadIdx.x / 8, own_in = threadIdx.x % 8;  // and every 8th from there
  const std::int64_t part = blockIdx.y / chunks, chunk = blockIdx.y % chunks;
  const std::int64_t begin = part * part_rows + chunk * kChunkRows;
  const int rows = static_cast<int>(rows_of_chunk(chunk, part_rows));
  float sum[4][4] = {};

  for (int slice = 0; slice < rows; slice += kOuter) {
    for (int i = threadIdx.x; i < kOuter * kOuter; i += kOuterThreads) {
      const int unit = i / kOuter, column = i % kOuter;
      const std::int64_t at = begin + slice + column;
      const int out = first_out + unit, in = first_in + unit;
      const bool real = slice + column < rows;
      left[unit][column] =
          real && out < layer.out ? storage.values[(storage.delta[l] + out) * storage.stride + at] : 0.0f;
      right[unit][column] = !real            ? 0.0f
                            : in < layer.in  ? storage.values[(storage.activation[l] + in) * storage.stride + at]
                            : in == layer.in ? 1.0f
                                             : 0.0f;
    }
    __syncthreads();
    for (int i = 0; i < kOuter; i += 4) {
      float4 v[4];
#pragma unroll
      for (int b = 0; b < 4; ++b) v[b] = load4(&right[own_in + 8 * b][i]);
#pragma unroll
      for (int a = 0; a < 4; ++a) {
        const float4 u = load4(&left[own_out + 8 * a][i]);
#pragma unroll
        for (int b = 0; b < 4; ++b) {
          sum[a][b] = fmaf(u.w, v[b].w, fmaf(u.z, v[b].z, fmaf(u.y, v[b].y, fmaf(u.x, v[b].x, sum[a][b]))));
        }
      }
    }
    __syncthreads();
  }
  float* to = partial + blockIdx.y * net.parameters + layer.parameter;
#pragma unroll
  for (int a = 0; a < 4; ++a) {
    const int out = first_out + own_out + 8 * a;
#pragma unroll
    for (int b = 0; b < 4; ++b) {
      const int in = first_in + own_in + 8 * b;
      if (out >= layer.out || in > layer.in) continue;
      const std::size_t at = in < layer.in ? static_cast<std::size_t>(out) * layer.in + in
                                           : static_cast<std::size_t>(layer.out) * layer.in + out;
      to[at] = sum[a][b];
    }
  }
}

__global__ void sum_chunks_kernel(std::uint64_t n, std::int64_t parts, std::int64_t chunks, const float* partial,
                                  float* sum, const int* stopped) {
  if (stopped != nullptr && *stopped != 0) return;
  const std::uint64_t p = static_cast<std::uint64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (p >= n) return;
  float all = 0.0f;
  for (std::int64_t part = 0; part < parts; ++part) {
    const float* const first = partial + part * chunks * n + p;
    OrderedSum<float> tree;
    for (std::int64_t c = 0; c < chunks; ++c) tree.add(first[c * n]);
    const float one = tree.total();
    all = part == 0 ? one : all + one;
  }
  sum[p] = all;
}

}  // namespace

cudaError_t launch_pass(const TilePlan& plan, const NetworkView& net, const PassView& view, cudaStream_t stream) {
  const PassArguments arguments{net, plan.layout, view, plan.slab};
  return launch_tiles(plan, view.n, stream, [&](auto tile, auto weights_shared, auto state_shared) {
    return TileKernel{pass_kernel<tile(), weights_shared(), state_shared()>, arguments};
  });
}

cudaError_t launch_outer_products(const NetworkView& net, const PassStorage& storage, std::int64_t parts,
                                  std::int64_t part_rows, float* partial, const int* stopped, cudaStream_t stream) {
  OuterTiles tiles{};
  for (int l = 0; l < net.layers; ++l) {
    tiles.across[l] = net.layer[l].in / kOuter + 1;
    tiles.first[l + 1] = tiles.first[l] + (net.layer[l].out + kOuter - 1) / kOuter * tiles.across[l];
  }
  for (int l = net.layers; l < kMaxLayers; ++l) tiles.first[l + 1] = tiles.first[l];
  const std::int64_t chunks = chunks_of(part_rows);
  const dim3 grid(static_cast<unsigned>(tiles.first[net.layers]), static_cast<unsigned>(parts * chunks));
  return launch(outer_product_kernel, grid, kOuterThreads, 0, stream, net, storage, tiles, chunks, part_rows, partial,
                stopped);
}

cudaError_t launch_sum_chunks(std::uint64_t n, std::int64_t parts, std::int64_t chunks, const float* partial,
                              float* sum, const int* stopped, cudaStream_t stream) {
  return launch(sum_chunks_kernel, static_cast<unsigned>((n + 255) / 256), 256, 0, stream, n, parts, chunks, partial,
                sum, stopped);
}

}  // namespace ebm
