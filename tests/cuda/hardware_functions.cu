#include <cuda_runtime.h>
#include <math_constants.h>

#include <stdexcept>

#include "hardware_functions.hpp"
#include "kernels/energy/mma_activation.cuh"
#include "kernels/math/normal.hpp"
#include "support/exact_functions.hpp"

namespace hardware {
namespace {

using ebm::ActivationKind;

__device__ double distance(float found, double exact) { return fabs(static_cast<double>(found) - exact); }
// NaN stays NaN, which fmax would lose.
__device__ double larger(double a, double b) { return isnan(a) || a > b ? a : b; }

// Each has `bound`s of its own source and returns error / bound of one input word; a negative number is no input.

template <ActivationKind Kind>
struct Activation {  // kernels/math/activation.hpp
  __device__ double operator()(std::uint32_t word) const {
    const float z = __uint_as_float(word);
    if (!isfinite(z)) return -1;
    const ebm::Activated found = ebm::activate(Kind, z);
    const support::Exact exact = support::exact_activation(Kind, static_cast<double>(z));
    const double error = larger(distance(found.value, exact.value), distance(found.derivative, exact.derivative));
    return error / (static_cast<double>(ebm::kActivationError) * fmax(1.0, fabs(static_cast<double>(z))));
  }
};

// Half precision: a value is off by one rounding (2^-11), and by as much again for the approximations before it. A
// slope of silu is made of halves: sigma and 1 - sigma are off by 2^-12 next to 1, which z (below 8, where 1 - sigma is
// not yet rounded off) takes eight times, and two roundings come on top.
template <ActivationKind Kind>
struct HalfActivation {
  static constexpr double kValue = 0x1p-10, kSlope = 0x1p-8;
  __device__ double operator()(std::uint32_t word) const {
    constexpr float kScale = ebm::mma_scale(Kind);
    const float scaled = __uint_as_float(word);   // s z
    if (!(fabsf(scaled) <= 60000.0f)) return -1;  // a half's range ends at 65504
    const ebm::ActivatedHalves halves = ebm::scaled_activate_halves<Kind>(scaled, scaled);
    const float value = ebm::unpack_halves(halves.value).x, slope = ebm::unpack_halves(halves.slope).y;
    const double scale = static_cast<double>(kScale);
    const support::Exact exact = support::exact_activation(Kind, static_cast<double>(scaled) / scale);
    return larger(distance(value, scale * exact.value) / (kValue * fmax(1.0, fabs(scale * exact.value))),
                  distance(slope, exact.derivative) / kSlope);
  }
};

struct LogUnit {
  static constexpr double kBound = 4e-7;  // relative: kernels/math/normal.hpp
  __device__ double operator()(std::uint32_t word) const {
    const double exact = support::exact_log(word);
    return distance(ebm::log_unit(word), exact) / fabs(exact) / kBound;
  }
};

template <bool Fast>
struct Normals {
  __device__ double operator()([[maybe_unused]] std::uint32_t word) const {
#if defined(__CUDA_ARCH__)  // there is no fast_normal_pair elsewhere
    const std::uint32_t other = support::other_word(word);
    const ebm::NormalPair found = Fast ? ebm::fast_normal_pair(word, other) : ebm::normal_pair(word, other);
    const support::ExactNormals exact = support::exact_normals(word, other);
    return larger(distance(found.a, exact.a), distance(found.b, exact.b)) /
           static_cast<double>(Fast ? ebm::kFastNormalError : ebm::kNormalError);
#else
    return -1;
#endif
  }
};

// The largest, as the bits of a double that is not negative: those are in the numbers' order.
template <class Error>
__global__ void worst(std::uint64_t count, std::uint64_t stride, unsigned long long* result) {
  const Error error;
  double most = 0;
  for (std::uint64_t i = blockIdx.x * std::uint64_t{blockDim.x} + threadIdx.x; i < count;
       i += std::uint64_t{gridDim.x} * blockDim.x) {
    const double e = error(static_cast<std::uint32_t>(i * stride));
    most = isnan(e) ? CUDART_INF : fmax(most, e);
  }
  atomicMax(result, static_cast<unsigned long long>(__double_as_longlong(most)));
}

void check(cudaError_t code) {
  if (code != cudaSuccess) throw std::runtime_error(cudaGetErrorString(code));
}

template <class Error>
FunctionError error_of(const char* name, std::uint64_t stride) {
  const std::uint64_t count = ((std::uint64_t{1} << 32) + stride - 1) / stride;
  unsigned long long* device = nullptr;
  check(cudaMalloc(&device, sizeof *device));
  check(cudaMemset(device, 0, sizeof *device));
  const auto blocks = static_cast<unsigned>(count / 128 < 4096 ? (count + 127) / 128 : 4096);
  worst<Error><<<blocks, 128>>>(count, stride, device);
  check(cudaGetLastError());
  double found = 0;
  static_assert(sizeof found == sizeof *device);
  check(cudaMemcpy(&found, device, sizeof found, cudaMemcpyDeviceToHost));
  check(cudaFree(device));
  return {name, found};
}

}  // namespace

std::vector<FunctionError> function_errors(std::uint64_t stride) {
  using enum ActivationKind;
  return {error_of<Activation<silu>>("silu", stride),
          error_of<Activation<softplus>>("softplus", stride),
          error_of<Activation<tanh>>("tanh", stride),
          error_of<Activation<gelu>>("gelu", stride),
          error_of<Activation<elu>>("elu", stride),
          error_of<Activation<relu>>("relu", stride),
          error_of<HalfActivation<silu>>("silu in halves", stride),
          error_of<HalfActivation<softplus>>("softplus in halves", stride),
          error_of<HalfActivation<tanh>>("tanh in halves", stride),
          error_of<HalfActivation<gelu>>("gelu in halves", stride),
          error_of<HalfActivation<elu>>("elu in halves", stride),
          error_of<HalfActivation<relu>>("relu in halves", stride),
          error_of<LogUnit>("ln u", stride),
          error_of<Normals<false>>("normals", stride),
          error_of<Normals<true>>("fast normals", stride)};
}

}  // namespace hardware
