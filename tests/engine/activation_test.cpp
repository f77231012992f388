// Each activation and its derivative, alone: one hidden unit with weight 1, so that E = act(x) and dE/dx = act'(x).
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "support/engines.hpp"
#include "support/networks.hpp"

namespace {

using namespace support;

class ActivationTest : public EngineTest {
 protected:
  ebm::Mlp unit(ebm::Activation activation) const {
    ebm::Mlp model(shape_of(1, {1}, activation));
    model.weight(0)[0] = 1.0f;
    model.weight(1)[0] = 1.0f;
    return model;
  }
};

// Error below 4e-7 for values (absolute where they are below 1, relative above) and 2e-6 for derivatives: z (1 - s) in
// silu and gelu takes the rounding of s times z, which is up to 17 before s is 1. [-120, 120] in steps of 2^-10 and,
// from there, numbers to the end of the range.
TEST_P(ActivationTest, ValuesAndDerivatives) {
  for (const ebm::Activation activation : kActivations) {
    std::vector<float> z;
    for (int i = -120 * 1024; i <= 120 * 1024; ++i) z.push_back(static_cast<float>(i) / 1024);
    for (float v = 120; v < 1e12f; v *= 1.0625f) {
      z.push_back(v);
      z.push_back(-v);
    }
    std::vector<float> value(z.size()), derivative(z.size());
    engine()->load(unit(activation))->evaluate(z, value, derivative);
    const ref::Network network = to_reference(unit(activation));
    double worst_value = 0, worst_derivative = 0;
    for (std::size_t i = 0; i < z.size(); ++i) {
      const double x = static_cast<double>(z[i]);
      const double exact = ref::activate(network.activation, x),
                   slope = ref::activate_derivative(network.activation, x);
      const double value_error = std::abs(static_cast<double>(value[i]) - exact) / std::max(1.0, std::abs(exact));
      const double derivative_error = std::abs(static_cast<double>(derivative[i]) - slope);
      ASSERT_TRUE(value_error <= 4e-7) << ebm::to_string(activation) << " at " << z[i] << ": " << value[i];
      ASSERT_TRUE(derivative_error <= 2e-6) << ebm::to_string(activation) << "' at " << z[i] << ": " << derivative[i];
      worst_value = std::max(worst_value, value_error);
      worst_derivative = std::max(worst_derivative, derivative_error);
    }
    RecordProperty(std::string(ebm::to_string(activation)),
                   std::to_string(worst_value) + " " + std::to_string(worst_derivative));
  }
}

// A NaN goes through; it must not come out as a number.
TEST_P(ActivationTest, NanStaysNan) {
  for (const ebm::Activation activation : kActivations) {
    std::vector<float> z{std::numeric_limits<float>::quiet_NaN(), 1.0f}, value(2), derivative(2);
    engine()->load(unit(activation))->evaluate(z, value, derivative);
    EXPECT_TRUE(std::isnan(value[0])) << ebm::to_string(activation);
    EXPECT_TRUE(std::isfinite(value[1]) && std::isfinite(derivative[1])) << ebm::to_string(activation);
  }
}

EBM_INSTANTIATE_EVALUATORS(ActivationTest);

}  // namespace
