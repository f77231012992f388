// Where persistent chains begin: the distributions that ContrastiveDivergence::buffer_start names, in model space.
#include "host/training/initial_chains.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "ebmcuda/replay_buffer.hpp"
#include "ebmcuda/transform.hpp"

namespace ebm {
namespace {

constexpr std::int64_t kSlots = 4000;

Matrix some_data() {
  Matrix data(50, 5);
  for (std::size_t i = 0; i < data.rows(); ++i) {
    for (std::size_t d = 0; d < data.cols(); ++d) data(i, d) = static_cast<float>((i * 7 + d * 11) % 23);
  }
  return data;
}

struct TrainingCase {
  Matrix data = some_data();
  Mlp model = Mlp::random({.dim = 5, .hidden = {4}}, 1);
  TrainerOptions options = TrainerOptions::defaults(5);

  explicit TrainingCase(BufferStart start) {
    model.set_standardization(standardization_of(data));
    options.objective.buffer.capacity = kSlots;
    options.objective.buffer_start = start;
    options.seed = 3;
  }
  std::vector<float> chains() const { return initial_chains(model, options, data); }
};

TEST(InitialChains, UniformIsTheReplayBuffersOwnStart) {
  const TrainingCase run(BufferStart::uniform);
  const ReplayBuffer buffer(run.model, run.options.objective.buffer, run.options.seed);
  EXPECT_TRUE(std::ranges::equal(run.chains(), buffer.positions().values()));
}

// 20,000 numbers: mean, variance and fourth moment of N(0, 1) within 5 standard errors; a uniform start of the same
// variance has a fourth moment of 1.8 instead of 3.
TEST(InitialChains, GaussianIsStandardNormal) {
  const std::vector<float> x = TrainingCase(BufferStart::gaussian).chains();
  ASSERT_EQ(x.size(), static_cast<std::size_t>(kSlots) * 5);
  double first = 0, second = 0, fourth = 0;
  for (const float v : x) {
    const auto u = static_cast<double>(v);
    first += u;
    second += u * u;
    fourth += u * u * u * u;
  }
  const auto n = static_cast<double>(x.size());
  EXPECT_NEAR(first / n, 0, 5 * std::sqrt(1 / n));
  EXPECT_NEAR(second / n, 1, 5 * std::sqrt(2 / n));
  EXPECT_NEAR(fourth / n, 3, 5 * std::sqrt(96 / n));
  EXPECT_EQ(std::set<float>(x.begin(), x.begin() + 100).size(), 100u) << "no number is used twice";
}

TEST(InitialChains, DataIsRowsOfTheData) {
  const TrainingCase run(BufferStart::data);
  const std::vector<float> x = run.chains();
  const Matrix rows = run.model.to_model_space(run.data);
  std::set<std::size_t> used;
  for (std::size_t slot = 0; slot < static_cast<std::size_t>(kSlots); ++slot) {
    std::size_t row = 0;
    while (row < rows.rows() && !std::equal(rows.row(row).begin(), rows.row(row).end(), &x[slot * 5])) ++row;
    ASSERT_LT(row, rows.rows()) << slot;
    used.insert(row);
  }
  EXPECT_GE(used.size(), 23u);  // the 50 rows repeat after 23; 4,000 draws miss none of them
}

TEST(InitialChains, WholeNumbersGetTheirNoise) {
  TrainingCase run(BufferStart::data);
  run.options.dequantize = 1;
  const Matrix back = run.model.to_data_units(Matrix(static_cast<std::size_t>(kSlots), 5, run.chains()));
  std::size_t off_the_grid = 0;
  for (std::size_t i = 0; i < back.rows(); ++i) {
    const float below = std::floor(back(i, 0));
    off_the_grid += back(i, 0) - below > 0.01f && back(i, 0) - below < 0.99f;
  }
  EXPECT_GT(off_the_grid, back.rows() * 9 / 10);
}

TEST(InitialChains, StayInTheClamp) {
  for (const auto start : {BufferStart::uniform, BufferStart::gaussian, BufferStart::data}) {
    TrainingCase run(start);
    run.options.objective.sampler = Mala{.clamp = Box{{5}, {15}}};
    const Matrix back = run.model.to_data_units(Matrix(static_cast<std::size_t>(kSlots), 5, run.chains()));
    const auto [least, most] = std::ranges::minmax(back.values());
    EXPECT_GE(least, 5 - 1e-4f) << to_string(start);
    EXPECT_LE(most, 15 + 1e-4f) << to_string(start);
  }
}

TEST(InitialChains, ReplicasBeginApart) {
  for (const auto start : {BufferStart::uniform, BufferStart::gaussian, BufferStart::data}) {
    TrainingCase run(start);
    const std::vector<float> alone = run.chains();
    run.options.objective.tempering = Tempering{.replicas = 3};
    const std::vector<float> all = run.chains();
    ASSERT_EQ(all.size(), 3 * alone.size());
    std::size_t same = 0;
    for (std::size_t slot = 0; slot < static_cast<std::size_t>(kSlots); ++slot) {
      EXPECT_TRUE(std::equal(&alone[slot * 5], &alone[slot * 5] + 5, &all[slot * 15])) << "replica 0 is the chain";
      same += std::equal(&all[slot * 15], &all[slot * 15] + 5, &all[slot * 15 + 5]);
    }
    EXPECT_LT(same, static_cast<std::size_t>(kSlots) / 10) << to_string(start);
  }
}

}  // namespace
}  // namespace ebm
