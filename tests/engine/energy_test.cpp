// Energies, gradients by x and network outputs of every engine against the double-precision reference.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <tuple>

#include "ebmcuda/error.hpp"
#include "support/engines.hpp"
#include "support/networks.hpp"

namespace {

using namespace support;

constexpr int kDims[] = {1, 2, 3, 5, 16, 64, 100};
constexpr int kWidths[] = {1, 3, 7, 17, 33, 100, 128};
constexpr std::size_t kCounts[] = {1, 2, 3, 7, 31, 32, 33, 63, 64, 65, 127, 1000};

class EnergyTest : public EngineTest {
 protected:
  // Rejects: a wrong formula or derivative; a tail of rows, units or dimensions that is skipped or read twice;
  // precision below single; a batch whose rows influence each other.
  void expect_reference(const ebm::Mlp& model, const ebm::Matrix& x, double scale = 1) {
    const std::size_t n = x.rows(), outputs = static_cast<std::size_t>(model.shape().outputs);
    std::vector<float> energy(n), gradient(x.values().size()), f(n * outputs);
    const auto function = engine()->load(model);
    function->evaluate(x.values(), energy, gradient);
    function->outputs(x.values(), f);

    const ref::Network network = to_reference(model);
    ref::Vector expected_energy, expected_f, expected_gradient;
    std::vector<float> kept;  // gradients of rows that are not on a kink
    std::size_t on_kink = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const ref::Evaluation e = ref::evaluate(network, to_reference(x.row(i)));
      ASSERT_LE(std::abs(static_cast<double>(energy[i]) - e.energy),
                kEnergyTolerance * std::max(e.magnitude, 1e-3) + 3e-7 * (scale - 1))
          << "row " << i << ": " << energy[i] << " instead of " << e.energy;
      for (std::size_t y = 0; y < outputs; ++y) {
        ASSERT_LE(std::abs(static_cast<double>(f[i * outputs + y]) - e.outputs[y]),
                  kEnergyTolerance * std::max(e.magnitude, 1e-3) + 3e-7 * (scale - 1))
            << "row " << i << " output " << y;
      }
      expected_energy.push_back(e.energy);
      expected_f.insert(expected_f.end(), e.outputs.begin(), e.outputs.end());
      // The derivative of relu jumps at 0: a unit within rounding of it may take either side.
      if (model.shape().activation == ebm::Activation::relu && e.kink_distance < kKinkTolerance) {
        ++on_kink;
        continue;
      }
      expected_gradient.insert(expected_gradient.end(), e.gradient.begin(), e.gradient.end());
      kept.insert(kept.end(), gradient.begin() + static_cast<std::ptrdiff_t>(i * x.cols()),
                  gradient.begin() + static_cast<std::ptrdiff_t>((i + 1) * x.cols()));
    }
    double size = 0;
    for (const double g : expected_gradient) size += g * g;
    // Points of size `scale`: a unit's sum is rounded to 1e-7 of it, which an unsaturated unit passes on, and a
    // derivative such as 1 - tanh^2 is exact to a few roundings of 1, whatever is left of it.
    const double floor = scale > 1 ? 2e-6 + 1e-7 * scale : 0;
    const double allowance = floor * std::sqrt(static_cast<double>(kept.size())) / std::max(std::sqrt(size), 1e-30);
    EXPECT_LE(relative_error(kept, expected_gradient), kGradientTolerance + allowance);
    if (n >= 31) {
      EXPECT_LE(relative_error(f, expected_f), kEnergyTolerance * (scale > 1 ? 10 : 1));
      EXPECT_LE(relative_error(energy, expected_energy), kEnergyTolerance * (scale > 1 ? 10 : 1));
      EXPECT_LE(on_kink, n / 20);
    }
    std::vector<float> alone(n);
    function->evaluate(x.values(), alone);
    EXPECT_EQ(alone, energy) << "energies must not depend on whether the gradient is asked for";
  }

  static constexpr double kKinkTolerance = 2e-6;
};

TEST_P(EnergyTest, EveryActivationHeadDimensionAndDepth) {
  std::size_t combination = 0;
  for (const ebm::Activation activation : kActivations) {
    for (const ebm::Head head : kHeads) {
      for (const int dim : kDims) {
        for (int depth = 1; depth <= 4; ++depth) {
          std::vector<int> hidden;
          for (int l = 0; l < depth; ++l) {
            hidden.push_back(kWidths[(combination + static_cast<std::size_t>(l) * 4 + 3) % std::size(kWidths)]);
          }
          // Narrow layers and kappa = 0 come up too; a third of the networks is confined.
          const float confinement = combination % 3 == 0 ? 0.7f : 0.0f;
          const std::size_t n = kCounts[combination % 11];
          SCOPED_TRACE(testing::Message() << ebm::to_string(activation) << " " << ebm::to_string(head) << " D " << dim
                                          << " widths " << testing::PrintToString(hidden) << " n " << n);
          expect_reference(random_network(shape_of(dim, hidden, activation, head, confinement), combination),
                           random_points(n, static_cast<std::size_t>(dim), combination + 1000));
          if (HasFatalFailure()) return;
          ++combination;
        }
      }
    }
  }
}

