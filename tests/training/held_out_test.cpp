// Held-out data in a training run: what is reported, what is kept, when it stops, what a checkpoint carries.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "ebmcuda/densities.hpp"
#include "ebmcuda/energy.hpp"
#include "ebmcuda/error.hpp"
#include "ebmcuda/log_z.hpp"
#include "ebmcuda/trainer.hpp"
#include "support/engines.hpp"
#include "support/errors.hpp"
#include "support/networks.hpp"

namespace {

using namespace support;

class HeldOutTest : public EngineTest {
 protected:
  static ebm::TrainerOptions options_of(std::int64_t iterations) {
    ebm::TrainerOptions options = ebm::TrainerOptions::defaults(2);
    options.iterations = iterations;
    options.batch_size = 16;
    options.objective.n_steps = 3;
    options.objective.buffer.capacity = 64;
    options.log_every = 5;
    options.held_out.checks = 4;
    return options;
  }
  static ebm::Mlp start(const ebm::Matrix& data) {
    ebm::Mlp model = random_network(
        shape_of(static_cast<int>(data.cols()), {17, 16}, ebm::Activation::silu, ebm::Head::scalar, 1.0f), 1);
    model.set_transform(ebm::Transform::fit(ebm::TransformKind::standardize, data));
    return model;
  }
  const ebm::Matrix data_ = random_points(60, 2, 2);
  const ebm::Matrix held_out_ = random_points(40, 2, 3);
};

TEST_P(HeldOutTest, ReportsTheGapAlwaysAndTheLikelihoodWhereACheckIsDue) {
  ebm::TrainerOptions options = options_of(40);
  options.held_out.keep = ebm::KeptModel::last;
  ebm::Trainer trainer(start(data_), data_, options, device(), {}, held_out_);
  std::vector<std::int64_t> checked;
  trainer.fit([&](const ebm::TrainProgress& p) {
    EXPECT_TRUE(p.held_out);
    const ebm::Mlp now = trainer.model();
    double gap = 0;
    for (const float e : ebm::energy(now, held_out_, device())) gap += static_cast<double>(e) / 40;
    for (const float e : ebm::energy(now, data_, device())) gap -= static_cast<double>(e) / 60;
    EXPECT_NEAR(p.held_out->energy_gap, gap, 1e-4);
    if (!p.held_out->log_likelihood) return true;
    checked.push_back(p.iteration);
    const double log_z = ebm::quadrature_log_z(now, {}, {}, device()).log_z;
    EXPECT_NEAR(*p.held_out->log_likelihood, ebm::log_likelihood(now, held_out_, log_z, device()).mean, 0.01);
    return true;
  });
  EXPECT_EQ(checked, (std::vector<std::int64_t>{10, 20, 30, 40}));
}

TEST_P(HeldOutTest, TrainingItselfIsNotTouched) {
  ebm::TrainerOptions options = options_of(20);
  options.held_out.keep = ebm::KeptModel::last;
  ebm::Trainer with(start(data_), data_, options, device(), {}, held_out_),
      without(start(data_), data_, options, device());
  with.fit();
  without.fit();
  const ebm::Mlp a = with.model(), b = without.model();
  EXPECT_TRUE(std::ranges::equal(a.parameters(), b.parameters()));
  EXPECT_FALSE(without.held_out());
}

// Trained on points at one place and judged by points at another, every step is a step away: the first check is the
// best, what is kept is its state, and patience ends the run.
TEST_P(HeldOutTest, TheBestStateIsKeptAndPatienceEnds) {
  ebm::Matrix far = held_out_;
  for (float& v : far.values()) v += 2.5f;
  ebm::TrainerOptions options = options_of(200);
  options.optimizer.learning_rate = 0.02f;
  options.held_out.checks = 20;
  options.held_out.patience = 3;
  ebm::Trainer trainer(start(data_), data_, options, device(), {}, far);
  std::vector<double> likelihoods;
  std::vector<float> best;
  trainer.fit([&](const ebm::TrainProgress& p) {
    if (p.held_out->log_likelihood) likelihoods.push_back(*p.held_out->log_likelihood);
    if (p.held_out->best) {
      const ebm::Mlp kept = trainer.model();
      best.assign(kept.parameters().begin(), kept.parameters().end());
    }
    return true;
  });
  ASSERT_TRUE(trainer.out_of_patience());
  EXPECT_LT(trainer.iteration(), 200);
  const ebm::HeldOutSummary summary = trainer.held_out().value();
  EXPECT_EQ(summary.best_log_likelihood, *std::ranges::max_element(likelihoods));
  EXPECT_EQ(summary.best_iteration, trainer.iteration() - 30) << "three checks, ten iterations apart";
  const ebm::Mlp kept = trainer.model();
  EXPECT_TRUE(std::ranges::equal(kept.parameters(), best));
  EXPECT_EQ(kept.notes().at("iterations"), std::to_string(summary.best_iteration));
  const std::int64_t stopped = trainer.iteration();
  trainer.fit();
  EXPECT_EQ(trainer.iteration(), stopped) << "out of patience stays so";
}

TEST_P(HeldOutTest, ResumedRunsReportAndKeepTheSame) {
  const std::filesystem::path path = std::filesystem::path(testing::TempDir()) / ("held_out_" + GetParam().name);
  const auto note = [](std::vector<double>& lines) {
    return [&lines](const ebm::TrainProgress& p) {
      lines.push_back(p.held_out->energy_gap);
      lines.push_back(p.held_out->log_likelihood.value_or(-1));
      lines.push_back(p.held_out->best ? 1 : 0);
      return true;
    };
  };
  const ebm::TrainerOptions options = options_of(40);
  std::vector<double> whole_lines, lines;
  ebm::Trainer whole(start(data_), data_, options, device(), {}, held_out_);
  whole.fit(note(whole_lines));
  ebm::Trainer first(start(data_), data_, options, device(), {}, held_out_);
  first.fit(note(lines), 23);
  first.save_checkpoint(path);
  ebm::Trainer rest = ebm::Trainer::resume(path, data_, device(), {}, {}, held_out_);
  rest.fit(note(lines));
  EXPECT_EQ(lines, whole_lines);
  const ebm::Mlp a = whole.model(), b = rest.model();
  EXPECT_TRUE(std::ranges::equal(a.parameters(), b.parameters()));
  EXPECT_EQ(a.notes(), b.notes());
  const double log_z = ebm::quadrature_log_z(b, {}, {}, device()).log_z;
  EXPECT_GT(rest.held_out().value().best_iteration, 10) << "a run that improves, so that the best is not the first";
  EXPECT_NEAR(ebm::log_likelihood(b, held_out_, log_z, device()).mean, rest.held_out().value().best_log_likelihood,
              0.01);

  EXPECT_EQ(field_of([&] { ebm::Trainer::resume(path, data_, device()); }), "held_out");
  EXPECT_EQ(field_of([&] { ebm::Trainer::resume(path, data_, device(), {}, {}, data_); }), "held_out");
  ebm::Trainer plain(start(data_), data_, options, device());
  plain.fit({}, 3);
  plain.save_checkpoint(path);
  EXPECT_EQ(field_of([&] { ebm::Trainer::resume(path, data_, device(), {}, {}, held_out_); }), "held_out");
  std::filesystem::remove(path);
  const ebm::Matrix wide = random_points(5, 3, 1);
  EXPECT_EQ(field_of([&] { ebm::Trainer(start(data_), data_, options, device(), {}, wide); }), "held_out");
  ebm::TrainerOptions wrong = options;
  wrong.held_out.checks = 0;
  EXPECT_EQ(field_of([&] { ebm::Trainer(start(data_), data_, wrong, device(), {}, held_out_); }), "checks");
}

// Above two dimensions log Z is annealed; that of the initial network, nearly a Gaussian, is known well.
TEST_P(HeldOutTest, AnnealedLikelihoodsAreThoseOfTheModel) {
  if (!is_cpu()) GTEST_SKIP() << "the arithmetic above the seam is the same";
  const ebm::Matrix data = random_points(200, 5, 4), held_out = random_points(50, 5, 5);
  ebm::TrainerOptions options = options_of(40);
  options.objective.n_steps = 20;
  options.batch_size = 64;
  options.held_out.checks = 1;
  options.held_out.keep = ebm::KeptModel::last;
  ebm::Trainer trainer(start(data), data, options, device(), {}, held_out);
  std::optional<ebm::HeldOutReport> last;
  trainer.fit([&](const ebm::TrainProgress& p) { return last = p.held_out, true; });
  ASSERT_TRUE(last && last->log_likelihood) << last->refusal;
  const ebm::Mlp model = trainer.model();
  const ebm::AisResult long_run = ebm::ais_log_z(model, {.temperatures = 500, .chains = 2000}, data, device());
  ASSERT_TRUE(long_run.log_z) << long_run.refusal;
  EXPECT_NEAR(*last->log_likelihood, ebm::log_likelihood(model, held_out, *long_run.log_z, device()).mean,
              5 * last->log_z_error + 0.05);
}

EBM_INSTANTIATE_EVALUATORS(HeldOutTest);

}  // namespace
