// What the tests of annealed importance sampling share.
#pragma once

#include <gtest/gtest.h>

#include "ebmcuda/log_z.hpp"

namespace ebm::test {

// One thread: these chains are few, and tests run side by side.
inline const Device kDevice = Device::cpu(1);

inline AisOptions small_options(std::int64_t temperatures, std::int64_t chains) {
  AisOptions options;
  options.temperatures = temperatures;
  options.chains = chains;
  options.burn_in = 200;
  return options;
}

// Both estimates within five of their standard errors, a point value given, and a gap that fits the errors. `slack` is
// what single-precision energies add.
inline void expect_log_z(const AisResult& result, double truth, double slack = 1e-4) {
  ASSERT_TRUE(result.log_z.has_value());
  EXPECT_EQ(*result.log_z, result.log_z_forward);
  EXPECT_NEAR(result.log_z_forward, truth, 5 * result.stderr_forward + slack);
  EXPECT_NEAR(result.log_z_reverse, truth, 5 * result.stderr_reverse + slack);
}

}  // namespace ebm::test
