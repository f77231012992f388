#include "support/engines.hpp"

#include <stdlib.h>

#include <ostream>

#include "ebmcuda/error.hpp"

namespace support {

std::vector<EngineCase> engine_cases() {
  std::vector<EngineCase> cases{{"cpu"}};
#if EBMCUDA_WITH_CUDA
  using ebm::Precision;
  const auto cuda = ebm::Device::Kind::cuda;
  cases.push_back({"cuda_fp32", cuda, Precision::fp32});
  cases.push_back({"cuda_layered", cuda, Precision::fp32, true});
  cases.push_back({"cuda_fp16x3", cuda, Precision::fp16x3});
  cases.push_back({"cuda_fp16", cuda, Precision::fp16});
#endif
  return cases;
}

std::vector<EngineCase> evaluator_cases() {
  std::vector<EngineCase> cases = engine_cases();
  std::erase_if(cases, [](const EngineCase& engine) { return engine.precision != ebm::Precision::fp32; });
  return cases;
}

std::string engine_name(const testing::TestParamInfo<EngineCase>& info) { return info.param.name; }

void PrintTo(const EngineCase& engine, std::ostream* out) { *out << engine.name; }

void EngineTest::SetUp() {
  if (is_cpu()) {
    device_ = ebm::Device::cpu(2);
    return;
  }
  // The suite's hundreds of shapes would each be compiled at run time: it tests the kernels that are there, unless it
  // is told EBMCUDA_RUNTIME_COMPILER=on. tests/cuda/runtime_kernel_test.cpp has those that are compiled at run time.
  setenv("EBMCUDA_RUNTIME_COMPILER", "off", 0);
  if (GetParam().layered) {
    setenv("EBMCUDA_LAYERED", "on", 1);
    setenv("EBMCUDA_LAYERED_CHUNK", "64", 1);  // a simulated device multiplies the rows that are not in use, too
  } else {
    unsetenv("EBMCUDA_LAYERED");
    unsetenv("EBMCUDA_LAYERED_CHUNK");
  }
  try {
    device_ = ebm::Device::cuda(0, GetParam().precision);
  } catch (const ebm::ConfigError& error) {
    GTEST_SKIP() << "no CUDA device to test " << GetParam().name << " on: " << error.what();
  }
}

bool EngineTest::has_kernel_for(const ebm::Mlp& model) const {
  if (GetParam().precision == ebm::Precision::fp32) return true;
  return engine()->load(model)->path().starts_with("tensor-core");
}

ebm::Device EngineTest::with_threads(int threads) const { return is_cpu() ? ebm::Device::cpu(threads) : *device_; }

}  // namespace support
