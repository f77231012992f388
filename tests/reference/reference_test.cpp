// The oracle is checked too: against published values, finite differences and identities that its code does not use.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "reference/chains.hpp"
#include "reference/training.hpp"

namespace {

using ref::Activation;
using ref::Vector;

constexpr Activation kAll[] = {Activation::silu, Activation::softplus, Activation::tanh,
                               Activation::gelu, Activation::elu,      Activation::relu};

ref::Network random_network(int dim, std::vector<int> widths, Activation activation, bool logits, double confinement) {
  ref::Network network{dim, widths, activation, logits, logits ? 3 : 1, confinement, {}};
  std::mt19937_64 bits(7);
  std::normal_distribution<double> normal;
  int in = dim;
  widths.push_back(network.outputs);
  for (const int out : widths) {
    for (int k = 0; k < in * out; ++k) network.parameters.push_back(normal(bits) / std::sqrt(in));
    for (int k = 0; k < out; ++k) network.parameters.push_back(0.3 * normal(bits));
    in = out;
  }
  return network;
}

// Known answers of Random123 1.14, tests/kat_vectors.
TEST(ReferenceRandom, PhiloxKnownAnswers) {
  EXPECT_EQ(ref::philox4x32_10({0, 0, 0, 0}, {0, 0}), (ref::Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  const std::uint32_t f = 0xffffffff;
  EXPECT_EQ(ref::philox4x32_10({f, f, f, f}, {f, f}), (ref::Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(ref::philox4x32_10({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (ref::Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

// Values to 15 digits from mpmath.
TEST(ReferenceNetwork, ActivationsAtOneAndMinusOne) {
  const double at_one[] = {0.731058578630005, 1.31326168751822, 0.761594155955765, 0.841191990608276, 1.0, 1.0};
  const double at_minus_one[] = {-0.268941421369995, 0.313261687518223,  -0.761594155955765,
                                 -0.158808009391724, -0.632120558828558, 0.0};
  for (std::size_t k = 0; k < std::size(kAll); ++k) {
    EXPECT_NEAR(ref::activate(kAll[k], 1), at_one[k], 1e-14) << k;
    EXPECT_NEAR(ref::activate(kAll[k], -1), at_minus_one[k], 1e-14) << k;
  }
}

TEST(ReferenceNetwork, GradientsAreFiniteDifferences) {
  const double h = 1e-5;
  for (const Activation activation : kAll) {
    for (const bool logits : {false, true}) {
      ref::Network network = random_network(3, {5, 4}, activation, logits, 0.3);
      const Vector x{0.4, -1.1, 0.7};
      const ref::Evaluation here = ref::evaluate(network, x);
      for (std::size_t d = 0; d < x.size(); ++d) {
        Vector plus = x, minus = x;
        plus[d] += h;
        minus[d] -= h;
        const double slope = (ref::evaluate(network, plus).energy - ref::evaluate(network, minus).energy) / (2 * h);
        EXPECT_NEAR(here.gradient[d], slope, 1e-8);
      }
      Vector gradient(network.parameters.size(), 0.0);
      ref::add_energy_gradient(network, x, 2.5, &gradient);
      for (std::size_t k = 0; k < gradient.size(); ++k) {
        ref::Network plus = network, minus = network;
        plus.parameters[k] += h;
        minus.parameters[k] -= h;
        const double slope = (ref::evaluate(plus, x).energy - ref::evaluate(minus, x).energy) / (2 * h);
        EXPECT_NEAR(gradient[k], 2.5 * slope, 1e-8);
      }
    }
  }
}

TEST(ReferenceTraining, ObjectiveGradientIsFiniteDifferences) {
  const double h = 1e-5;
  ref::Network network = random_network(2, {4}, Activation::silu, true, 0.1);
  const std::vector<Vector> data{{0.1, 0.2}, {-0.5, 1.0}, {1.5, -0.3}};
  const std::vector<Vector> samples{{0.3, -0.9}, {-1.2, 0.4}};
  const std::vector<int> labels{2, 0, 1};
  const ref::Objective here = ref::objective(network, data, labels, samples, 0.05);
  for (std::size_t k = 0; k < network.parameters.size(); ++k) {
    ref::Network plus = network, minus = network;
    plus.parameters[k] += h;
    minus.parameters[k] -= h;
    const double slope = (ref::objective(plus, data, labels, samples, 0.05).value -
                          ref::objective(minus, data, labels, samples, 0.05).value) /
                         (2 * h);
    EXPECT_NEAR(here.gradient[k], slope, 1e-8);
  }
}

// E = x^2 / 2 with no noise: x_t = (1 - h)^t x_0.
TEST(ReferenceChains, LangevinWithoutNoiseContracts) {
  ref::Target target{random_network(1, {1}, Activation::tanh, false, 1.0), 1, {}, {}};
  for (double& p : target.network.parameters) p = 0;
  ref::Kernel kernel;
  kernel.step_size = 0.25;
  ref::Chain chain{3, 0, {2.0}};
  ref::Counts counts;
  ref::run(target, kernel, 1, 7, &chain, &counts);
  EXPECT_NEAR(chain.x[0], 2 * std::pow(0.75, 7), 1e-14);
  EXPECT_EQ(chain.step, 7u);
}

// Detailed balance of the local move, integrated: from a grid of exact weights, one MALA step must keep the mean of
// x^2 of N(0, 1) at 1 even at a step size where the unadjusted chain is far off.
TEST(ReferenceChains, MalaKeepsAGaussian) {
  ref::Target target{random_network(1, {1}, Activation::tanh, false, 1.0), 1, {}, {}};
  for (double& p : target.network.parameters) p = 0;
  ref::Kernel kernel;
  kernel.mala = true;
  kernel.step_size = 0.8;
  kernel.jump_prob = 0.3;
  std::mt19937_64 bits(11);
  std::normal_distribution<double> normal;
  ref::Counts counts;
  const int n = 200000;
  double square = 0;
  for (int i = 0; i < n; ++i) {
    ref::Chain chain{static_cast<std::uint64_t>(i), 0, {normal(bits)}};
    ref::run(target, kernel, 5, 2, &chain, &counts);
    square += chain.x[0] * chain.x[0];
  }
  EXPECT_NEAR(square / n, 1, 5 * std::sqrt(2.0 / n));
  EXPECT_GT(counts.accepted, 0u);
  EXPECT_LT(counts.accepted, counts.proposed);
  EXPECT_GT(counts.jumps_accepted, 0u);
}

TEST(ReferenceTraining, AdamsFirstStepIsTheSignOfTheGradient) {
  ref::Plan plan;
  plan.iterations = 5;
  plan.batch_size = 4;
  plan.start = ref::Start::fresh;
  plan.kernel.noise_scale = 0.1;
  plan.adam.learning_rate = 0.01;
  ref::Training training(plan, random_network(2, {3}, Activation::silu, false, 0.5), {{0.1, 0.2}, {1.0, -1.0}});
  const Vector before = training.network.parameters;
  training.step();
  for (std::size_t k = 0; k < before.size(); ++k) {
    const double g = training.objective.gradient[k];
    if (std::abs(g) < 1e-4) continue;
    EXPECT_NEAR(training.network.parameters[k], before[k] - (g > 0 ? 0.01 : -0.01), 1e-6);
  }
}

}  // namespace
