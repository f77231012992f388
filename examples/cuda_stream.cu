// On CUDA: a kernel of yours before the chains and one after, on a stream of yours. Nothing goes through the host and
// the host waits once, at the end.
//
// Device memory is in model space; this network has no standardisation, so that it is the data's units, too.
#include <cuda_runtime.h>

#include <cmath>
#include <cstdio>
#include <ebmcuda/ebmcuda.hpp>

namespace {

// Where the chains begin: on a circle, which is nothing the library offers.
__global__ void begin_on_circle(float* x, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= n) return;
  const float angle = 6.2831853f * static_cast<float>(i) / static_cast<float>(n);
  x[2 * i] = 2.0f * cosf(angle);
  x[2 * i + 1] = 2.0f * sinf(angle);
}

// What is wanted of them: sum of |x|^2 and of E, in one block.
__global__ void sums(const float* x, const float* energy, int n, float* result) {
  __shared__ float square[128], total[128];
  float s = 0, e = 0;
  for (int i = static_cast<int>(threadIdx.x); i < n; i += 128) {
    s += x[2 * i] * x[2 * i] + x[2 * i + 1] * x[2 * i + 1];
    e += energy[i];
  }
  square[threadIdx.x] = s;
  total[threadIdx.x] = e;
  __syncthreads();
  for (int half = 64; half > 0; half /= 2) {
    if (threadIdx.x < half) {
      square[threadIdx.x] += square[threadIdx.x + half];
      total[threadIdx.x] += total[threadIdx.x + half];
    }
    __syncthreads();
  }
  if (threadIdx.x == 0) {
    result[0] = square[0];
    result[1] = total[0];
  }
}

void check(cudaError_t code) {
  if (code != cudaSuccess) throw std::runtime_error(cudaGetErrorString(code));
}

int run(const ebm::Device& device) {
  constexpr int kChains = 256;
  // All parameters zero: E = |x|^2 / 2, a standard normal distribution.
  ebm::Mlp model({.dim = 2, .hidden = {8}, .confinement = 1.0f});
  const ebm::Energy energy(model, device);
  ebm::Chains chains(energy, ebm::Mala{.step_size = 0.5f}, {.n_chains = kChains, .seed = 1});

  cudaStream_t stream = nullptr;
  float *values = nullptr, *result = nullptr, *on_host = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  check(cudaMalloc(&values, kChains * sizeof(float)));
  check(cudaMalloc(&result, 2 * sizeof(float)));
  check(cudaMallocHost(&on_host, 2 * sizeof(float)));

  begin_on_circle<<<(kChains + 127) / 128, 128, 0, stream>>>(chains.write_positions(stream), kChains);
  chains.run(20, stream);
  const ebm::DeviceMatrixView x = chains.device_positions(stream);
  energy.values(x, values, stream);
  sums<<<1, 128, 0, stream>>>(x.data, values, kChains, result);
  check(cudaMemcpyAsync(on_host, result, 2 * sizeof(float), cudaMemcpyDeviceToHost, stream));
  check(cudaGetLastError());
  check(cudaStreamSynchronize(stream));  // the only wait

  const double square = on_host[0] / kChains, mean_energy = on_host[1] / kChains;
  std::printf("%s: mean |x|^2 %.3f (the truth: 2), mean E %.3f, acceptance %.2f\n", energy.description().c_str(),
              square, mean_energy, chains.stats().acceptance());
  check(cudaFreeHost(on_host));
  check(cudaFree(result));
  check(cudaFree(values));
  check(cudaStreamDestroy(stream));
  // 256 draws of |x|^2, whose variance is 4: five standard errors. On the circle it would be 4.
  return std::abs(square - 2) < 0.625 && std::abs(mean_energy - square / 2) < 1e-4 ? 0 : 1;
}

}  // namespace

int main() {
  try {
    return run(ebm::Device::cuda());
  } catch (const ebm::ConfigError& error) {
    std::printf("skipped: %s\n", error.what());
    return 77;
  } catch (const std::exception& error) {
    std::printf("%s\n", error.what());
    return 1;
  }
}
