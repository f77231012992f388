// Averages of densities: against closed forms and quadrature, and whose chains are whose.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "ebmcuda/ensemble.hpp"
#include "ebmcuda/error.hpp"
#include "support/networks.hpp"
#include "support/statistics.hpp"

namespace {

using namespace support;

ebm::Device cpu() { return ebm::Device::cpu(2); }

// E = |z|^2 / 2 in standardised units: N(mean, std^2) in every column of the plane.
ebm::Mlp gaussian(float mean, float std) {
  ebm::Mlp model(shape_of(2, {1}, ebm::Activation::tanh, ebm::Head::scalar, 1.0f));
  model.set_standardization(ebm::Standardization{{mean, mean}, {std, std}});
  return model;
}
double log_z(float std) { return std::log(2 * std::numbers::pi) + 2 * std::log(static_cast<double>(std)); }
double log_normal(double x, double y, double mean, double std) {
  const double square = (x - mean) * (x - mean) + (y - mean) * (y - mean);
  return -square / (2 * std * std) - std::log(2 * std::numbers::pi * std * std);
}

TEST(Ensemble, IsTheAverageOfDensities) {
  const ebm::Ensemble two({{gaussian(0, 1), log_z(1)}, {gaussian(2, 0.5f), log_z(0.5f)}}, cpu());
  EXPECT_EQ(two.size(), 2u);
  EXPECT_EQ(two.dim(), 2);
  const ebm::Matrix x = random_points(200, 2, 3, 2.0f);
  const std::vector<double> log_p = two.log_density(x);
  const auto members = two.member_log_densities(x);
  for (std::size_t i = 0; i < x.rows(); ++i) {
    const double a = static_cast<double>(x(i, 0)), b = static_cast<double>(x(i, 1));
    const double expected = std::log(0.5 * std::exp(log_normal(a, b, 0, 1)) + 0.5 * std::exp(log_normal(a, b, 2, 0.5)));
    ASSERT_NEAR(log_p[i], expected, 1e-5 * (1 + std::abs(expected))) << i;
    ASSERT_NEAR(members[1][i], log_normal(a, b, 2, 0.5), 1e-5 * (1 + std::abs(members[1][i])));
  }
}

// Networks with log Z by quadrature: the average integrates to 1. Rejects log Z of the other member, one for both, and
// the mean of log densities in place of the log of the mean.
TEST(Ensemble, TwoNetworksInThePlaneIntegrateToOne) {
  std::vector<ebm::EnsembleMember> members;
  for (const std::uint64_t seed : {1, 2}) {
    const ebm::Mlp model = random_network(shape_of(2, {16}, ebm::Activation::silu, ebm::Head::scalar, 1.0f), seed);
    const ebm::QuadratureResult result = ebm::quadrature_log_z(model, {}, {}, cpu());
    members.push_back({model, result.log_z, result.error});
  }
  EXPECT_GT(std::abs(members[0].log_z - members[1].log_z), 0.05) << "members that the test can tell apart";
  constexpr int kSide = 481;
  constexpr float kReach = 12;
  ebm::Matrix grid(static_cast<std::size_t>(kSide) * kSide, 2);
  for (std::size_t i = 0; i < grid.rows(); ++i) {
    grid(i, 0) = kReach * (2 * static_cast<float>(i % kSide) / (kSide - 1) - 1);
    grid(i, 1) = kReach * (2 * static_cast<float>(i / kSide) / (kSide - 1) - 1);
  }
  const double cell = std::pow(2 * static_cast<double>(kReach) / (kSide - 1), 2);
  const auto mass = [&](const std::vector<ebm::EnsembleMember>& of) {
    double sum = 0;
    for (const double log_p : ebm::Ensemble(of, cpu()).log_density(grid)) sum += std::exp(log_p) * cell;
    return sum;
  };
  EXPECT_NEAR(mass(members), 1, 1e-4);
  std::swap(members[0].log_z, members[1].log_z);
  EXPECT_GT(std::abs(mass(members) - 1), 1e-3);
}

TEST(Ensemble, OutsideItsBoxAMemberIsZero) {
  const ebm::Box box{{-1.0f}, {1.0f}};
  const ebm::Ensemble two({{gaussian(0, 1), 1.0, 0, box}, {gaussian(0, 1), 2.0}}, cpu());
  const ebm::Ensemble one({{gaussian(0, 1), 1.0, 0, box}}, cpu());
  const ebm::Matrix x(2, 2, {0.5f, 0.5f, 0.5f, 3.0f});
  const std::vector<double> p = two.log_density(x), alone = one.log_density(x);
  EXPECT_NEAR(p[0], -0.25 + std::log((std::exp(-1) + std::exp(-2)) / 2), 1e-6);
  EXPECT_NEAR(p[1], -0.125 - 4.5 - 2 - std::log(2), 1e-6);
  EXPECT_NEAR(alone[0], -1.25, 1e-6);
  EXPECT_EQ(alone[1], -std::numeric_limits<double>::infinity());
}

// The error of the mean that errors of log Z make, by differences.
TEST(Ensemble, ErrorsOfLogZGoToTheMean) {
  std::vector<ebm::EnsembleMember> members{{gaussian(0, 1), log_z(1), 0.03}, {gaussian(1, 1), log_z(1), 0.01}};
  const ebm::Matrix x = random_points(500, 2, 5);
  const ebm::EnsembleLikelihood result = ebm::Ensemble(members, cpu()).log_likelihood(x);
  double variance = 0;
  for (ebm::EnsembleMember& member : members) {
    const double before = member.log_z;
    member.log_z = before + 1e-4;
    const double slope = (ebm::Ensemble(members, cpu()).log_likelihood(x).mean - result.mean) / 1e-4;
    member.log_z = before;
    EXPECT_LT(slope, -0.1);
    variance += slope * slope * member.log_z_error * member.log_z_error;
  }
  EXPECT_NEAR(result.log_z_error, std::sqrt(variance), 1e-5);
  EXPECT_LT(result.log_z_error, 0.03);
  const ebm::Ensemble single({{gaussian(0, 1), log_z(1), 0.03}}, cpu());
  EXPECT_NEAR(single.log_likelihood(x).log_z_error, 0.03, 1e-9);
  const ebm::LogLikelihood same = ebm::log_likelihood(gaussian(0, 1), x, log_z(1), cpu());
  EXPECT_NEAR(single.log_likelihood(x).mean, same.mean, 1e-6);
  EXPECT_NEAR(single.log_likelihood(x).standard_error, same.standard_error, 1e-6);
}

TEST(Ensemble, WrongMembersAreNamed) {
  const auto refused = [](const std::vector<ebm::EnsembleMember>& members) -> std::string {
    try {
      static_cast<void>(ebm::Ensemble(members, cpu()));
    } catch (const ebm::ConfigError& error) {
      return error.field();
    }
    return "(accepted)";
  };
  EXPECT_EQ(refused({}), "members");
  EXPECT_EQ(refused({{gaussian(0, 1), 0}, {random_network(shape_of(3, {4}), 1), 0}}), "members");
  EXPECT_EQ(refused({{gaussian(0, 1), NAN}}), "log_z");
  EXPECT_EQ(refused({{gaussian(0, 1), 0, -1}}), "log_z_error");
}

// Chain i is of member i mod M, and the same whatever the others are. Rejects members in blocks, ids that begin anew.
TEST(EnsembleSample, ChainsHaveTheirMembers) {
  std::vector<ebm::Mlp> models;
  for (int m = 0; m < 3; ++m) models.push_back(gaussian(10.0f * static_cast<float>(m), 1));
  const std::vector<ebm::Sampler> samplers(3, ebm::Mala{.step_size = 0.3f, .grad_clip = {}, .clamp = {}});
  ebm::SampleOptions options;
  options.n_chains = 50;
  options.n_steps = 6;
  options.seed = 4;
  options.first_chain = 7;
  options.thin = 2;
  const ebm::SampleResult all = ebm::sample(models, samplers, options, cpu());
  ASSERT_EQ(all.trajectory.size(), 3u);
  EXPECT_EQ(all.trajectory.back(), all.x);
  EXPECT_EQ(all.stats.steps, 300u);
  for (std::size_t i = 0; i < 50; ++i) {
    const std::size_t m = (7 + i) % 3;
    EXPECT_NEAR(all.x(i, 0), 10.0f * static_cast<float>(m), 5.0f) << i;
    ebm::SampleOptions alone = options;
    alone.n_chains = 1;
    alone.first_chain = (7 + i) / 3;
    alone.seed = ebm::member_seed(4, m);
    const ebm::SampleResult own = ebm::sample(models[m], samplers[m], alone, cpu());
    ASSERT_TRUE(std::ranges::equal(own.x.row(0), all.x.row(i))) << i;
    ASSERT_EQ(own.energy[0], all.energy[i]);
  }
  options.n_chains = 1;
  options.first_chain = 21;
  const ebm::Matrix fifteenth = ebm::sample(models, samplers, options, cpu()).x;
  EXPECT_TRUE(std::ranges::equal(fifteenth.row(0), all.x.row(14)));
  options.init = ebm::Matrix(2, 2, {0, 0, 10, 10});
  options.n_steps = 0;
  EXPECT_EQ(ebm::sample(models, samplers, options, cpu()).x, *options.init);
  options.init.reset();
  options.fixed = ebm::Matrix(1, 2);
  EXPECT_THROW(static_cast<void>(ebm::sample(models, samplers, options, cpu())), ebm::ConfigError);
  options.fixed.reset();
  EXPECT_THROW(static_cast<void>(ebm::sample(models, {samplers[0]}, options, cpu())), ebm::ConfigError);
}

TEST(EnsembleSample, MemberZeroHasTheSeed) {
  EXPECT_EQ(ebm::member_seed(17, 0), 17u);
  EXPECT_EQ(ebm::member_seed(17, 2), 17u + 2 * 0x9E3779B97F4A7C15u);
}

}  // namespace
