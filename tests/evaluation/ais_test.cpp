#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "ebmcuda/densities.hpp"
#include "ebmcuda/error.hpp"
#include "ebmcuda/log_z.hpp"
#include "tests/evaluation/ais_support.hpp"
#include "tests/evaluation/closed_forms.hpp"
#include "tests/support/engines.hpp"

namespace ebm {
namespace {

using test::expect_log_z;
using test::kDevice;
using test::small_options;

class AisEngines : public support::EngineTest {};
EBM_INSTANTIATE_ENGINES(AisEngines);

TEST_P(AisEngines, MatchesClosedForms) {
  const AisResult result = ais_log_z(test::gaussian(3, 4), small_options(60, 128), {}, device());
  expect_log_z(result, test::log_z(3, 4));
  EXPECT_LT(result.stderr_forward, 0.05);
}

TEST(Ais, GaussiansWiderAndNarrowerThanTheBase) {
  for (const int dim : {1, 2, 16}) {
    for (const float confinement : {0.25f, 1.0f, 9.0f}) {
      const AisResult result = ais_log_z(test::gaussian(dim, confinement), small_options(300, 512), {}, kDevice);
      expect_log_z(result, test::log_z(dim, confinement));
      EXPECT_LT(result.stderr_forward, 0.1) << dim << " " << confinement;
      EXPECT_NEAR(result.acceptance, 0.6, 0.08) << dim << " " << confinement;
    }
  }
}

TEST(Ais, ModelEqualToTheBaseHasNoError) {
  const AisResult result = ais_log_z(test::gaussian(8, 1), small_options(2, 64), {}, kDevice);
  EXPECT_NEAR(result.log_z_forward, test::log_z(8, 1), 1e-5);
  EXPECT_NEAR(result.log_z_reverse, test::log_z(8, 1), 1e-5);
  EXPECT_NEAR(result.ess, 64, 1e-3);
}

TEST(Ais, IsInDataUnitsWithABaseFittedToTheData) {
  // A mixture of two Gaussians in 16 dimensions with weights 3 : 1, centres 6 standard deviations apart in the first.
  const int dim = 16;
  Matrix centres(2, dim);
  centres(0, 0) = 1.5f;
  centres(1, 0) = -4.5f;
  const std::vector<double> log_weights = {0, std::log(1.0 / 3)};
  Mlp model = test::gaussian_mixture(centres, log_weights, 1);
  model.set_standardization(Standardization{std::vector<float>(dim, 100.0f), std::vector<float>(dim, 0.5f)});
  Matrix data(2000, dim);  // like draws of the model, in data units
  for (std::size_t i = 0; i < data.rows(); ++i) {
    const Matrix noise = draw(Density2d::eight_gaussians, dim / 2, i);  // unit variances do not matter, size does
    for (std::size_t d = 0; d < data.cols(); ++d)
      data(i, d) = 100 + 0.5f * (noise.values()[d] + centres(i % 4 == 0, d));
  }
  const AisResult result = ais_log_z(model, small_options(400, 1024), data, kDevice);
  expect_log_z(result, test::log_z(dim, 1, log_weights) + dim * std::log(0.5));
  EXPECT_LT(result.stderr_forward, 0.2);
  // The ends of the chains are points of the model, in data units. Three quarters lie around the first centre;
  // resampling by weight is left to the caller, so the share is that of the weights.
  double first = 0, total = 0;
  for (std::size_t i = 0; i < result.samples.rows(); ++i) {
    const double w = std::exp(result.log_weights[i] - result.log_weights[0]);
    total += w;
    if (result.samples(i, 0) > 100 - 0.75f) first += w;
  }
  EXPECT_NEAR(first / total, 0.75, 0.1);
}

TEST(Ais, GivesNoPointValueWhenFewChainsCarryTheWeight) {
  const Mlp model = test::gaussian(64, 100);
  const Matrix points = test::standard_points(64);
  AisOptions options = small_options(3, 256);
  options.reverse = false;
  const AisResult refused = ais_log_z(model, options, points, kDevice);
  EXPECT_FALSE(refused.log_z.has_value());
  EXPECT_NE(refused.refusal.find("effective sample size"), std::string::npos) << refused.refusal;
  EXPECT_LT(refused.ess, 0.02 * 256);
  EXPECT_GE(refused.ess, 1);
  EXPECT_LT(refused.log_z_forward, test::log_z(64, 100));
  EXPECT_TRUE(std::isnan(refused.log_z_reverse));
  // The thresholds are the caller's.
  options.min_ess = options.min_ess_chains = 0;
  const AisResult trusted = ais_log_z(model, options, points, kDevice);
  EXPECT_TRUE(trusted.log_z.has_value());
  EXPECT_TRUE(trusted.refusal.empty());
}

TEST(Ais, ThresholdsDecideOnBothSides) {
  const Mlp model = test::gaussian(4, 6);
  const Matrix points = test::standard_points(4);
  const auto judge = [&](auto change) {
    AisOptions options = test::trusting(small_options(20, 400));
    change(options);
    return ais_log_z(model, options, points, kDevice);
  };
  const AisResult free = judge([](AisOptions&) {});
  ASSERT_TRUE(free.log_z.has_value());
  const double gap = std::abs(free.log_z_reverse - free.log_z_forward);
  const double errors = (gap - 0.01) / std::hypot(free.stderr_forward, free.stderr_reverse);  // 0.01 for rounding
  ASSERT_GT(errors, 0.1) << "the seed gives bounds too near for this test";
  const auto passes = [&](auto change) { return judge(change).log_z.has_value(); };
  EXPECT_TRUE(passes([&](AisOptions& o) { o.min_ess_chains = free.ess * 0.999; }));
  EXPECT_FALSE(passes([&](AisOptions& o) { o.min_ess_chains = free.ess * 1.001; }));
  EXPECT_TRUE(passes([&](AisOptions& o) { o.min_ess = free.ess / 400 * 0.999; }));
  EXPECT_FALSE(passes([&](AisOptions& o) { o.min_ess = free.ess / 400 * 1.001; }));
  EXPECT_TRUE(passes([&](AisOptions& o) { o.max_gap = gap * 1.001; }));
  EXPECT_FALSE(passes([&](AisOptions& o) { o.max_gap = gap * 0.999; }));
  EXPECT_TRUE(passes([&](AisOptions& o) { o.max_gap_errors = errors * 1.001; }));
  const AisResult refused = judge([&](AisOptions& o) { o.max_gap_errors = errors * 0.999; });
  EXPECT_FALSE(refused.log_z.has_value());
  EXPECT_NE(refused.refusal.find("bound"), std::string::npos) << refused.refusal;
}

TEST(Ais, FewChainsDoNotPassForBeingFew) {
  // Equal weights, as good as it gets: 24 chains know log Z too badly all the same.
  const Mlp model = test::gaussian(3, 1);
  EXPECT_FALSE(ais_log_z(model, small_options(10, 24), {}, kDevice).log_z.has_value());
  EXPECT_TRUE(ais_log_z(model, small_options(10, 26), {}, kDevice).log_z.has_value());
  // A hard one: no number of chains up to a thousand helps.
  const Mlp hard = test::gaussian(64, 100);
  const Matrix points = test::standard_points(64);
  for (const std::int64_t chains : {2, 20, 50, 200, 1000}) {
    EXPECT_FALSE(ais_log_z(hard, small_options(3, chains), points, kDevice).log_z.has_value()) << chains;
  }
}

TEST(Ais, TheBaseIsTheModelsOwn) {
  // Twenty times narrower than N(0, I) in every one of 32 directions and four standard deviations off: from N(0, I)
  // 20 temperatures are far too few, from the model's own chains plenty.
  const int dim = 32;
  Matrix centre(2, dim);
  for (std::size_t d = 0; d < dim; ++d) centre(0, d) = centre(1, d) = 0.7f;
  const Mlp model = test::gaussian_mixture(centre, {0, 0}, 400);
  const AisResult own = ais_log_z(model, small_options(20, 256), {}, kDevice);
  expect_log_z(own, test::log_z(dim, 400, {0, 0}), 0.01);
  EXPECT_LT(own.stderr_forward, 0.2);
  EXPECT_FALSE(ais_log_z(model, small_options(20, 256), test::standard_points(dim), kDevice).log_z.has_value());
}

TEST(Ais, IsReproducibleWhateverTheThreads) {
  MlpShape shape;
  shape.dim = 3;
  shape.hidden = {16};
  shape.confinement = 1;
  const Mlp model = Mlp::random(shape, 1, 3);
  AisOptions options = small_options(20, 100);
  const AisResult one = ais_log_z(model, options, {}, Device::cpu(1)),
                  two = ais_log_z(model, options, {}, Device::cpu(2));
  EXPECT_EQ(one.log_weights, two.log_weights);
  EXPECT_EQ(one.log_z_reverse, two.log_z_reverse);
  EXPECT_EQ(one.samples, two.samples);
  options.seed = 1;
  EXPECT_NE(ais_log_z(model, options, {}, Device::cpu(1)).log_z_forward, one.log_z_forward);
}

TEST(Ais, ReportsProgressAndStopsWhenTold) {
  const Mlp model = test::gaussian(2, 3);
  AisOptions options = small_options(10, 64);
  std::vector<AisProgress> seen;
  options.progress = [&](const AisProgress& p) {
    seen.push_back(p);
    return true;
  };
  ais_log_z(model, options, {}, kDevice);
  EXPECT_EQ(seen.front().temperature, 0);
  EXPECT_EQ(seen.back().temperature, 10);
  EXPECT_TRUE(seen.back().reverse);
  for (std::size_t i = 1; i < seen.size(); ++i) {
    EXPECT_GE(seen[i].seconds, seen[i - 1].seconds);
    EXPECT_GE(seen[i].reverse, seen[i - 1].reverse);
    if (seen[i].reverse == seen[i - 1].reverse) {
      EXPECT_GE(seen[i].temperature, seen[i - 1].temperature);
    }
  }
  const auto stop_at = [&](std::int64_t temperature, bool reverse) {
    options.progress = [=](const AisProgress& p) { return p.temperature != temperature || p.reverse != reverse; };
    return ais_log_z(model, options, {}, kDevice);
  };
  for (const std::int64_t temperature : {0, 5}) {
    const AisResult stopped = stop_at(temperature, false);
    EXPECT_FALSE(stopped.log_z.has_value());
    EXPECT_TRUE(std::isnan(stopped.log_z_forward));
    EXPECT_TRUE(std::isnan(stopped.log_z_reverse));
  }
  for (const std::int64_t temperature : {0, 5}) {
    const AisResult stopped = stop_at(temperature, true);
    EXPECT_FALSE(stopped.log_z.has_value()) << "its upper bound is not known";
    EXPECT_TRUE(std::isfinite(stopped.log_z_forward));
    EXPECT_TRUE(std::isnan(stopped.log_z_reverse));
  }
}

TEST(Ais, AnEnergyThatIsNotANumberGivesNoValue) {
  Mlp model = test::gaussian(2, 1);
  model.bias(1)[0] = std::numeric_limits<float>::quiet_NaN();
  const AisResult result = ais_log_z(model, small_options(5, 64), {}, kDevice);
  EXPECT_FALSE(result.log_z.has_value());
}

TEST(Ais, RejectsBadRequests) {
  const Mlp model = test::gaussian(3, 1);
  const auto rejects = [&](auto change, MatrixView data = {}) {
    AisOptions options = small_options(10, 64);
    change(options);
    EXPECT_THROW(ais_log_z(model, options, data, kDevice), ConfigError);
  };
  rejects([](AisOptions& o) { o.temperatures = 1; });
  rejects([](AisOptions& o) { o.chains = 1; });
  rejects([](AisOptions& o) { o.steps_per_temperature = 0; });
  rejects([](AisOptions& o) { o.target_acceptance = 0; });
  rejects([](AisOptions& o) { o.target_acceptance = 1; });
  rejects([](AisOptions& o) { o.target_acceptance = std::numeric_limits<float>::quiet_NaN(); });
  rejects([](AisOptions& o) { o.burn_in = -1; });
  rejects([](AisOptions& o) { o.min_ess = 1.5; });
  rejects([](AisOptions& o) { o.min_ess_chains = -1; });
  rejects([](AisOptions& o) { o.max_gap_errors = std::numeric_limits<double>::quiet_NaN(); });
  rejects([](AisOptions& o) { o.max_gap = -1; });
  const auto nothing = [](AisOptions&) {};
  const Matrix one_point(1, 3), narrow(5, 2);
  rejects(nothing, one_point);
  rejects(nothing, narrow);
  Matrix not_finite(5, 3);
  not_finite(2, 2) = std::numeric_limits<float>::infinity();
  rejects(nothing, not_finite);
}

}  // namespace
}  // namespace ebm
