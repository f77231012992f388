// The law of the unadjusted Langevin chain is known exactly when the energy is quadratic: from any start it is Gaussian
// at every step. 10^6 chains accept that law, and reject the target's own.
#include <gtest/gtest.h>

#include <cmath>

#include "ebmcuda/sampler.hpp"
#include "support/engines.hpp"
#include "support/networks.hpp"
#include "support/statistics.hpp"

namespace {

using namespace support;

class LangevinLawTest : public EngineTest {
 protected:
  const std::size_t kChains = fresh_size(1000000);
  static constexpr double kStart = 1.5;  // every coordinate of every chain

  // Positions after `n_steps` from kStart in every coordinate, as [chains, D].
  ebm::Matrix run(const ebm::Mlp& model, double h, int n_steps, std::size_t share = 1) const {
    const std::size_t n = kChains / share;
    ebm::SampleOptions options;
    ebm::Matrix start(n, static_cast<std::size_t>(model.dim()));
    for (float& v : start.values()) v = static_cast<float>(kStart);
    options.init = std::move(start);
    options.n_steps = n_steps;
    options.seed = fresh_seed(2024);
    ebm::LangevinDynamics sampler;
    sampler.step_size = static_cast<float>(h);
    return ebm::sample(model, sampler, options, device()).x;
  }
};

// E = |x|^2 / 2 (zero weights, kappa = 1): x_t has mean (1 - h)^t x_0 and variance 2h (1 - a^(2t)) / (1 - a^2), a = 1 -
// h. Rejects: noise drawn once for all steps or shared between chains or dimensions (covariance, variance), the step
// applied twice, sqrt(h) for sqrt(2h), a tail of a block of four dimensions that has no noise, normals that aren't.
TEST_P(LangevinLawTest, QuadraticEnergy) {
  for (const int dim : {1, 2, 16}) {
    ebm::MlpShape shape = shape_of(dim, {1}, ebm::Activation::tanh, ebm::Head::scalar, 1.0f);
    const ebm::Mlp model(shape);
    for (const double h : {0.01, 0.1, 0.5}) {
      for (const int t : {1, 7, 48}) {
        // In 16 dimensions the middle one adds nothing but time.
        if (dim == 16 && t == 7) continue;
        SCOPED_TRACE(testing::Message() << "D " << dim << " h " << h << " t " << t);
        const double a = 1 - static_cast<double>(static_cast<float>(h));
        const double mean = std::pow(a, t) * kStart;
        const double variance = 2 * (1 - a) * (1 - std::pow(a, 2 * t)) / (1 - a * a);
        const ebm::Matrix x = run(model, h, t);
        EXPECT_GT(gaussian_p_value(
                      x.values(), dim, [&](int) { return mean; }, [&](int) { return variance; }),
                  kAlpha);
        if (h == 0.5 && t == 48) {
          // The power of the test: at this step the chain's own law has variance 4/3, and the target's law is rejected.
          EXPECT_LT(gaussian_p_value(
                        x.values(), dim, [](int) { return 0.0; }, [](int) { return 1.0; }),
                    wrong_alpha());
        }
        if (h == 0.01 && t == 48) {
          // So is a variance off by 1 %, and a mean off by 1 % of the standard deviation.
          EXPECT_LT(gaussian_p_value(
                        x.values(), dim, [&](int) { return mean; }, [&](int) { return 1.01 * variance; }),
                    wrong_alpha());
          EXPECT_LT(gaussian_p_value(
                        x.values(), dim, [&](int) { return mean + 0.011 * std::sqrt(variance); },
                        [&](int) { return variance; }),
                    wrong_alpha());
        }
      }
    }
  }
}

// A full covariance, with the energy made by the network: s softplus pairs along orthogonal directions u_k,
//   4 s^2 c_k (softplus(u_k x / s) + softplus(-u_k x / s)) = c_k (u_k x)^2 / 2 * (1 + O((u_k x / s)^2 / 24)) +
//   constant,
// whose gradient is linear to 1e-4 for |u_k x| <= 5 and s = 100. In the basis u_k the coordinates are independent.
TEST_P(LangevinLawTest, FullCovarianceThroughTheNetwork) {
  const double s = 100, h = 0.05;
  const int t = 20;
  const double curvature[2] = {0.5, 4.0};
  const double angle = 0.6;
  const double u[2][2] = {{std::cos(angle), std::sin(angle)}, {-std::sin(angle), std::cos(angle)}};
  ebm::Mlp model(shape_of(2, {4}, ebm::Activation::softplus));
  for (std::size_t k = 0; k < 2; ++k) {
    for (std::size_t sign = 0; sign < 2; ++sign) {
      for (std::size_t d = 0; d < 2; ++d) {
        model.weight(0)[(2 * k + sign) * 2 + d] = static_cast<float>((sign == 0 ? 1 : -1) * u[k][d] / s);
      }
      // softplus(z) + softplus(-z) = 2 ln 2 + z^2 / 4 + ..., so the factor of z^2 / 4 is 2 s^2 c_k.
      model.weight(1)[2 * k + sign] = static_cast<float>(2 * s * s * curvature[k]);
    }
  }
  const ebm::Matrix x = run(model, h, t, 2);
  ebm::Matrix rotated(x.rows(), 2);
  for (std::size_t i = 0; i < x.rows(); ++i) {
    for (std::size_t k = 0; k < 2; ++k) {
      rotated(i, k) =
          static_cast<float>(u[k][0] * static_cast<double>(x(i, 0)) + u[k][1] * static_cast<double>(x(i, 1)));
    }
  }
  const auto a = [&](int k) { return 1 - h * curvature[k]; };
  const auto mean = [&](int k) { return std::pow(a(k), t) * kStart * (u[k][0] + u[k][1]); };
  const auto variance = [&](int k) { return 2 * h * (1 - std::pow(a(k), 2 * t)) / (1 - a(k) * a(k)); };
  // fp16 makes the pair's difference, 1 / s of its terms, coarse: its law is another one.
  if (GetParam().precision != ebm::Precision::fp16) {
    EXPECT_GT(gaussian_p_value(rotated.values(), 2, mean, variance), kAlpha);
  }
  EXPECT_LT(gaussian_p_value(rotated.values(), 2, mean, [&](int k) { return 1 / curvature[k]; }), wrong_alpha());
}

// The same chain in data units: mean and standard deviation of the standardisation shift and stretch the law.
TEST_P(LangevinLawTest, DataUnits) {
  ebm::Mlp model(shape_of(3, {1}, ebm::Activation::tanh, ebm::Head::scalar, 1.0f));
  const ebm::Standardization map{{10.0f, -2.0f, 0.0f}, {0.1f, 3.0f, 25.0f}};
  model.set_standardization(map);
  const double h = 0.3;
  const int t = 3;
  const ebm::Matrix x = run(model, h, t, 4);
  const double a = 1 - static_cast<double>(static_cast<float>(h));
  const double variance = 2 * (1 - a) * (1 - std::pow(a, 2 * t)) / (1 - a * a);
  const auto at = [](const std::vector<float>& v, int d) {
    return static_cast<double>(v[static_cast<std::size_t>(d)]);
  };
  const auto mean = [&](int d) { return at(map.mean, d) + std::pow(a, t) * (kStart - at(map.mean, d)); };
  EXPECT_GT(gaussian_p_value(x.values(), 3, mean, [&](int d) { return variance * at(map.std, d) * at(map.std, d); }),
            kAlpha);
}

// Neighbouring chains, steps and seeds give independent noise: one noise step from 0, products of the normals of
// (chain, chain + 1), (step, step + 1), (seed, seed + 1), and of shifted dimensions. Rejects a step that is added to
// the seed (run (s, t + 1) would equal run (s + 1, t)).
TEST_P(LangevinLawTest, NoiseIsUncorrelatedAcrossChainsStepsAndSeeds) {
  const ebm::Mlp model(shape_of(5, {1}, ebm::Activation::tanh));  // E = 0
  const std::size_t n = fresh_size(200000);
  const auto noise = [&](std::uint64_t seed, std::uint64_t first_chain, std::uint64_t step) {
    ebm::SampleOptions options;
    options.init = ebm::Matrix(n, 5);
    options.n_steps = 1;
    options.seed = fresh_seed(seed);
    options.first_chain = first_chain;
    options.first_step = step;
    ebm::LangevinDynamics sampler;
    sampler.noise_scale = 1.0f;
    return ebm::sample(model, sampler, options, device()).x;
  };
  const ebm::Matrix base = noise(7, 100, 50);
  EXPECT_GT(gaussian_p_value(
                base.values(), 5, [](int) { return 0.0; }, [](int) { return 1.0; }),
            kAlpha);
  const auto correlation_p = [&](const ebm::Matrix& other, std::size_t shift) {
    double sum = 0;
    const std::size_t size = base.values().size() - shift;
    for (std::size_t k = 0; k < size; ++k) {
      sum += static_cast<double>(base.values()[k]) * static_cast<double>(other.values()[k + shift]);
    }
    return two_sided_p_value(sum / std::sqrt(static_cast<double>(size)));
  };
  EXPECT_GT(correlation_p(noise(7, 101, 50), 0), kAlpha);
  EXPECT_GT(correlation_p(noise(7, 100, 51), 0), kAlpha);
  EXPECT_GT(correlation_p(noise(8, 100, 50), 0), kAlpha);
  EXPECT_GT(correlation_p(noise(8, 100, 49), 0), kAlpha);
  EXPECT_GT(correlation_p(noise(6, 100, 51), 0), kAlpha);
  for (const std::size_t shift : {1u, 2u, 3u, 4u, 5u}) EXPECT_GT(correlation_p(base, shift), kAlpha) << shift;
  // Power: the same noise shifted by one chain is found.
  EXPECT_LT(correlation_p(noise(7, 99, 50), 5), wrong_alpha());
}

EBM_INSTANTIATE_ENGINES(LangevinLawTest);

}  // namespace
