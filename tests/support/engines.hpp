// Every test of an engine's behaviour runs against each engine of the build: derive from EngineTest, write TEST_P, and
// end the file with EBM_INSTANTIATE_ENGINES, or with EBM_INSTANTIATE_EVALUATORS where no chain runs. An engine without
// a device on this machine is skipped, and says so.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ebmcuda/device.hpp"
#include "host/engine/engine.hpp"

namespace support {

struct EngineCase {
  std::string name;  // "cpu", "cuda_fp32", "cuda_layered", ...
  ebm::Device::Kind kind = ebm::Device::Kind::cpu;
  ebm::Precision precision = ebm::Precision::fp32;
  bool layered = false;  // CUDA: every network goes the layered path, else those that it is for
};
std::vector<EngineCase> engine_cases();
// Without the engines that differ in the precision of their chains only: energies and gradients of given points are
// fp32 in all of them, which tests/cuda/precision_test.cpp holds to the bit.
std::vector<EngineCase> evaluator_cases();
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

  // For an engine with half-precision chains, whether it has a kernel for this network. Where it has none its chains
  // are those of fp32, bit for bit (tests/cuda/precision_test.cpp), and need no second test.
  bool has_kernel_for(const ebm::Mlp& model) const;
  // A count for the CPU and on a device: a device may be a simulated one, some 10^5 times slower than a real one, so
  // its cases are as small as what they are to reject allows.
  template <class Count>
  Count sized(Count cpu, Count device) const {
    return is_cpu() ? cpu : device;
  }

  // Relative error that the gradient of the energy by x may have, root mean square over a batch, and that energies may
  // have: single-precision sums of a few hundred terms.
  static constexpr double kGradientTolerance = 1e-5;
  static constexpr double kEnergyTolerance = 1e-5;

 private:
  std::optional<ebm::Device> device_;
};

}  // namespace support

#define EBM_INSTANTIATE_EVALUATORS(Suite) \
  INSTANTIATE_TEST_SUITE_P(Engines, Suite, testing::ValuesIn(support::evaluator_cases()), support::engine_name)
#define EBM_INSTANTIATE_ENGINES(Suite) \
  INSTANTIATE_TEST_SUITE_P(Engines, Suite, testing::ValuesIn(support::engine_cases()), support::engine_name)
