// A real sticky error: a kernel reads memory that isn't there. A program of its own, because the device is lost to it.
#include <gtest/gtest.h>

#include "ebmcuda/error.hpp"
#include "host/cuda/context.hpp"
#include "host/cuda/devices.hpp"
#include "kernels/chains/chains.hpp"

namespace {

TEST(LostDeviceTest, IllegalAddressIsStickyAndRemembered) {
  if (ebm::cuda::device_count() == 0) GTEST_SKIP() << "no CUDA device";
  const ebm::cuda::Context context(0, nullptr);
  std::string first;
  {
    const ebm::cuda::Context::Scope scope(context);
    ebm::ChainsView chains{};
    chains.n = 1;
    chains.x = reinterpret_cast<float*>(std::uintptr_t{64});
    chains.ids = reinterpret_cast<const std::uint64_t*>(std::uintptr_t{128});
    chains.steps = reinterpret_cast<std::uint64_t*>(std::uintptr_t{256});
    try {
      context.check(ebm::launch_uniform_start(chains, ebm::StepView{}, 1, context.stream()), "launching");
      context.synchronize();
      FAIL() << "no exception";
    } catch (const ebm::DeviceError& error) {
      EXPECT_TRUE(error.sticky());
      first = error.what();
    }
  }
  try {
    const ebm::cuda::Context::Scope scope(context);
    FAIL() << "a lost device was entered";
  } catch (const ebm::DeviceError& error) {
    EXPECT_EQ(error.what(), first);
  }
}

}  // namespace
