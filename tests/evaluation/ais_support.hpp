// What the tests of annealed importance sampling share.
#pragma once

#include <gtest/gtest.h>

#include "ebmcuda/log_z.hpp"
#include "host/core/normal_pair.hpp"

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

// Takes the place of the model's own chains: a base of N(0, 1.1 I), whatever the model.
inline Matrix standard_points(int dim) {
  Matrix x(4000, static_cast<std::size_t>(dim));
  for (std::size_t i = 0; i < x.values().size(); i += 2) {
    const PhiloxWords w = philox(11, Purpose::evaluation, i, 0, 0);
    const auto [a, b] = normal_pair(w.r0, w.r1);
    x.values()[i] = static_cast<float>(a);
    x.values()[i + 1] = static_cast<float>(b);
  }
  return x;
}

// A caller who wants a value whatever it is worth.
inline AisOptions trusting(AisOptions options) {
  options.min_ess = options.min_ess_chains = 0;
  options.max_gap_errors = options.max_gap = 1e9;
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
