// The trainer's gradient is unbiased: where the data are exact draws of the model itself, and the chains begin at other
// exact draws, the expectation of mean dE/dtheta(data) - mean dE/dtheta(chains) is zero for every parameter, after any
// number of exact transitions.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "ebmcuda/energy.hpp"
#include "ebmcuda/sampler.hpp"
#include "ebmcuda/trainer.hpp"
#include "support/engines.hpp"
#include "support/exact_draws.hpp"
#include "support/networks.hpp"
#include "support/statistics.hpp"

namespace {

using namespace support;

class GradientCalibrationTest : public EngineTest {
 protected:
  // Over `batches` of independent gradients, [batches, parameters]: the smallest p-value of a mean that is not zero,
  // times their number. A mean of so many is normal as far as can be seen. That of the last bias is all rounding, since
  // dE/db is 1 everywhere.
  static double zero_mean_p(const std::vector<std::vector<float>>& gradients) {
    constexpr double kRounding = 1e-6;
    const auto n = static_cast<double>(gradients.size());
    double smallest = 1;
    for (std::size_t k = 0; k < gradients[0].size(); ++k) {
      double sum = 0, square = 0;
      for (const auto& gradient : gradients) sum += static_cast<double>(gradient[k]) / n;
      for (const auto& gradient : gradients) square += std::pow(static_cast<double>(gradient[k]) - sum, 2) / (n - 1);
      smallest = std::min(smallest, two_sided_p_value(sum / std::hypot(std::sqrt(square / n), kRounding)));
    }
    return std::min(1.0, smallest * static_cast<double>(gradients[0].size()));
  }
};

// Rejects chains that leave the model's law (the unadjusted chain at the same step is found out), and a gradient that
// weighs data and chains otherwise than alike.
TEST_P(GradientCalibrationTest, IsZeroInTheMeanAtTheTruth) {
  const ebm::Mlp model = random_network(shape_of(2, {12}, ebm::Activation::tanh, ebm::Head::scalar, 1.0f), 17);
  const std::size_t batches = 400, rows = fresh_size(20000) / 80;
  ExactDraws exact(model, fresh_seed(8));
  const ebm::Matrix data = exact(batches * rows), start = exact(batches * rows);
  const ebm::Energy energy(model, device());
  std::vector<float> weights(2 * rows, 1.0f / static_cast<float>(rows));
  std::fill(weights.begin() + static_cast<std::ptrdiff_t>(rows), weights.end(), -weights[0]);
  const auto p_of = [&](const ebm::Sampler& sampler) {
    ebm::SampleOptions options;
    options.init = start;
    options.n_steps = 10;
    options.seed = fresh_seed(9);
    const ebm::Matrix ends = ebm::sample(model, sampler, options, device()).x;
    std::vector<std::vector<float>> gradients;
    for (std::size_t b = 0; b < batches; ++b) {
      ebm::Matrix batch(2 * rows, 2);
      std::ranges::copy(data.view().slice(b * rows, (b + 1) * rows).values(), batch.values().begin());
      std::ranges::copy(ends.view().slice(b * rows, (b + 1) * rows).values(),
                        batch.values().begin() + static_cast<std::ptrdiff_t>(2 * rows));
      gradients.push_back(energy.parameter_gradient(batch, weights));
    }
    return zero_mean_p(gradients);
  };
  for (const ebm::Sampler& sampler : exact_samplers(0.3f, 0.1f, {}, {})) {
    EXPECT_GT(p_of(sampler), kAlpha) << ebm::describe(sampler);
  }
  EXPECT_LT(p_of(ebm::LangevinDynamics{.step_size = 0.3f}), wrong_alpha());
}

// The same of the trainer itself, whose learning rate is too small to move a parameter: the energy gap that it reports
// (chains from the data, exact transitions) is zero in the mean. Rejects data and samples that are swapped or counted
// twice, and a report of another batch.
TEST_P(GradientCalibrationTest, TheReportedGapIsZeroInTheMeanAtTheTruth) {
  const ebm::Mlp model = random_network(shape_of(2, {12}, ebm::Activation::tanh, ebm::Head::scalar, 1.0f), 17);
  ebm::TrainerOptions options;
  options.iterations = static_cast<std::int64_t>(std::max<std::size_t>(fresh_size(4000), 200));
  options.batch_size = 128;
  options.objective.chain_start = ebm::ChainStart::data;
  options.objective.n_steps = 10;
  options.objective.target_acceptance.reset();
  options.objective.sampler = ebm::Mala{.step_size = 0.3f, .jump_prob = 0.1f, .grad_clip = {}, .clamp = {}};
  options.optimizer.learning_rate = 1e-30f;
  options.ema = 0;
  options.log_every = 1;
  options.seed = fresh_seed(10);
  const auto gaps_of = [&](const ebm::Sampler& sampler) {
    options.objective.sampler = sampler;
    ExactDraws exact(model, fresh_seed(11));
    const ebm::Matrix data = exact(static_cast<std::size_t>(options.iterations * options.batch_size));
    ebm::Trainer trainer(model, data, options, device());
    std::vector<std::vector<float>> gaps;
    trainer.fit([&](const ebm::TrainProgress& report) {
      gaps.push_back({static_cast<float>(report.energy_gap())});
      return true;
    });
    EXPECT_EQ(trainer.raw_model().shape(), model.shape());
    return gaps;
  };
  const ebm::Mala exact_sampler{.step_size = 0.3f, .jump_prob = 0.1f, .grad_clip = {}, .clamp = {}};
  EXPECT_GT(zero_mean_p(gaps_of(exact_sampler)), kAlpha);
  EXPECT_LT(zero_mean_p(gaps_of(ebm::LangevinDynamics{.step_size = 0.3f})), wrong_alpha());
}

EBM_INSTANTIATE_ENGINES(GradientCalibrationTest);

}  // namespace
