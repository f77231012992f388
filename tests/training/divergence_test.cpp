// Divergence: the limits from both sides, and a rollback that has the same bits however the run is cut. And a finished
// run that goes on.
#include "ebmcuda/divergence.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "ebmcuda/checkpoint.hpp"
#include "ebmcuda/dataset.hpp"
#include "ebmcuda/densities.hpp"
#include "ebmcuda/error.hpp"
#include "ebmcuda/trainer.hpp"
#include "tests/files/support.hpp"

namespace ebm {
namespace {

using Kind = DivergenceSign::Kind;

std::vector<Kind> kinds(const Vitals& vitals) {
  std::vector<Kind> all;
  for (const DivergenceSign& sign : divergence_signs(vitals)) all.push_back(sign.kind);
  return all;
}

// A run in good health, in the middle.
Vitals healthy() {
  Vitals v;
  v.dim = 2;
  v.progress = 0.5;
  v.proposed = 1000;
  v.accepted = 700;
  v.target_acceptance = 0.7;
  v.energy_data = 3;
  v.energy_samples = 3.2;
  v.chains = 10000;
  v.spread = 1.01;
  return v;
}

const std::vector<Kind> kNone;

TEST(DivergenceSigns, NoneOfAHealthyRun) { EXPECT_EQ(kinds(healthy()), kNone); }

TEST(DivergenceSigns, AcceptanceBelowFivePercent) {
  Vitals v = healthy();
  v.accepted = 50;
  EXPECT_EQ(kinds(v), kNone);
  v.accepted = 49;
  EXPECT_EQ(kinds(v), std::vector{Kind::acceptance});
  v.target_acceptance = 0.09;  // asked for
  EXPECT_EQ(kinds(v), kNone);
  v.accepted = 44;
  EXPECT_EQ(kinds(v), std::vector{Kind::acceptance});
  v.proposed = 99;  // too few to tell
  v.accepted = 0;
  EXPECT_EQ(kinds(v), kNone);
  v.proposed = 0;  // unadjusted
  EXPECT_EQ(kinds(v), kNone);
}

TEST(DivergenceSigns, EnergiesBeyondAMillion) {
  Vitals v = healthy();
  v.energy_data = v.energy_samples = -1e6;
  EXPECT_EQ(kinds(v), kNone);
  v.energy_data = v.energy_samples = -1.000001e6;
  EXPECT_EQ(kinds(v), std::vector{Kind::energy});
  v.progress = 0.01;  // from the first report on
  EXPECT_EQ(kinds(v), std::vector{Kind::energy});
  v.energy_data = v.energy_samples = NAN;
  EXPECT_EQ(kinds(v), std::vector{Kind::energy});
}

TEST(DivergenceSigns, AGapOfMoreThanTenAndOneADimension) {
  Vitals v = healthy();
  for (const int dim : {2, 64}) {
    v.dim = dim;
    for (const int sign : {1, -1}) {
      v.energy_data = 0;
      v.energy_samples = sign * (10.0 + dim);
      EXPECT_EQ(kinds(v), kNone);
      v.energy_samples = sign * (10.001 + dim);
      EXPECT_EQ(kinds(v), std::vector{Kind::gap});
    }
  }
  v.progress = 0.099;  // chains on their way to the data
  EXPECT_EQ(kinds(v), kNone);
  v.progress = 0.1;
  EXPECT_EQ(kinds(v), std::vector{Kind::gap});
}

TEST(DivergenceSigns, MoreThanOneRestartInAThousandChains) {
  Vitals v = healthy();
  v.restarts = 10;
  EXPECT_EQ(kinds(v), kNone);
  v.restarts = 11;
  EXPECT_EQ(kinds(v), std::vector{Kind::restarts});
}

TEST(DivergenceSigns, ASpreadThreeTimesOrAThirdOfTheDatas) {
  Vitals v = healthy();
  for (const double good : {3.0, 1 / 3.0, double(NAN)}) {
    v.spread = good;
    EXPECT_EQ(kinds(v), kNone) << good;
  }
  for (const double bad : {3.001, 0.333}) {
    v.spread = bad;
    v.progress = 0.1;
    EXPECT_EQ(kinds(v), std::vector{Kind::spread}) << bad;
    v.progress = 0.099;
    EXPECT_EQ(kinds(v), kNone) << bad;
  }
}

TEST(DivergenceSigns, SayWhatWhereAndWhatHelps) {
  Vitals v = healthy();
  v.accepted = 6;
  const auto signs = divergence_signs(v);
  ASSERT_EQ(signs.size(), 1u);
  EXPECT_EQ(signs[0].what, "acceptance 0.006 is below 0.05");
  EXPECT_NE(signs[0].advice.find("learning_rate"), std::string::npos);
}

// ---- whole runs

class Rollback : public ::testing::Test {
 protected:
  static TrainerOptions options(float learning_rate, OnDivergence policy) {
    TrainerOptions o;
    o.iterations = 60;
    o.batch_size = 32;
    o.log_every = 10;
    o.seed = 5;
    o.objective.n_steps = 3;
    o.objective.buffer.capacity = 64;
    o.optimizer.learning_rate = learning_rate;
    o.on_divergence = policy;
    return o;
  }
  Trainer begin(const TrainerOptions& o) const {
    MlpShape shape;
    shape.dim = 2;
    shape.hidden = {16, 16};
    shape.confinement = 0.1f;
    Mlp model = Mlp::random(shape, 3, 12);
    model.set_standardization(standardization_of(data_));
    return Trainer(std::move(model), data_, o, Device::cpu(1));
  }
  static std::vector<float> parameters(const Trainer& trainer) {
    const Mlp model = trainer.model();
    return {model.parameters().begin(), model.parameters().end()};
  }

