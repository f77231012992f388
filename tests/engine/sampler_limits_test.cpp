// Where one sampler is another's special case, it gives the other's chains.
#include <gtest/gtest.h>

#include <cmath>

#include "ebmcuda/sampler.hpp"
#include "support/engines.hpp"
#include "support/networks.hpp"

namespace {

using namespace support;

class SamplerLimitsTest : public EngineTest {
 protected:
  bool half() const { return GetParam().precision == ebm::Precision::fp16; }
  static constexpr std::size_t kChains = 50;

  ebm::Matrix run(const ebm::Sampler& sampler, std::int64_t transitions) const {
    ebm::SampleOptions options;
    options.init = random_points(kChains, 3, 8);
    options.n_steps = transitions;
    options.seed = 21;
    return ebm::sample(model_, sampler, options, device()).x;
  }
  // The share of chains that agree to rounding. Decisions within rounding of a draw may differ.
  static double agreement(const ebm::Matrix& a, const ebm::Matrix& b, float tolerance) {
    std::size_t equal = 0;
    for (std::size_t i = 0; i < a.rows(); ++i) {
      float worst = 0;
      for (std::size_t d = 0; d < a.cols(); ++d) worst = std::max(worst, std::abs(a(i, d) - b(i, d)));
      equal += worst < tolerance;
    }
    return static_cast<double>(equal) / static_cast<double>(a.rows());
  }

  ebm::Mlp model_ = random_network(shape_of(3, {16, 12}, ebm::Activation::silu, ebm::Head::scalar, 0.5f), 5);
};

TEST_P(SamplerLimitsTest, MaltWithoutFrictionIsHmcWithoutJitter) {
  const ebm::Matrix malt =
      run(ebm::Malt{.step_size = 0.3f, .leapfrog_steps = 4, .friction = 0.0f, .grad_clip = {}, .clamp = {}}, 10);
  const ebm::Matrix hmc =
      run(ebm::Hmc{.step_size = 0.3f, .leapfrog_steps = 4, .jitter = 0.0f, .grad_clip = {}, .clamp = {}}, 10);
  EXPECT_GE(agreement(malt, hmc, half() ? 5e-3f : 2e-5f), 0.95);
  const ebm::Matrix other =
      run(ebm::Malt{.step_size = 0.3f, .leapfrog_steps = 4, .friction = 0.5f, .grad_clip = {}, .clamp = {}}, 10);
  EXPECT_LE(agreement(other, hmc, 5e-3f), 0.1) << "friction must show";
}

// With the momentum refreshed wholly, the noise of the O part (purpose 0) is mala's noise.
TEST_P(SamplerLimitsTest, MaltOfOneRefreshedStepIsMala) {
  const float step = 0.3f;
  const ebm::Matrix malt =
      run(ebm::Malt{.step_size = step, .leapfrog_steps = 1, .friction = 1e6f, .grad_clip = {}, .clamp = {}}, 10);
  const ebm::Matrix mala = run(ebm::Mala{.step_size = step * step / 2, .grad_clip = {}, .clamp = {}}, 10);
  EXPECT_GE(agreement(malt, mala, half() ? 5e-3f : 2e-5f), 0.95);
  const ebm::Matrix other = run(ebm::Mala{.step_size = step * step, .grad_clip = {}, .clamp = {}}, 10);
  EXPECT_LE(agreement(malt, other, 5e-3f), 0.1) << "the step must show";
}

EBM_INSTANTIATE_ENGINES(SamplerLimitsTest);

}  // namespace
