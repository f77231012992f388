#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "ebmcuda/densities.hpp"
#include "ebmcuda/error.hpp"
#include "ebmcuda/log_z.hpp"
#include "tests/evaluation/closed_forms.hpp"

namespace ebm {
namespace {

const Device kDevice = Device::cpu(1);

Mlp standardized(Mlp model, std::vector<float> mean, std::vector<float> std) {
  model.set_standardization(Standardization{std::move(mean), std::move(std)});
  return model;
}

Mlp twenty_five() {
  Matrix centres(25, 2);
  for (std::size_t k = 0; k < 25; ++k) {
    centres(k, 0) = static_cast<float>(k / 5) - 2;
    centres(k, 1) = static_cast<float>(k % 5) - 2;
  }
  return test::gaussian_mixture(centres, std::vector<double>(25, 0.0), 100.0f);
}

TEST(Quadrature, GaussiansOfEveryWidth) {
  for (const int dim : {1, 2}) {
    for (const float confinement : {1e-4f, 0.01f, 0.25f, 1.0f, 400.0f}) {
      const QuadratureResult result = quadrature_log_z(test::gaussian(dim, confinement), {}, {}, kDevice);
      EXPECT_NEAR(result.log_z, test::log_z(dim, confinement), 1e-5) << dim << " " << confinement;
      EXPECT_LT(result.error, 1e-4);
      EXPECT_LT(result.border_mass, 1e-8);
    }
  }
}

TEST(Quadrature, IsInDataUnits) {
  // log Z = log 2 pi + log 2 + log 0.5 + ..., by the volume of the standardisation.
  const Mlp model = standardized(test::gaussian(2, 1), {3, -40}, {2, 0.25});
  const QuadratureResult result = quadrature_log_z(model, {}, {}, kDevice);
  EXPECT_NEAR(result.log_z, test::log_z(2, 1) + std::log(2 * 0.25), 1e-5);
  EXPECT_LT(result.box.lo[0], 3 - 6 * 2);
  EXPECT_GT(result.box.hi[0], 3 + 6 * 2);
  EXPECT_LT(result.box.lo[1], -40 - 6 * 0.25);
  EXPECT_GT(result.box.hi[1], -40 + 6 * 0.25);
}

TEST(Quadrature, NarrowModesAndTheLikelihoodOfTheirDraws) {
  const Mlp model = twenty_five();
  const Matrix x = draw(Density2d::twenty_five_gaussians, 20'000, 1);
  const QuadratureResult result = quadrature_log_z(model, {}, x, kDevice);
  // Logits reach 400, so single-precision energies are good to a few 1e-5.
  EXPECT_NEAR(result.log_z, test::log_z(2, 100.0f, std::vector<double>(25, 0.0)), 2e-4);
  double mean = 0, square = 0;
  for (std::size_t i = 0; i < x.rows(); ++i) {
    const double log_p = log_density(Density2d::twenty_five_gaussians, x(i, 0), x(i, 1));
    mean += log_p / 20'000;
    square += log_p * log_p / 20'000;
  }
  const LogLikelihood likelihood = log_likelihood(model, x, result.log_z, kDevice);
  EXPECT_NEAR(likelihood.mean, mean, 5e-4);
  EXPECT_NEAR(likelihood.standard_error, std::sqrt((square - mean * mean) / 20'000), 1e-4);
}

TEST(Quadrature, FindsModesAwayFromTheData) {
  // Half of the mass lies 15, 40 or 300 standard deviations off, with nothing between.
  for (const float distance : {15.0f, 40.0f, 300.0f}) {
    const Matrix centres(2, 2, {0, 0, distance * 0.8f, distance * -0.6f});
    const Mlp model = test::gaussian_mixture(centres, {0, 0}, 1);
    const Matrix origin(1, 2, {0, 0});
    const QuadratureResult result = quadrature_log_z(model, {}, origin, kDevice);
    EXPECT_NEAR(result.log_z, test::log_z(2, 1, {0, 0}), 0.01) << distance;
  }
  const Mlp line = test::gaussian_mixture(Matrix(2, 1, {0, -50}), {0, 1}, 1);
  EXPECT_NEAR(quadrature_log_z(line, {}, {}, kDevice).log_z, test::log_z(1, 1, {0, 1}), 1e-3);
}

TEST(Quadrature, AGivenBoxAndGridAreUsed) {
  // The mass of N(0, 1) between -1 and 2, in data units of standard deviation 2.
  const Mlp model = standardized(test::gaussian(1, 1), {0}, {2});
  QuadratureOptions options;
  options.box = Box{{-2}, {4}};
  options.border_tolerance = 1;
  options.points = 1000;
  const QuadratureResult result = quadrature_log_z(model, options, {}, kDevice);
  const double share = 0.5 * (std::erf(2 / std::sqrt(2.0)) + std::erf(1 / std::sqrt(2.0)));
  EXPECT_NEAR(result.log_z, test::log_z(1, 1) + std::log(2.0) + std::log(share), 1e-5);
  EXPECT_EQ(result.points, 1001);
  EXPECT_EQ(result.box.lo, options.box->lo);
  EXPECT_GT(result.border_mass, 1e-3);
  // The error is what halving the grid changes; second order here, as the border is not empty.
  options.points = 100;
  const QuadratureResult coarse = quadrature_log_z(model, options, {}, kDevice);
  EXPECT_NEAR(coarse.error / result.error, 100, 30);
}

TEST(Quadrature, RefusesWhatHasMassAtTheBorder) {
  // No confinement: the integral does not converge.
  EXPECT_THROW(quadrature_log_z(test::gaussian(1, 0), {}, {}, kDevice), LogZError);
  EXPECT_THROW(quadrature_log_z(test::gaussian(2, 0), {}, {}, kDevice), LogZError);
  // A box that cuts the mass.
  QuadratureOptions options;
  options.box = Box{{-1}, {1}};
  EXPECT_THROW(quadrature_log_z(test::gaussian(2, 1), options, {}, kDevice), LogZError);
  options.border_tolerance = 0.5;
  EXPECT_NO_THROW(quadrature_log_z(test::gaussian(2, 1), options, {}, kDevice));
}

TEST(Quadrature, AnEnergyThatGrowsWithoutConfinementIsIntegrable) {
  // E = |x|: Z = 2.
  MlpShape shape;
  shape.dim = 1;
  shape.hidden = {2};
  shape.activation = Activation::relu;
  Mlp model(shape);
  model.weight(0)[0] = 1;
  model.weight(0)[1] = -1;
  model.weight(1)[0] = model.weight(1)[1] = 1;
  const QuadratureResult result = quadrature_log_z(model, {}, {}, kDevice);
  EXPECT_NEAR(result.log_z, std::log(2.0), 1e-4);
  EXPECT_LT(std::abs(result.log_z - std::log(2.0)), result.error + 1e-6);
}

// E = softplus(slope u) + softplus(-slope u) + confinement / 2 |x|^2 with u = 0.6 x + 0.8 y: a ridge of width 1 / slope
// through the plane, askew to any grid. Across it exp(-E) is the logistic density over slope, whose variance is pi^2 /
// 3 in units of 1 / slope: Z = sqrt(2 pi / confinement) / slope (1 - confinement pi^2 / (6 slope^2) + ...).
Mlp ridge(float slope, float confinement) {
  MlpShape shape;
  shape.dim = 2;
  shape.hidden = {2};
  shape.activation = Activation::softplus;
  shape.confinement = confinement;
  Mlp model(shape);
  model.weight(0)[0] = 0.6f * slope;
  model.weight(0)[1] = 0.8f * slope;
  model.weight(0)[2] = -0.6f * slope;
  model.weight(0)[3] = -0.8f * slope;
  model.weight(1)[0] = model.weight(1)[1] = 1;
  return model;
}

double log_z_of_ridge(double slope, double confinement) {
  const double correction = confinement * std::numbers::pi * std::numbers::pi / (6 * slope * slope);
  return 0.5 * std::log(2 * std::numbers::pi / confinement) + std::log((1 - correction) / slope);
}

TEST(Quadrature, AThinRidgeIsRefined) {
  for (const float slope : {30.0f, 300.0f, 3000.0f}) {
    const QuadratureResult result = quadrature_log_z(ridge(slope, 1), {}, {}, kDevice);
    const double truth = log_z_of_ridge(static_cast<double>(slope), 1);
    EXPECT_NEAR(result.log_z, truth, 0.002) << slope;
    EXPECT_LT(std::abs(result.log_z - truth), result.error + 1e-4) << slope;
  }
  EXPECT_GT(quadrature_log_z(ridge(3000, 1), {}, {}, kDevice).cells, 0);
}

TEST(Quadrature, AGridThatDoesNotResolveTheMassIsRefused) {
  QuadratureOptions options;
  for (const int points : {300, 1000}) {
    options.points = points;
    EXPECT_THROW(quadrature_log_z(ridge(3000, 1), options, {}, kDevice), LogZError) << points;
  }
  // The threshold from both sides: the error of this grid is known.
  options.points = 300;
  options.max_error = 1e9;
  const double error = quadrature_log_z(ridge(60, 1), options, {}, kDevice).error;
  ASSERT_GT(error, 1e-6);
  options.max_error = error * 1.001;
  EXPECT_NO_THROW(quadrature_log_z(ridge(60, 1), options, {}, kDevice));
  options.max_error = error * 0.999;
  EXPECT_THROW(quadrature_log_z(ridge(60, 1), options, {}, kDevice), LogZError);
}

TEST(Quadrature, MassOnASingleGridLineIsNoticed) {
  // Symmetric about the middle of the box, where every second grid has a line too: halving agrees by chance.
  const Mlp model = test::gaussian(1, 1e8f);
  QuadratureOptions options;
  options.box = Box{{-3}, {3}};
  options.points = 513;
  EXPECT_THROW(quadrature_log_z(model, options, {}, kDevice), LogZError);
  options.points = 0;
  EXPECT_NEAR(quadrature_log_z(model, options, {}, kDevice).log_z, test::log_z(1, 1e8f), 1e-3);
}

TEST(Quadrature, LogZDoesNotDependOnTheData) {
  const Mlp model = twenty_five();
  const double log_z = quadrature_log_z(model, {}, {}, kDevice).log_z;
  Matrix x = draw(Density2d::twenty_five_gaussians, 1000, 1);
  EXPECT_NEAR(quadrature_log_z(model, {}, x, kDevice).log_z, log_z, 1e-4);
  x(7, 0) = 1e9f;
  x(8, 1) = -1e9f;
  EXPECT_NEAR(quadrature_log_z(model, {}, x, kDevice).log_z, log_z, 1e-4);
  const Matrix far(1, 2, {50, 50});
  EXPECT_NEAR(quadrature_log_z(model, {}, far, kDevice).log_z, log_z, 1e-4);
}

TEST(Quadrature, FindsMassFarFromWhereItLooksFirst) {
  // No standardisation, and all mass at (60, -40): descents lead there.
  for (const float confinement : {0.25f, 4.0f}) {
    const Matrix centres(2, 2, {60, -40, 60, -40});
    const Mlp model = test::gaussian_mixture(centres, {0, 0}, confinement);
    // Energies are differences of numbers of size 2,600 confinement in single precision.
    const double rounding = static_cast<double>(confinement) * 2600 * 1.2e-7;
    EXPECT_NEAR(quadrature_log_z(model, {}, {}, kDevice).log_z, test::log_z(2, confinement, {0, 0}),
                1e-4 + 3 * rounding)
        << confinement;
  }
}

TEST(Quadrature, RejectsBadRequests) {
  const Mlp model = test::gaussian(2, 1);
  EXPECT_THROW(quadrature_log_z(test::gaussian(3, 1), {}, {}, kDevice), ConfigError);
  QuadratureOptions options;
  options.points = 31;
  EXPECT_THROW(quadrature_log_z(model, options, {}, kDevice), ConfigError);
  options.points = 1 << 20;
  EXPECT_THROW(quadrature_log_z(model, options, {}, kDevice), ConfigError);
  options = {};
  options.border_tolerance = 0;
  EXPECT_THROW(quadrature_log_z(model, options, {}, kDevice), ConfigError);
  options = {};
  options.max_error = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THROW(quadrature_log_z(model, options, {}, kDevice), ConfigError);
  options = {};
  options.box = Box{{1}, {0}};
  EXPECT_THROW(quadrature_log_z(model, options, {}, kDevice), ConfigError);
  options.box = Box{{0, 0, 0}, {1}};
  EXPECT_THROW(quadrature_log_z(model, options, {}, kDevice), ConfigError);
  const Matrix wide(4, 3), empty(0, 2), good(2, 2);
  EXPECT_THROW(quadrature_log_z(model, {}, wide, kDevice), ConfigError);
  EXPECT_THROW(log_likelihood(model, empty, 0, kDevice), ConfigError);
  EXPECT_THROW(log_likelihood(model, wide, 0, kDevice), ConfigError);
  EXPECT_THROW(log_likelihood(model, good, std::numeric_limits<double>::quiet_NaN(), kDevice), ConfigError);
}

TEST(Quadrature, NamesAnEnergyThatIsNotANumber) {
  Mlp model = test::gaussian(1, 1);
  model.bias(1)[0] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THROW(quadrature_log_z(model, {}, {}, kDevice), LogZError);
}

TEST(LogLikelihood, OnePointHasNoStandardError) {
  const Matrix origin(1, 2, {0, 0});
  const LogLikelihood one = log_likelihood(test::gaussian(2, 1), origin, test::log_z(2, 1), kDevice);
  EXPECT_NEAR(one.mean, -std::log(2 * std::numbers::pi), 1e-6);
  EXPECT_TRUE(std::isnan(one.standard_error));
}

}  // namespace
}  // namespace ebm
