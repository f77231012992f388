// Annealed importance sampling against exact values, with the numbers of chains and runs that make the comparison
// sharp.
#include <gtest/gtest.h>

#include <cmath>

#include "ebmcuda/log_z.hpp"
#include "tests/evaluation/ais_support.hpp"
#include "tests/evaluation/closed_forms.hpp"

namespace ebm {
namespace {

using test::expect_log_z;
using test::kDevice;
using test::small_options;

TEST(Ais, AGaussianIn64Dimensions) {
  const AisResult result = ais_log_z(test::gaussian(64, 4), small_options(1000, 512), {}, kDevice);
  expect_log_z(result, test::log_z(64, 4));
  EXPECT_LT(result.stderr_forward, 0.15);
}

TEST(Ais, AgreesWithQuadratureOnRandomNetworks) {
  for (const int dim : {1, 2}) {
    for (std::uint64_t seed = 0; seed < 3; ++seed) {
      MlpShape shape;
      shape.dim = dim;
      shape.hidden = {32, 32};
      shape.confinement = 0.5f;
      Mlp model = Mlp::random(shape, seed, 6.0f);
      for (float& w : model.weight(2)) w *= 10;  // several nats of structure
      const QuadratureResult exact = quadrature_log_z(model, {}, {}, kDevice);
      ASSERT_LT(exact.error, 1e-3);
      AisOptions options = small_options(300, 1024);
      options.seed = seed;
      const AisResult result = ais_log_z(model, options, {}, kDevice);
      expect_log_z(result, exact.log_z, exact.error + 1e-4);
      EXPECT_LT(result.stderr_forward, 0.05);
    }
  }
}

TEST(Ais, WeightsAreUnbiasedAndBoundsLieOnTheirSides) {
  // Far too few temperatures, many times over: exp(log_z_forward) is still right in the mean, its logarithm is low, and
  // the reverse one is high.
  const double truth = test::log_z(4, 6);
  const Mlp model = test::gaussian(4, 6);
  const Matrix points = test::standard_points(4);
  const int runs = 400;
  double ratio = 0, ratio_square = 0, forward = 0, forward_square = 0, reverse = 0, reverse_square = 0;
  for (int run = 0; run < runs; ++run) {
    AisOptions options = small_options(4, 10);
    options.seed = static_cast<std::uint64_t>(run);
    const AisResult result = ais_log_z(model, options, points, kDevice);
    const double low = result.log_z_forward - truth, high = result.log_z_reverse - truth;
    ratio += std::exp(low) / runs;
    ratio_square += std::exp(2 * low) / runs;
    forward += low / runs;
    forward_square += low * low / runs;
    reverse += high / runs;
    reverse_square += high * high / runs;
  }
  const auto error = [](double mean, double square) { return std::sqrt((square - mean * mean) / runs); };
  EXPECT_NEAR(ratio, 1, 5 * error(ratio, ratio_square));
  EXPECT_LT(error(ratio, ratio_square), 0.1);
  EXPECT_LT(forward, -4 * error(forward, forward_square));
  EXPECT_GT(reverse, 4 * error(reverse, reverse_square));
}

TEST(Ais, TheStandardErrorIsTheScatter) {
  const Mlp model = test::gaussian(4, 6);
  const Matrix points = test::standard_points(4);
  const int runs = 60;
  double mean = 0, square = 0, claimed = 0;
  for (int run = 0; run < runs; ++run) {
    AisOptions options = small_options(20, 128);
    options.reverse = false;
    options.seed = static_cast<std::uint64_t>(run);
    const AisResult result = ais_log_z(model, options, points, kDevice);
    mean += result.log_z_forward / runs;
    square += result.log_z_forward * result.log_z_forward / runs;
    claimed += result.stderr_forward / runs;
  }
  const double scatter = std::sqrt(square - mean * mean);
  // A standard deviation of 60 runs is known to 9 %.
  EXPECT_NEAR(claimed / scatter, 1, 0.45);
}

}  // namespace
}  // namespace ebm
