// ebm::Energy: a loaded network gives what the free functions give, call after call and from several threads, goes on
// with other parameters, and refuses misuse. (Whether the numbers are right is tests/engine's business.)
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <thread>

#include "ebmcuda/energy.hpp"
#include "ebmcuda/error.hpp"
#include "support/engines.hpp"
#include "support/networks.hpp"

namespace {

using namespace support;

class EnergyHandleTest : public EngineTest {
 protected:
  static ebm::Mlp network(std::uint64_t seed, ebm::Head head = ebm::Head::logits) {
    ebm::Mlp model = random_network(shape_of(3, {17, 9}, ebm::Activation::silu, head, 0.5f), seed);
    model.set_standardization(ebm::Standardization{{1.0f, -4.0f, 0.25f}, {0.5f, 2.0f, 0.125f}});
    return model;
  }
  static ebm::Matrix points(const ebm::Mlp& model, std::size_t n, std::uint64_t seed) {
    return model.to_data_units(random_points(n, 3, seed));
  }
  static std::string message_of(const std::function<void()>& call) {
    try {
      call();
    } catch (const ebm::ConfigError& error) {
      return error.what();
    }
    return "no ConfigError";
  }

  ebm::Mlp model_ = network(1);
};

// Calls of different sizes in turn, so that memory kept from one shows in another that took it for its own.
TEST_P(EnergyHandleTest, GivesWhatTheFreeFunctionsGive) {
  const ebm::Energy energy(model_, device());
  for (const std::size_t n : {std::size_t{5}, std::size_t{70}, std::size_t{1}, std::size_t{33}}) {
    const ebm::Matrix x = points(model_, n, n);
    std::vector<float> expected, values(n), flat(3 * n), weights(n, 0.25f);
    const ebm::Matrix gradient = ebm::energy_gradient(model_, x, device(), &expected);
    EXPECT_EQ(energy.values(x), expected);
    EXPECT_EQ(energy.gradient(x), gradient);
    energy.gradient(x, flat, values);
    EXPECT_TRUE(std::ranges::equal(flat, gradient.values()));
    EXPECT_EQ(values, expected);
    std::vector<int> labels(n, 1);
    EXPECT_EQ(energy.joint_values(x, labels), ebm::joint_energy(model_, x, labels, device()));
    EXPECT_EQ(energy.parameter_gradient(x, weights), ebm::parameter_gradient(model_, x, weights, device()));
    EXPECT_EQ(energy.outputs(x).cols(), 5u);
  }
  EXPECT_TRUE(energy.values(ebm::MatrixView{nullptr, 0, 3}).empty());
}

// E = f for a scalar head without confinement.
TEST_P(EnergyHandleTest, OutputsOfAScalarHeadAreTheEnergy) {
  const ebm::Mlp model = random_network(shape_of(3, {17}, ebm::Activation::tanh), 3);
  const ebm::Energy energy(model, device());
  const ebm::Matrix x = random_points(9, 3, 4), f = energy.outputs(x);
  const std::vector<float> values = energy.values(x);
  EXPECT_TRUE(std::ranges::equal(f.values(), values));
}

TEST_P(EnergyHandleTest, GoesOnWithOtherParameters) {
  const ebm::Mlp other = network(2);
  ebm::Energy energy(model_, device());
  const ebm::Energy copy = energy;  // the same loaded network
  const ebm::Matrix x = points(model_, 20, 5);
  const std::vector<float> before = energy.values(x), expected = ebm::energy(other, x, device());
  energy.set_parameters(other.parameters());
  EXPECT_EQ(copy.values(x), expected);
  EXPECT_TRUE(std::ranges::equal(copy.model().parameters(), other.parameters()));
  energy.set_parameters(model_.parameters());
  EXPECT_EQ(copy.values(x), before);
}

// Threads take turns. Rejects scratch memory that they would share.
TEST_P(EnergyHandleTest, SeveralThreadsMayCall) {
  const ebm::Energy energy(model_, device());
  const int calls = sized(50, 2);
  std::vector<int> wrong(4, 0);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&, t] {
      const ebm::Matrix x = points(model_, 20 + 13 * t, t);
      const std::vector<float> weights(x.rows(), 1.0f);
      const ebm::Energy own(model_, device());
      const std::vector<float> expected = own.values(x), expected_sum = own.parameter_gradient(x, weights);
      const ebm::Matrix expected_gradient = own.gradient(x);
      for (int i = 0; i < calls; ++i) {
        if (energy.values(x) != expected) ++wrong[t];
        if (energy.gradient(x) != expected_gradient) ++wrong[t];
        if (energy.parameter_gradient(x, weights) != expected_sum) ++wrong[t];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

TEST_P(EnergyHandleTest, SaysWhatRuns) {
  const ebm::Energy energy(model_, device());
  EXPECT_EQ(energy.description(), energy.engine() + ": " + energy.path());
  EXPECT_TRUE(energy.engine().starts_with(is_cpu() ? "cpu " : "cuda:0 ")) << energy.engine();
  EXPECT_FALSE(energy.path().empty());
  EXPECT_EQ(energy.dim(), 3);
}

TEST_P(EnergyHandleTest, RefusesMisuse) {
  ebm::Energy energy(model_, device());
  const ebm::Matrix x = points(model_, 4, 1), wide(4, 5);
  ebm::Matrix bad = x;
  bad(2, 1) = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> three(3), four(4), twelve(12), weights{1, 2, 3, INFINITY};
  EXPECT_EQ(message_of([&] { energy.values(wide); }), "x = 4 x 5: the model has D = 3, so rows must hold 3 values");
  EXPECT_EQ(message_of([&] { energy.values(bad); }), "x = nan: every value must be finite (row 2, column 1)");
  EXPECT_EQ(message_of([&] { energy.values(x, three); }), "energy = 3: must hold 1 value for each of the 4 rows");
  EXPECT_EQ(message_of([&] { energy.gradient(x, four); }), "gradient = 4: must hold 3 values for each of the 4 rows");
  EXPECT_EQ(message_of([&] { energy.gradient(x, twelve, three); }),
            "energy = 3: must hold 1 value for each of the 4 rows");
  EXPECT_EQ(message_of([&] { energy.outputs(x, four); }), "f = 4: must hold 5 values for each of the 4 rows");
  EXPECT_EQ(message_of([&] { energy.parameter_gradient(x, three); }),
            "weights = 3: must hold 1 value for each of the 4 rows");
  EXPECT_EQ(message_of([&] { energy.parameter_gradient(x, weights); }), "weights = inf: every value must be finite");
  EXPECT_EQ(message_of([&] { energy.parameter_gradient(x, std::vector<float>(4), three); }),
            fmt::format("gradient = 3: must hold {} values, one for each parameter", model_.parameters().size()));
  EXPECT_EQ(message_of([&] { energy.joint_values(x, std::vector<int>{0, 1, 5, 0}); }), "labels = 5: must be in 0 .. 4");
  EXPECT_EQ(message_of([&] { energy.set_parameters(three); }),
            fmt::format("parameters = 3: must hold {} values", model_.parameters().size()));
  if (!is_cpu()) {
    EXPECT_EQ(message_of([&] {
                energy.values({nullptr, 4, 3}, four.data(), nullptr);
              }),
              "x = null: must point to device memory");
    EXPECT_EQ(message_of([&] {
                energy.values({four.data(), 1, 3}, nullptr, nullptr);
              }),
              "energy = null: must point to device memory");
    EXPECT_EQ(message_of([&] {
                energy.values({four.data(), 1, 4}, four.data(), nullptr);
              }),
              "x = 1 x 4: the model has D = 3, so rows must hold 3 values");
    return;
  }
  EXPECT_EQ(message_of([&] {
              energy.values({twelve.data(), 4, 3}, four.data(), nullptr);
            }),
            "device = cpu: only a CUDA device has memory and streams of its own");
}

EBM_INSTANTIATE_EVALUATORS(EnergyHandleTest);

}  // namespace
