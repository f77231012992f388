// A test with a parameter on a device whose calls can be told to fail. Skipped, which it says, where there is none.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>

#include "faulty_runtime.hpp"
#include "host/cuda/devices.hpp"

template <class Parameter>
class FaultyDeviceTest : public testing::TestWithParam<Parameter> {
 protected:
  void SetUp() override {
    if (ebm::cuda::device_count() == 0) GTEST_SKIP() << "no CUDA device";
    setenv("EBMCUDA_RUNTIME_COMPILER", "off", 0);
    faulty::reset();
  }
  void TearDown() override { faulty::reset(); }
};
