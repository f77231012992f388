// Maximum likelihood on data whose density is known: the trained model's exact log-likelihood comes close to the
// truth's.
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <random>

#include "support/engines.hpp"
#include "support/networks.hpp"
#include "support/statistics.hpp"
#include "support/training_pair.hpp"

namespace {

using namespace support;

// Correlated: x = (n_0, 0.8 n_0 + 0.6 n_1), covariance [[1, 0.8], [0.8, 1]].
ebm::Matrix correlated_gaussian(std::size_t n, std::uint64_t seed) {
  ebm::Matrix x = random_points(n, 2, seed);
  for (std::size_t i = 0; i < n; ++i) x(i, 1) = 0.8f * x(i, 0) + 0.6f * x(i, 1);
  return x;
}

class GaussianFitTest : public EngineTest {
 protected:
  // Mean over `x` of log p, with log Z by the midpoint rule on [-7, 7]^2 (the reference's own quadrature).
  double mean_log_likelihood(const ebm::Mlp& model, const ebm::Matrix& x) const {
    const int points = 400;
    const double width = 14.0 / points;
    ebm::Matrix grid(static_cast<std::size_t>(points * points), 2);
    for (int i = 0; i < points; ++i) {
      for (int j = 0; j < points; ++j) {
        const auto row = static_cast<std::size_t>(i * points + j);
        grid(row, 0) = static_cast<float>(-7 + (i + 0.5) * width);
        grid(row, 1) = static_cast<float>(-7 + (j + 0.5) * width);
      }
    }
    const auto sum_exp = [&](const std::vector<float>& energies) {
      double sum = 0;
      for (const float e : energies) sum += std::exp(-static_cast<double>(e));
      return sum;
    };
    const double log_z = std::log(sum_exp(ebm::energy(model, grid, device())) * width * width);
    double mean = 0;
    for (const float e : ebm::energy(model, x, device()))
      mean -= static_cast<double>(e) / static_cast<double>(x.rows());
    return mean - log_z;
  }

  static double true_log_likelihood(const ebm::Matrix& x) {
    const double determinant = 1 - 0.64;
    double mean = 0;
    for (std::size_t i = 0; i < x.rows(); ++i) {
      const double a = static_cast<double>(x(i, 0)), b = static_cast<double>(x(i, 1));
      const double square = (a * a - 1.6 * a * b + b * b) / determinant;
      mean += (-0.5 * square - std::log(2 * std::numbers::pi) - 0.5 * std::log(determinant)) /
              static_cast<double>(x.rows());
    }
    return mean;
  }
};

// Gap below 0.03 nat. For scale: the independent Gaussian with the right variances has a gap of 0.51, and ignoring the
// samples' half of the gradient does not end at all. Rejects a sign error, a wrong temperature (a gap of 0.19 at T =
// 2), chains that don't mix with the buffer.
TEST_P(GaussianFitTest, ReachesTheTruthWithinAFewHundredths) {
  const ebm::Matrix data = correlated_gaussian(4000, fresh_seed(1)), fresh = correlated_gaussian(20000, fresh_seed(2));
  const double truth = true_log_likelihood(fresh);
  for (const bool use_mala : {true, false}) {
    ebm::TrainerOptions options = plain_training(1200, 128);
    options.objective.buffer.capacity = 2000;
    options.objective.n_steps = 10;
    options.objective.sampler =
        ebm::LangevinDynamics{.step_size = 0.03f, .noise_scale = {}, .grad_clip = {}, .clamp = {}};
    if (use_mala) {
      options.objective.sampler = ebm::Mala{.step_size = 0.05f, .jump_prob = 0.1f, .grad_clip = {}, .clamp = {}};
      options.objective.buffer.reinit_prob = 0;
      options.objective.target_acceptance = 0.7f;
    }
    options.optimizer.decay = ebm::LearningRateDecay::cosine;
    options.ema = 0.99f;
    options.log_every = 1200;
    options.seed = fresh_seed(options.seed);
    const ebm::MlpShape shape = shape_of(2, {32, 32}, ebm::Activation::silu, ebm::Head::scalar, 0.1f);
    ebm::Trainer trainer(ebm::Mlp::random(shape, fresh_seed(3)), data, options, device());
    const double before = truth - mean_log_likelihood(trainer.model(), fresh);
    trainer.fit();
    const double gap = truth - mean_log_likelihood(trainer.model(), fresh);
    EXPECT_GT(before, 0.3) << "the untrained model must be far off, or the test shows nothing";
    EXPECT_LT(gap, 0.03) << (use_mala ? "mala" : "langevin");
    EXPECT_GT(gap, -0.01) << "no model beats the truth on fresh data";
  }
}

EBM_INSTANTIATE_ENGINES(GaussianFitTest);

}  // namespace
