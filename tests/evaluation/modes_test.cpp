// The mode report on targets whose modes and masses are known.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "ebmcuda/error.hpp"
#include "ebmcuda/modes.hpp"
#include "ebmcuda/targets.hpp"
#include "support/networks.hpp"

namespace {

using namespace support;

ebm::EnergyGradient energy_of(const ebm::Target& target) {
  return [&target](ebm::MatrixView x, std::span<float> energy, std::span<float> gradient) {
    for (std::size_t i = 0; i < x.rows; ++i) {
      energy[i] = static_cast<float>(target.energy(x.row(i)));
      target.gradient(x.row(i), gradient.subspan(i * x.cols, x.cols));
    }
  };
}

// Five Gaussians of weights 1 : 2 : 3 : 4 : 5 from exact draws: five modes, their masses within 5 standard errors,
// which are those of independent draws. Rejects masses of the wrong modes, equal ones, errors off by a tenth.
TEST(Modes, MassesOfAMixture) {
  const ebm::Target target(ebm::TargetKind::mixture, 8);
  const ebm::Matrix x = target.draw(6000, 3);
  const ebm::ModeReport report = ebm::find_modes(energy_of(target), {x});
  ASSERT_EQ(report.modes.size(), 5u);
  EXPECT_EQ(report.unfinished, 0u);
  EXPECT_EQ(report.disagreement, "") << "end points alone say nothing of it";
  std::size_t points = 0;
  for (std::size_t k = 0; k < 5; ++k) {
    const ebm::Mode& mode = report.modes[k];
    const double mass = static_cast<double>(5 - k) / 15;
    EXPECT_NEAR(mode.standard_error, std::sqrt(mode.mass * (1 - mode.mass) / 6000), 1e-4);
    EXPECT_NEAR(mode.mass, mass, 5 * mode.standard_error) << k;
    EXPECT_TRUE(std::isnan(mode.rhat));
    points += mode.points;
    // The energy has its least value there.
    std::vector<float> near = mode.position;
    for (float& v : near) v += 0.05f;
    EXPECT_LT(mode.energy, target.energy(near));
    EXPECT_NEAR(mode.energy, target.energy(mode.position), 1e-4);
  }
  EXPECT_EQ(points, 6000u);
}

// Chains that jump between modes by a known rule: transitions are counted, and errors are those of chains, not points.
TEST(Modes, TransitionsAndErrorsOfChains) {
  const ebm::Target target(ebm::TargetKind::twonorm, 2);
  // The two centres, (+-2 / sqrt 2, ...).
  const float a = std::sqrt(2.0f);
  std::mt19937 bits(3);
  std::vector<ebm::Matrix> trajectory(20, ebm::Matrix(200, 2));
  std::vector<std::vector<int>> in(20, std::vector<int>(200));
  for (std::size_t i = 0; i < 200; ++i) {
    int mode = static_cast<int>(bits() % 2);
    for (std::size_t t = 0; t < 20; ++t) {
      if (bits() % 4 == 0) mode = 1 - mode;
      in[t][i] = mode;
      for (std::size_t d = 0; d < 2; ++d) {
        trajectory[t](i, d) = (mode == 0 ? a : -a) + 0.1f * static_cast<float>(static_cast<int>(bits() % 9) - 4);
      }
    }
  }
  const ebm::ModeReport report = ebm::find_modes(energy_of(target), trajectory);
  ASSERT_EQ(report.modes.size(), 2u);
  const std::size_t first = report.modes[0].position[0] > 0 ? 0 : 1;  // the number here of the report's mode 0
  std::uint64_t moved = 0, stayed = 0;
  for (std::size_t t = 0; t < 20; ++t) {
    for (std::size_t i = 0; i < 200; ++i) {
      ASSERT_EQ(report.mode_of[t][i] == 0, in[t][i] == static_cast<int>(first)) << t << " " << i;
      if (t > 0) (in[t][i] != in[t - 1][i] ? moved : stayed) += 1;
    }
  }
  EXPECT_EQ(report.transitions[0][1] + report.transitions[1][0], moved);
  EXPECT_EQ(report.transitions[0][0] + report.transitions[1][1], stayed);
  // The time average of a chain that flips with probability 1/4 has twice and more the variance of independent points.
  const double independent = std::sqrt(0.25 / 4000);
  EXPECT_GT(report.modes[0].standard_error, 1.3 * independent);
  EXPECT_LT(report.modes[0].standard_error, 2.2 * independent);
  EXPECT_LT(report.modes[0].rhat, 1.15);
  EXPECT_EQ(report.disagreement, "");
}

TEST(Modes, ChainsThatNeverMoveDisagree) {
  const ebm::Target target(ebm::TargetKind::twonorm, 2);
  ebm::Matrix x(20, 2);
  for (std::size_t i = 0; i < 20; ++i) x(i, 0) = x(i, 1) = i < 15 ? 1.4f : -1.4f;
  const ebm::ModeReport report = ebm::find_modes(energy_of(target), std::vector<ebm::Matrix>(6, x));
  ASSERT_EQ(report.modes.size(), 2u);
  EXPECT_EQ(report.modes[0].rhat, std::numeric_limits<double>::infinity());
  EXPECT_NE(report.disagreement.find("mode 0"), std::string::npos);
  EXPECT_NE(report.disagreement.find("mode 1"), std::string::npos);
  // All in one mode: nothing to disagree about.
  for (std::size_t i = 15; i < 20; ++i) x(i, 0) = x(i, 1) = 1.0f;
  const ebm::ModeReport one = ebm::find_modes(energy_of(target), std::vector<ebm::Matrix>(6, x));
  ASSERT_EQ(one.modes.size(), 1u);
  EXPECT_EQ(one.modes[0].rhat, 1);
  EXPECT_NEAR(one.modes[0].standard_error, 0, 1e-12);
  EXPECT_EQ(one.disagreement, "");
}

// A double well: a wall of half a nat makes two modes of it, and one of a twentieth, below the barrier, does not.
TEST(Modes, ABarrierDividesModesAndADentDoesNot) {
  const auto energy_with = [](double height) {
    return [height](ebm::MatrixView x, std::span<float> energy, std::span<float> gradient) {
      for (std::size_t i = 0; i < x.rows; ++i) {
        const double v = static_cast<double>(x.row(i)[0]);
        energy[i] = static_cast<float>(height * std::pow(v * v - 1, 2));
        gradient[i] = static_cast<float>(4 * height * v * (v * v - 1));
      }
    };
  };
  ebm::Matrix x(40, 1);
  for (std::size_t i = 0; i < 40; ++i) x(i, 0) = -1.6f + 0.083f * static_cast<float>(i);
  ASSERT_EQ(ebm::find_modes(energy_with(0.5), {x}).modes.size(), 2u);
  EXPECT_EQ(ebm::find_modes(energy_with(0.05), {x}).modes.size(), 1u);
  EXPECT_EQ(ebm::find_modes(energy_with(0.05), {x}, {.barrier = 0.01}).modes.size(), 2u);
  const ebm::ModeReport report = ebm::find_modes(energy_with(0.5), {x});
  for (const ebm::Mode& mode : report.modes) {
    EXPECT_NEAR(std::abs(mode.position[0]), 1, 0.01);
    EXPECT_NEAR(mode.mass, 0.5, 0.03);
  }
}

// Of a model: descended in its own space, told in data units.
TEST(Modes, OfAModelInDataUnits) {
  ebm::Mlp model(shape_of(3, {1}, ebm::Activation::tanh, ebm::Head::scalar, 1.0f));
  model.set_standardization(ebm::Standardization{{100.0f, 0.0f, -5.0f}, {10.0f, 0.01f, 1.0f}});
  ebm::Matrix x(30, 3);
  const ebm::Matrix z = random_points(30, 3, 8);
  for (std::size_t i = 0; i < 30; ++i) {
    for (std::size_t d = 0; d < 3; ++d) {
      x(i, d) = model.standardization()->mean[d] + model.standardization()->std[d] * z(i, d);
    }
  }
  const ebm::ModeReport report = ebm::find_modes(model, {x}, {}, ebm::Device::cpu(1));
  ASSERT_EQ(report.modes.size(), 1u);
  EXPECT_NEAR(report.modes[0].position[0], 100, 0.02);
  EXPECT_NEAR(report.modes[0].position[1], 0, 2e-5);
  EXPECT_NEAR(report.modes[0].position[2], -5, 2e-3);
  EXPECT_EQ(report.unfinished, 0u);
}

TEST(Modes, WrongRequestsAreNamed) {
  const ebm::Target target(ebm::TargetKind::twonorm, 2);
  const auto refused = [&](const std::vector<ebm::Matrix>& x, const ebm::ModesOptions& options) -> std::string {
    try {
      static_cast<void>(ebm::find_modes(energy_of(target), x, options));
    } catch (const ebm::ConfigError& error) {
      return error.field();
    }
    return "(accepted)";
  };
  const ebm::Matrix x(3, 2);
  EXPECT_EQ(refused({x}, {}), "(accepted)");
  EXPECT_EQ(refused({}, {}), "trajectory");
  EXPECT_EQ(refused({ebm::Matrix(0, 2)}, {}), "trajectory");
  EXPECT_EQ(refused({x, ebm::Matrix(2, 2)}, {}), "trajectory");
  EXPECT_EQ(refused({ebm::Matrix(1, 2, {NAN, 0})}, {}), "trajectory");
  EXPECT_EQ(refused({x}, {.tolerance = 0}), "tolerance");
  EXPECT_EQ(refused({x}, {.evaluations = 0}), "evaluations");
  EXPECT_EQ(refused({x}, {.longest_step = 0}), "longest_step");
  EXPECT_EQ(refused({x}, {.barrier = -1}), "barrier");
  const ebm::Mlp model = random_network(shape_of(3, {4}), 1);
  EXPECT_THROW(static_cast<void>(ebm::find_modes(model, {x})), ebm::ConfigError);
}

}  // namespace