TEST_P(EnergyTest, EveryCount) {
  for (const int dim : {1, 5, 64}) {
    const ebm::Mlp model = random_network(shape_of(dim, {33, 17}), 5);
    for (const std::size_t n : kCounts) {
      SCOPED_TRACE(testing::Message() << "D " << dim << " n " << n);
      expect_reference(model, random_points(n, static_cast<std::size_t>(dim), n));
    }
  }
}

TEST_P(EnergyTest, EveryPairOfWidths) {
  for (const int first : kWidths) {
    for (const int second : kWidths) {
      SCOPED_TRACE(testing::Message() << first << ", " << second);
      expect_reference(random_network(shape_of(3, {first, second}, ebm::Activation::silu, ebm::Head::logits), 6),
                       random_points(65, 3, 7));
    }
  }
}

TEST_P(EnergyTest, SixteenLayers) {
  for (const ebm::Activation activation : {ebm::Activation::silu, ebm::Activation::tanh}) {
    for (const int depth : {5, 9, 16}) {
      std::vector<int> hidden;
      for (int l = 0; l < depth; ++l) hidden.push_back(5 + l * 7 % 20);
      SCOPED_TRACE(testing::Message() << ebm::to_string(activation) << " " << depth);
      expect_reference(random_network(shape_of(6, hidden, activation, ebm::Head::logits, 0.2f), 12),
                       random_points(70, 6, 13));
    }
  }
}

TEST_P(EnergyTest, WideLayersAndManyOutputs) {
  ebm::MlpShape shape = shape_of(10, {300, 257}, ebm::Activation::gelu, ebm::Head::logits, 0.1f);
  shape.outputs = 101;
  expect_reference(random_network(shape, 8), random_points(70, 10, 9));
  expect_reference(random_network(shape_of(300, {64}), 10), random_points(70, 300, 11));
}

// Units far into both tails: rejects overflow of an exponential, NaN from 0 * infinity or infinity - infinity.
TEST_P(EnergyTest, SaturatedUnits) {
  for (const ebm::Activation activation : kActivations) {
    for (const ebm::Head head : kHeads) {
      for (const float scale : {10.0f, 100.0f, 1000.0f}) {
        SCOPED_TRACE(testing::Message() << ebm::to_string(activation) << " " << ebm::to_string(head) << " x " << scale);
        expect_reference(random_network(shape_of(4, {33, 17}, activation, head), 12), random_points(65, 4, 13, scale),
                         static_cast<double>(scale));
        if (HasFatalFailure()) return;
      }
    }
  }
}

// Small whole numbers: every sum is exact in single precision, so the result must be exact. Rejects a term that is
// dropped or counted twice where rounding could hide it.
TEST_P(EnergyTest, WholeNumbersAreExact) {
  ebm::Mlp model(shape_of(7, {17, 33}, ebm::Activation::relu, ebm::Head::scalar, 2.0f));
  std::uint32_t state = 1;
  const auto draw = [&] {
    state = state * 1664525u + 1013904223u;
    return static_cast<float>(static_cast<int>(state >> 24) % 4 - 1);
  };
  for (float& p : model.parameters()) p = draw();
  ebm::Matrix x(129, 7);
  for (float& v : x.values()) v = draw();
  std::vector<float> energy(129), gradient(129 * 7);
  engine()->load(model)->evaluate(x.values(), energy, gradient);
  const ref::Network network = to_reference(model);
  double total = 0;
  for (std::size_t i = 0; i < 129; ++i) {
    const ref::Evaluation e = ref::evaluate(network, to_reference(x.row(i)));
    ASSERT_EQ(static_cast<double>(energy[i]), e.energy) << i;
    total += std::abs(e.energy);
    // relu'(0) is 0 here and in the reference, so kinks are no exception.
    for (std::size_t d = 0; d < 7; ++d) ASSERT_EQ(static_cast<double>(gradient[i * 7 + d]), e.gradient[d]) << i;
  }
  EXPECT_GT(total, 0);
}

TEST_P(EnergyTest, NothingBesideTheResultIsWritten) {
  const ebm::Mlp model = random_network(shape_of(5, {33}), 14);
  const ebm::Matrix x = random_points(65, 5, 15);
  std::vector<float> energy(65 + 16, -7.0f), gradient(65 * 5 + 16, -7.0f);
  const auto function = engine()->load(model);
  function->evaluate(x.values(), std::span(energy).subspan(8, 65), std::span(gradient).subspan(8, 65 * 5));
  for (std::size_t k = 0; k < 8; ++k) {
    EXPECT_EQ(energy[k], -7.0f);
    EXPECT_EQ(energy[energy.size() - 1 - k], -7.0f);
    EXPECT_EQ(gradient[k], -7.0f);
    EXPECT_EQ(gradient[gradient.size() - 1 - k], -7.0f);
  }
}

EBM_INSTANTIATE_EVALUATORS(EnergyTest);

}  // namespace