  // Diverges at once, and so does a quarter of it; a sixteenth does not.
  static constexpr float kWild = 16.0f;

  Matrix data_ = draw(Density2d::two_moons, 300, 0);
  test::TemporaryDirectory directory_;
};

// Reports of a run, as lines.
struct Story {
  std::vector<std::string> lines;
  int rollbacks = 0;
  bool operator()(const TrainProgress& p) {
    rollbacks = p.rollbacks;
    std::string line = std::to_string(p.iteration) + ":" + std::to_string(p.energy_data) + "/" +
                       std::to_string(p.spread) + (p.rolled_back_to ? "->" + std::to_string(*p.rolled_back_to) : "");
    for (const auto& sign : p.signs) line += " " + sign.what;
    lines.push_back(line);
    return true;
  }
};

TEST_F(Rollback, EndsHealthyWhereWarningDoesNot) {
  Trainer warned = begin(options(kWild, OnDivergence::warn));
  Story of_warned;
  warned.fit(std::ref(of_warned));
  EXPECT_EQ(of_warned.rollbacks, 0);
  EXPECT_TRUE(warned.model().notes().contains("diverged")) << ::testing::PrintToString(of_warned.lines);

  Trainer rolled = begin(options(kWild, OnDivergence::rollback));
  Story story;
  rolled.fit(std::ref(story));
  EXPECT_GE(story.rollbacks, 1) << ::testing::PrintToString(story.lines);
  EXPECT_EQ(rolled.iteration(), 60);
  EXPECT_FALSE(rolled.model().notes().contains("diverged")) << ::testing::PrintToString(story.lines);
}

TEST_F(Rollback, HasTheSameBitsHoweverTheRunIsCut) {
  Trainer whole = begin(options(kWild, OnDivergence::rollback));
  Story story;
  whole.fit(std::ref(story));
  ASSERT_GE(story.rollbacks, 1);
  for (const std::int64_t slice : {1, 7, 13}) {
    SCOPED_TRACE(slice);
    Story cut_story;
    begin(options(kWild, OnDivergence::rollback)).save_checkpoint(directory_ / "c");
    // A checkpoint between any two slices: before a divergence is seen, after it, at a report.
    for (int calls = 0; calls < 1000; ++calls) {
      Trainer part = Trainer::resume(directory_ / "c", data_, Device::cpu(2));
      if (part.iteration() == 60) break;
      part.fit(std::ref(cut_story), slice);
      part.save_checkpoint(directory_ / "c");
    }
    EXPECT_EQ(cut_story.lines, story.lines);
    EXPECT_EQ(parameters(Trainer::resume(directory_ / "c", data_, Device::cpu(1))), parameters(whole));
  }
}

TEST_F(Rollback, FromTheStartIsARunWithAQuarterOfTheRate) {
  // The first report has a sign, so the good state is the start.
  Trainer wild = begin(options(1e30f, OnDivergence::rollback));
  Story story;
  EXPECT_THROW(wild.fit(std::ref(story)), DivergenceError) << "five rollbacks do not tame 1e30";
  EXPECT_EQ(story.rollbacks, kMaxRollbacks);
  EXPECT_EQ(wild.iteration(), 0);
  EXPECT_EQ(parameters(wild), parameters(begin(options(1, OnDivergence::warn)))) << "back where it began";

  Trainer rolled = begin(options(kWild, OnDivergence::rollback));
  int seen = 0;
  rolled.fit([&](const TrainProgress& p) {
    seen += p.rolled_back_to ? 1 : 0;
    EXPECT_TRUE(seen == 0 || p.rolled_back_to == std::optional<std::int64_t>(0));
    return seen == 0;  // as far as the first rollback
  });
  ASSERT_EQ(rolled.iteration(), 0);
  rolled.fit({}, 7);  // not as far as the next report
  Trainer quarter = begin(options(kWild / 4, OnDivergence::warn));
  quarter.fit({}, 7);
  EXPECT_EQ(parameters(rolled), parameters(quarter));
}

TEST_F(Rollback, LeavesAHealthyRunAlone) {
  for (const OnDivergence policy : {OnDivergence::stop, OnDivergence::rollback}) {
    Trainer guarded = begin(options(1e-3f, policy)), plain = begin(options(1e-3f, OnDivergence::warn));
    Story story;
    guarded.fit(std::ref(story));
    plain.fit();
    EXPECT_EQ(story.rollbacks, 0);
    EXPECT_EQ(parameters(guarded), parameters(plain));
  }
}

TEST_F(Rollback, StopEndsAtTheLastGoodState) {
  Trainer trainer = begin(options(kWild, OnDivergence::stop));
  EXPECT_THROW(trainer.fit(), DivergenceError);
  EXPECT_EQ(trainer.iteration() % 10, 0);
  EXPECT_TRUE(trainer.model().notes().contains("diverged"));
  EXPECT_TRUE(trainer.model().notes().contains("unfinished"));
  trainer.save_checkpoint(directory_ / "c");
  const TrainingRun run = read_run(directory_ / "c");
  EXPECT_EQ(run.iteration, trainer.iteration());
  EXPECT_EQ(run.model.notes(), trainer.model().notes());
  const Mlp model = trainer.model();
  EXPECT_TRUE(std::ranges::equal(run.model.parameters(), model.parameters()));
}

TEST_F(Rollback, DefaultsHaveNoSignsOnAnyDensity) {
  for (const Density2d density : all_densities_2d()) {
    const Matrix data = draw(density, 2000, 1);
    TrainerOptions o = TrainerOptions::defaults(2);
    o.iterations = 150;
    o.objective.buffer.capacity = 1000;
    o.batch_size = 64;
    MlpShape shape;
    shape.dim = 2;
    shape.hidden = {32, 32};
    shape.confinement = default_confinement(2);
    Mlp model = Mlp::random(shape, 0, default_first_layer_scale(2));
    model.set_standardization(standardization_of(data));
    Trainer trainer(std::move(model), data, o, Device::cpu());
    trainer.fit([&](const TrainProgress& p) {
      EXPECT_TRUE(p.signs.empty()) << to_string(density) << " " << p.iteration << " " << p.signs.front().what;
      return true;
    });
  }
}

// ---- a finished run that goes on

TEST_F(Rollback, AFinishedRunGoesOnToMoreIterations) {
  TrainerOptions o = options(1e-3f, OnDivergence::warn);
  o.optimizer.decay = LearningRateDecay::constant;
  Trainer longer = begin(o);
  longer.fit();
  o.iterations = 20;
  Trainer first = begin(o);
  first.fit();
  first.save_checkpoint(directory_ / "c");
  Trainer on = Trainer::resume(directory_ / "c", data_, Device::cpu(1), {}, 60);
  on.fit();
  EXPECT_EQ(on.iteration(), 60);
  EXPECT_EQ(parameters(on), parameters(longer)) << "with a constant rate it is the longer run, bit for bit";
}

TEST_F(Rollback, ARunThatGoesOnResumesToTheSameBits) {
  TrainerOptions o = options(1e-3f, OnDivergence::warn);  // cosine decay: the rates are of the new total
  o.iterations = 20;
  Trainer first = begin(o);
  first.fit();
  first.save_checkpoint(directory_ / "c");
  Trainer whole = Trainer::resume(directory_ / "c", data_, Device::cpu(1), {}, 60);
  whole.fit();
  Trainer part = Trainer::resume(directory_ / "c", data_, Device::cpu(1), {}, 60);
  part.fit({}, 13);
  part.save_checkpoint(directory_ / "d");
  Trainer rest = Trainer::resume(directory_ / "d", data_, Device::cpu(1));
  rest.fit();
  EXPECT_EQ(parameters(rest), parameters(whole));
  // A run that is under way has its rates from its total: no other.
  EXPECT_THROW(Trainer::resume(directory_ / "d", data_, Device::cpu(1), {}, 61), ConfigError);
  EXPECT_THROW(Trainer::resume(directory_ / "c", data_, Device::cpu(1), {}, 19), ConfigError);
}

}  // namespace
}  // namespace ebm
