// The public calls in data units: standardisation in and out, labels.
#include <gtest/gtest.h>

#include <cmath>

#include "ebmcuda/error.hpp"
#include "ebmcuda/mlp.hpp"
#include "support/engines.hpp"
#include "support/errors.hpp"
#include "support/networks.hpp"

namespace {

using namespace support;

class DataUnitsTest : public EngineTest {
 protected:
  static constexpr std::size_t kRows = 77;
  // (x - mean) / std is rounded to single precision, which moves a point by up to 2e-7 of |x / std|, about 10 here.
  static constexpr double kMappingError = 1e-5;

  DataUnitsTest() : model_(random_network(shape_of(3, {33, 17}, ebm::Activation::silu, ebm::Head::logits, 0.4f), 1)) {
    model_.set_standardization(ebm::Standardization{{1.0f, -4.0f, 0.25f}, {0.5f, 2.0f, 0.125f}});
    x_ = model_.to_data_units(random_points(kRows, 3, 2));
    network_ = to_reference(model_);
  }

  // The row in model space, exactly.
  ref::Vector model_row(std::size_t i) const {
    ref::Vector row = to_reference(x_.row(i));
    for (std::size_t d = 0; d < 3; ++d) {
      row[d] = (row[d] - static_cast<double>(model_.standardization()->mean[d])) /
               static_cast<double>(model_.standardization()->std[d]);
    }
    return row;
  }

  ebm::Mlp model_;
  ebm::Matrix x_;
  ref::Network network_;
};

TEST_P(DataUnitsTest, EnergyAndGradient) {
  std::vector<float> energies;
  const ebm::Matrix gradient = ebm::energy_gradient(model_, x_, device(), &energies);
  EXPECT_EQ(ebm::energy(model_, x_, device()), energies);
  ref::Vector expected, expected_gradient;
  for (std::size_t i = 0; i < kRows; ++i) {
    const ref::Evaluation e = ref::evaluate(network_, model_row(i));
    expected.push_back(e.energy);
    for (std::size_t d = 0; d < 3; ++d) {
      // The chain rule: dE/dx_data = dE/dx_model / std.
      expected_gradient.push_back(e.gradient[d] / static_cast<double>(model_.standardization()->std[d]));
    }
  }
  EXPECT_LE(relative_error(energies, expected), kEnergyTolerance + kMappingError);
  EXPECT_LE(relative_error(gradient.values(), expected_gradient), kGradientTolerance + kMappingError);
}

TEST_P(DataUnitsTest, JointEnergyIsMinusTheLogitOfTheLabel) {
  std::vector<int> labels;
  ref::Vector expected;
  for (std::size_t i = 0; i < kRows; ++i) {
    labels.push_back(static_cast<int>(i % 5));
    const ref::Vector x = model_row(i);
    double confinement = 0;
    for (const double v : x) confinement += 0.5 * static_cast<double>(0.4f) * v * v;
    expected.push_back(confinement - ref::evaluate(network_, x).outputs[i % 5]);
  }
  EXPECT_LE(relative_error(ebm::joint_energy(model_, x_, labels, device()), expected),
            kEnergyTolerance + kMappingError);
}

// E(x) = -logsumexp of -E(x, y) over y: ties the two public calls together.
TEST_P(DataUnitsTest, EnergyIsTheLogSumOverLabels) {
  const std::vector<float> energies = ebm::energy(model_, x_, device());
  std::vector<double> sum(kRows, 0);
  for (int label = 0; label < 5; ++label) {
    const auto joint = ebm::joint_energy(model_, x_, std::vector<int>(kRows, label), device());
    for (std::size_t i = 0; i < kRows; ++i) sum[i] += std::exp(-static_cast<double>(joint[i]));
  }
  for (std::size_t i = 0; i < kRows; ++i) EXPECT_NEAR(static_cast<double>(energies[i]), -std::log(sum[i]), 2e-4);
}

TEST_P(DataUnitsTest, ParameterGradient) {
  const ebm::Matrix weights = random_points(kRows, 1, 3);
  ref::Vector expected(network_.parameters.size(), 0.0);
  for (std::size_t i = 0; i < kRows; ++i) {
    ref::add_energy_gradient(network_, model_row(i), static_cast<double>(weights(i, 0)), &expected);
  }
  const auto gradient = ebm::parameter_gradient(model_, x_, weights.values(), device());
  EXPECT_LE(relative_error(gradient, expected), 1e-5 + kMappingError);
}

TEST_P(DataUnitsTest, UniformStartSpansThreeStandardDeviations) {
  const ebm::Matrix start = ebm::uniform_start(model_, 50, 9, 1000, 7);
  ebm::SampleOptions options;
  options.n_chains = 50;
  options.n_steps = 0;
  options.seed = 9;
  options.first_chain = 1000;
  options.first_step = 7;
  const ebm::SampleResult result = ebm::sample(model_, ebm::LangevinDynamics{}, options, device());
  for (std::size_t i = 0; i < 50; ++i) {
    const ref::Vector expected = ref::uniform_start(9, 1000 + i, 7, 3);
    for (std::size_t d = 0; d < 3; ++d) {
      const double mean = static_cast<double>(model_.standardization()->mean[d]);
      const double std = static_cast<double>(model_.standardization()->std[d]);
      EXPECT_NEAR(static_cast<double>(start(i, d)), mean + std * expected[d], 2e-6 * (std::abs(mean) + 3 * std));
      EXPECT_NEAR(static_cast<double>(result.x(i, d)), mean + std * expected[d], 2e-6 * (std::abs(mean) + 3 * std));
    }
  }
}

TEST_P(DataUnitsTest, BadRequestsNameTheField) {
  ebm::Matrix wide(2, 4), with_nan = x_;
  with_nan(5, 1) = std::nanf("");
  EXPECT_EQ(field_of([&] { ebm::energy(model_, wide, device()); }), "x");
  EXPECT_EQ(field_of([&] { ebm::energy_gradient(model_, with_nan, device()); }), "x");
  EXPECT_EQ(field_of([&] { ebm::joint_energy(model_, x_, std::vector<int>(3, 0), device()); }), "labels");
  EXPECT_EQ(field_of([&] { ebm::joint_energy(model_, x_, std::vector<int>(kRows, 5), device()); }), "labels");
  EXPECT_EQ(field_of([&] { ebm::parameter_gradient(model_, x_, std::vector<float>(2, 1.0f), device()); }), "weights");
}

EBM_INSTANTIATE_EVALUATORS(DataUnitsTest);

}  // namespace
