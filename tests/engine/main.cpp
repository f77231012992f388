// As GoogleTest's own main, but EBMCUDA_TEST_BASELINE=1 hides every newer instruction set from the CPU engine, so that
// one machine can test the code for old ones (other vector widths, other tiles) too.
#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <cstdlib>

int main(int argc, char** argv) {
  if (std::getenv("EBMCUDA_TEST_BASELINE") != nullptr) hwy::DisableTargets(~std::int64_t{HWY_STATIC_TARGET});
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
