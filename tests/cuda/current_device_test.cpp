// What is current on the calling thread, before and after, on a driver of the test's own: a context of the caller's
// that is not the runtime's, or none, is there again after every call, and no other device gets a context.
#include <cuda.h>
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <set>
#include <thread>

#include "ebmcuda/error.hpp"
#include "host/cuda/devices.hpp"
#include "host/engine/engine.hpp"
#include "support/networks.hpp"

namespace {

thread_local CUcontext current = nullptr;
long changes = 0, set_devices = 0, freed_elsewhere = 0;
std::set<int> retained;

CUcontext primary(int device) { return reinterpret_cast<CUcontext>(static_cast<std::uintptr_t>(0x1000 + device)); }
CUcontext callers_own() { return reinterpret_cast<CUcontext>(std::uintptr_t{0x9000}); }

CUresult init(unsigned) { return CUDA_SUCCESS; }
CUresult device_get(CUdevice* device, int ordinal) {
  *device = ordinal;
  return CUDA_SUCCESS;
}
CUresult retain(CUcontext* context, CUdevice device) {
  retained.insert(device);
  *context = primary(device);
  return CUDA_SUCCESS;
}
CUresult state_of(CUdevice device, unsigned* flags, int* active) {
  *flags = 0;
  *active = retained.contains(device) ? 1 : 0;
  return CUDA_SUCCESS;
}
CUresult get_current(CUcontext* context) {
  *context = current;
  return CUDA_SUCCESS;
}
CUresult set_current(CUcontext context) {
  ++changes;
  current = context;
  return CUDA_SUCCESS;
}

}  // namespace

extern "C" cudaError_t cudaGetDriverEntryPointByVersion(const char* name, void** function, unsigned, unsigned long long,
                                                        cudaDriverEntryPointQueryResult* result) {
  const std::pair<const char*, void*> all[] = {
      {"cuInit", reinterpret_cast<void*>(&init)},
      {"cuDeviceGet", reinterpret_cast<void*>(&device_get)},
      {"cuDevicePrimaryCtxRetain", reinterpret_cast<void*>(&retain)},
      {"cuDevicePrimaryCtxGetState", reinterpret_cast<void*>(&state_of)},
      {"cuCtxGetCurrent", reinterpret_cast<void*>(&get_current)},
      {"cuCtxSetCurrent", reinterpret_cast<void*>(&set_current)},
  };
  for (const auto& [known, address] : all) {
    if (std::strcmp(known, name) != 0) continue;
    *function = address;
    *result = cudaDriverEntryPointSuccess;
    return cudaSuccess;
  }
  *function = nullptr;
  *result = cudaDriverEntryPointSymbolNotFound;
  return cudaSuccess;
}
extern "C" cudaError_t cudaSetDevice(int ordinal) {
  static const auto next = reinterpret_cast<decltype(&cudaSetDevice)>(dlsym(RTLD_NEXT, "cudaSetDevice"));
  ++set_devices;
  return next(ordinal);
}
extern "C" cudaError_t cudaFreeAsync(void* p, cudaStream_t stream) {
  static const auto next = reinterpret_cast<decltype(&cudaFreeAsync)>(dlsym(RTLD_NEXT, "cudaFreeAsync"));
  freed_elsewhere += current != primary(0);
  return next(p, stream);
}

namespace {

using namespace support;

class CurrentDeviceTest : public testing::Test {
 protected:
  void SetUp() override {
    if (ebm::cuda::device_count() == 0) GTEST_SKIP() << "no CUDA device";
    changes = set_devices = freed_elsewhere = 0;
  }
  void TearDown() override { current = nullptr; }

  // All that an engine is asked for, then its end; `look` after every call.
  static void use(const std::function<void()>& look) {
    const ebm::Mlp model = random_network(shape_of(2, {5}), 1);
    auto engine = ebm::cuda::make_engine(0, ebm::Precision::fp32, nullptr);
    look();
    auto function = engine->load(model);
    look();
    auto chains = function->chains(2, {1, 2, 3}, {0, 0, 0});
    look();
    chains->start_uniform();
    look();
    chains->run({}, 2);
    look();
    std::vector<float> x(6), energy(3);
    chains->positions(x);
    look();
    function->evaluate(x, energy);
    look();
    EXPECT_TRUE(ebm::cuda::device_works(0));
    look();
    EXPECT_THROW(ebm::cuda::make_engine(99, ebm::Precision::fp32, nullptr), ebm::DeviceError);
    look();
    chains.reset();
    look();
    function.reset();
    engine.reset();
    look();
  }
};

TEST_F(CurrentDeviceTest, AContextOfTheCallersComesBack) {
  current = callers_own();
  use([] { EXPECT_EQ(current, callers_own()); });
  EXPECT_EQ(set_devices, 0);
  EXPECT_EQ(freed_elsewhere, 0);
}

TEST_F(CurrentDeviceTest, NoneComesBackToo) {
  use([] { EXPECT_EQ(current, nullptr); });
  EXPECT_EQ(set_devices, 0);
  EXPECT_EQ(freed_elsewhere, 0);
}

TEST_F(CurrentDeviceTest, NothingIsChangedThatHoldsAlready) {
  current = primary(0);
  const ebm::Mlp model = random_network(shape_of(2, {5}), 1);
  {
    const auto function = ebm::cuda::make_engine(0, ebm::Precision::fp32, nullptr)->load(model);
    std::vector<float> energy(1);
    function->evaluate(std::vector<float>{1, 2}, energy);
  }
  EXPECT_EQ(changes, 0);
  EXPECT_EQ(set_devices, 0);
}

// A thread that never called the runtime destroys what another made.
TEST_F(CurrentDeviceTest, DestructorsOnAnotherThread) {
  auto function = ebm::cuda::make_engine(0, ebm::Precision::fp32, nullptr)->load(random_network(shape_of(2, {5}), 1));
  std::thread([&] {
    function.reset();
    EXPECT_EQ(current, nullptr);
  }).join();
  EXPECT_EQ(freed_elsewhere, 0);
  EXPECT_EQ(set_devices, 0);
}

}  // namespace
