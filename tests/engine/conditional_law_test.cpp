// Chains with fixed coordinates leave the conditional density invariant.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "ebmcuda/chains.hpp"
#include "host/core/linear_algebra.hpp"
#include "support/engines.hpp"
#include "support/networks.hpp"
#include "support/statistics.hpp"

namespace {

using namespace support;

constexpr float kFree = std::numeric_limits<float>::quiet_NaN();

class ConditionalLawTest : public EngineTest {};

// A Gaussian with precision P = R^T R: x_f given x_c is N(m_f - P_ff^-1 P_fc (x_c - m_c), P_ff^-1). Chains from exact
// draws, a different x_c each, keep that law. Rejects a chain whose fixed coordinates add to the ratio, whose momenta
// or noise reach them, or whose gradient is that of other coordinates; the test sees a law off by a few percent, and
// tells the conditional from the marginal.
TEST_P(ConditionalLawTest, CorrelatedGaussian) {
  constexpr std::size_t kDim = 5, kFreeCount = 3;
  constexpr std::size_t kFreeColumns[] = {0, 2, 4}, kFixedColumns[] = {1, 3};
  const std::size_t n = sized(std::size_t{200000}, std::size_t{2000});
  ebm::GaussianEnergy base{{0.3f, -0.2f, 0.1f, 0.4f, 0.0f}, ebm::Matrix(kDim, kDim)};
  for (std::size_t i = 0; i < kDim; ++i) {
    for (std::size_t j = i; j < kDim; ++j) {
      base.root(i, j) = i == j ? 1.2f + 0.1f * static_cast<float>(i) : 0.8f * std::sin(static_cast<float>(3 * i + j));
    }
  }
  double precision[kDim][kDim] = {};
  for (std::size_t i = 0; i < kDim; ++i) {
    for (std::size_t j = 0; j < kDim; ++j) {
      for (std::size_t k = 0; k < kDim; ++k) {
        precision[i][j] += static_cast<double>(base.root(k, i)) * static_cast<double>(base.root(k, j));
      }
    }
  }
  std::vector<double> free_precision(kFreeCount * kFreeCount);
  for (std::size_t a = 0; a < kFreeCount; ++a) {
    for (std::size_t b = 0; b < kFreeCount; ++b) {
      free_precision[a * kFreeCount + b] = precision[kFreeColumns[a]][kFreeColumns[b]];
    }
  }
  const std::vector<double> root = ebm::cholesky(free_precision, kFreeCount).value();
  const auto mean_of = [&](const ebm::Matrix& x, std::size_t i) {
    std::vector<double> shift(kFreeCount);
    for (std::size_t a = 0; a < kFreeCount; ++a) {
      for (const std::size_t c : kFixedColumns) {
        shift[a] -= precision[kFreeColumns[a]][c] * (static_cast<double>(x(i, c)) - static_cast<double>(base.mean[c]));
      }
    }
    ebm::solve_transposed(root, shift);
    ebm::solve_upper(root, shift);
    for (std::size_t a = 0; a < kFreeCount; ++a) shift[a] += static_cast<double>(base.mean[kFreeColumns[a]]);
    return shift;
  };
  // What is N(0, I): root (x_f - mean).
  const auto residuals = [&](const ebm::Matrix& x, double share_of_shift, double scale) {
    std::vector<float> r(n * kFreeCount);
    for (std::size_t i = 0; i < n; ++i) {
      const std::vector<double> mean = mean_of(x, i);
      for (std::size_t a = 0; a < kFreeCount; ++a) {
        double sum = 0;
        for (std::size_t b = a; b < kFreeCount; ++b) {
          const auto plain = static_cast<double>(base.mean[kFreeColumns[b]]);
          const double centre = plain + share_of_shift * (mean[b] - plain);
          sum += root[a * kFreeCount + b] * (static_cast<double>(x(i, kFreeColumns[b])) - centre);
        }
        r[i * kFreeCount + a] = static_cast<float>(scale * sum);
      }
    }
    return r;
  };
  const auto p_value = [&](const std::vector<float>& r) {
    return gaussian_p_value(
        r, kFreeCount, [](int) { return 0.0; }, [](int) { return 1.0; });
  };

  std::mt19937_64 bits(4);
  std::normal_distribution<double> normal;
  ebm::Matrix start(n, kDim), fixed(n, kDim, std::vector<float>(n * kDim, kFree));
  for (std::size_t i = 0; i < n; ++i) {
    for (const std::size_t c : kFixedColumns) start(i, c) = fixed(i, c) = static_cast<float>(normal(bits));
    std::vector<double> z(kFreeCount);
    for (double& v : z) v = normal(bits);
    ebm::solve_upper(root, z);
    const std::vector<double> mean = mean_of(start, i);
    for (std::size_t a = 0; a < kFreeCount; ++a) start(i, kFreeColumns[a]) = static_cast<float>(mean[a] + z[a]);
  }
  ASSERT_GT(p_value(residuals(start, 1, 1)), kAlpha);

  const ebm::Mlp model = random_network(shape_of(kDim, {8}), 2);
  for (const ebm::Sampler& sampler : exact_samplers(0.15f, 0.2f, {}, {})) {
    SCOPED_TRACE(ebm::describe(sampler));
    ebm::ChainsOptions options;
    options.init = start;
    options.fixed = fixed;
    options.base = base;
    options.beta = 0;
    options.seed = 5;
    ebm::Chains chains(ebm::Energy(model, device()), sampler, options);
    chains.run(10);
    const ebm::Matrix x = chains.positions();
    EXPECT_GT(p_value(residuals(x, 1, 1)), kAlpha);
    EXPECT_LT(p_value(residuals(x, 0, 1)), kAlpha) << "the law of fixed coordinates that do not matter";
    EXPECT_LT(p_value(residuals(x, 1, 1.25)), kAlpha) << "a law of another width";
    if (is_cpu()) {
      EXPECT_LT(p_value(residuals(x, 0.95, 1)), kAlpha);
      EXPECT_LT(p_value(residuals(x, 1, 1.02)), kAlpha);
    }
    std::size_t still = 0;
    for (std::size_t i = 0; i < n; ++i) still += x(i, 0) == start(i, 0);
    EXPECT_LT(still, n / 2);
  }
}

// A network in the plane, x_0 fixed: x_1 of chains from the uniform start has the density exp(-E(x_0, .)) / Z(x_0).
// Every sampler, Langevin dynamics and tempering among them. Rejects the densities at a neighbouring x_0.
TEST_P(ConditionalLawTest, NetworkInThePlane) {
  const ebm::Mlp model = random_network(shape_of(2, {12}, ebm::Activation::tanh, ebm::Head::scalar, 1.0f), 17);
  const ref::Network network = to_reference(model);
  const auto distribution_at = [&](double x0) {
    constexpr double kLo = -8, kStep = 0.002;
    std::vector<double> sums{0};
    for (double y = kLo; y < 8; y += kStep) {
      sums.push_back(sums.back() + std::exp(-ref::evaluate(network, ref::Vector{x0, y + kStep / 2}).energy));
    }
    return [sums](double y) {
      const double at = std::clamp((y - kLo) / kStep, 0.0, static_cast<double>(sums.size() - 2));
      const auto cell = static_cast<std::size_t>(at);
      return (sums[cell] + (at - static_cast<double>(cell)) * (sums[cell + 1] - sums[cell])) / sums.back();
    };
  };
  const std::size_t n = sized(std::size_t{50000}, std::size_t{1000});
  const float x0 = 0.7f;
  const auto right = distribution_at(static_cast<double>(x0)), wrong = distribution_at(static_cast<double>(x0) - 0.7);
  ebm::SampleOptions options;
  options.seed = 3;
  options.n_steps = 60;
  options.fixed = ebm::Matrix(n, 2);
  for (std::size_t i = 0; i < n; ++i) {
    (*options.fixed)(i, 0) = x0;
    (*options.fixed)(i, 1) = kFree;
  }
  const auto column = [](const ebm::Matrix& x) {
    std::vector<float> values;
    for (std::size_t i = 0; i < x.rows(); ++i) values.push_back(x(i, 1));
    return values;
  };
  std::vector<ebm::Sampler> samplers = exact_samplers(0.3f, 0.2f, {}, {});
  for (const ebm::Sampler& sampler : samplers) {
    for (const bool tempered : {false, true}) {
      SCOPED_TRACE(testing::Message() << ebm::describe(sampler) << (tempered ? ", tempered" : ""));
      ebm::SampleOptions request = options;
      if (tempered) request.tempering = ebm::Tempering{.replicas = 3, .hottest = 0.3f};
      const std::vector<float> y = column(ebm::sample(model, sampler, request, device()).x);
      EXPECT_GT(ks_p_value(y, right), kAlpha);
      if (is_cpu()) {
        EXPECT_LT(ks_p_value(y, wrong), kAlpha);
      }
    }
  }
  // Unadjusted: a step so small that 5,000 chains do not see the bias.
  ebm::LangevinDynamics langevin;
  langevin.step_size = 0.02f;
  ebm::SampleOptions request = options;
  request.n_steps = 300;
  const std::size_t few = sized(std::size_t{5000}, std::size_t{500});
  const ebm::MatrixView rows = options.fixed->view().slice(0, few);
  request.fixed = ebm::Matrix(few, 2, {rows.values().begin(), rows.values().end()});
  EXPECT_GT(ks_p_value(column(ebm::sample(model, langevin, request, device()).x), right), kAlpha);
}

EBM_INSTANTIATE_ENGINES(ConditionalLawTest);

}  // namespace
