// Every test of an engine's behaviour runs against each engine of the build: derive from EngineTest, write TEST_P, and
// end the file with EBM_INSTANTIATE_ENGINES. An engine without a device on this machine is skipped, and says so.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ebmcuda/device.hpp"
#include "host/engine.hpp"

namespace support {

struct EngineCase {
  std::string name;  // "cpu", "cuda_fp32", ...
  ebm::Device::Kind kind = ebm::Device::Kind::cpu;
  ebm::Precision precision = ebm::Precision::fp32;
};
std::vector<EngineCase> engine_cases();
std::string engine_name(const testing::TestParamInfo<EngineCase>& info);
void PrintTo(const EngineCase& engine, std::ostream* out);

class EngineTest : public testing::TestWithParam<EngineCase> {
 protected:
  void SetUp() override;
  const ebm::Device& device() const { return *device_; }
  std::unique_ptr<ebm::Engine> engine() const { return ebm::make_engine(*device_); }
  bool is_cpu() const { return GetParam().kind == ebm::Device::Kind::cpu; }
  // The CPU engine with another number of threads; elsewhere the same device.
  ebm::Device with_threads(int threads) const;

  // Relative error that the gradient of the energy by x may have, root mean square over a batch: single-precision sums
  // of a few hundred terms, or the rounding of inputs to half precision (design contract: 1e-5 and 2e-3).
  double gradient_tolerance() const { return GetParam().precision == ebm::Precision::fp16 ? 2e-3 : 1e-5; }
  // Energies are of single-precision grade whatever the gradient's precision.
  static constexpr double kEnergyTolerance = 1e-5;

 private:
  std::optional<ebm::Device> device_;
};

}  // namespace support

#define EBM_INSTANTIATE_ENGINES(Suite) \
  INSTANTIATE_TEST_SUITE_P(Engines, Suite, testing::ValuesIn(support::engine_cases()), support::engine_name)
