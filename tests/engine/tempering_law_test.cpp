// Tempered chains leave the target invariant: replicas started from exact draws of their temperatures keep those laws.
#include <gtest/gtest.h>

#include <cmath>

#include "ebmcuda/sampler.hpp"
#include "host/engine/engine.hpp"
#include "host/sampling/transition.hpp"
#include "support/engines.hpp"
#include "support/networks.hpp"
#include "support/statistics.hpp"

namespace {

using namespace support;

class TemperingLawTest : public EngineTest {};

// E = |x|^2 / 2, so replica r is N(0, 1 / beta_r). Rejects a swap rule without the difference of temperatures, or with
// its sign the other way, states swapped without their energies, a step size or target of the wrong temperature.
TEST_P(TemperingLawTest, GaussianReplicas) {
  const std::vector<float> ladder{1.0f, 0.5f, 0.2f};
  for (const int dim : {1, 16}) {
    const ebm::Mlp model(shape_of(dim, {1}, ebm::Activation::tanh, ebm::Head::scalar, 1.0f));
    const std::size_t n_chains = fresh_size(100000), width = static_cast<std::size_t>(dim);
    const auto engine = ebm::make_engine(device());
    const auto function = engine->load(model);
    std::vector<std::uint64_t> ids(3 * n_chains), steps(3 * n_chains, 0);
    std::vector<float> betas(3 * n_chains);
    ebm::Matrix x = random_points(3 * n_chains, width, fresh_seed(4));
    for (std::size_t i = 0; i < ids.size(); ++i) {
      ids[i] = i / 3 + (std::uint64_t{i % 3} << 46);
      betas[i] = ladder[i % 3];
      for (std::size_t d = 0; d < width; ++d) x(i, d) /= std::sqrt(betas[i]);
    }
    for (const ebm::Sampler& sampler : exact_samplers(dim == 1 ? 0.9f : 0.3f, 0.1f, {}, {})) {
      const auto chains = function->chains(fresh_seed(77), ids, steps, {}, betas);
      const ebm::Transition transition = ebm::resolve(sampler, model);
      chains->set_positions(x.values());
      for (int k = 0; k < 10; ++k) {
        chains->run(transition, 1);
        chains->swap_replicas(3, transition.evaluations, static_cast<std::uint64_t>(transition.evaluations));
      }
      ebm::Matrix after(3 * n_chains, width);
      chains->positions(after.values());
      const ebm::ReplicaStats stats = chains->replica_stats();
      EXPECT_GT(stats.swaps[0].accepted, stats.swaps[0].proposed / 20);
      EXPECT_LT(stats.swaps[0].accepted, stats.swaps[0].proposed);
      EXPECT_GT(stats.round_trips, n_chains / 1000);
      for (std::size_t r = 0; r < 3; ++r) {
        std::vector<float> replica;
        for (std::size_t c = 0; c < n_chains; ++c) {
          for (std::size_t d = 0; d < width; ++d) replica.push_back(after(3 * c + r, d));
        }
        const double variance = 1 / static_cast<double>(ladder[r]);
        const double p = gaussian_p_value(
            replica, dim, [](int) { return 0.0; }, [variance](int) { return variance; });
        EXPECT_GT(p, kAlpha) << ebm::describe(sampler) << " D " << dim << " replica " << r;
        const double wrong = gaussian_p_value(
            replica, dim, [](int) { return 0.0; }, [variance](int) { return 1.05 * variance; });
        EXPECT_LT(wrong, wrong_alpha()) << "a variance off by 5 % must be found out";
      }
    }
  }
}

EBM_INSTANTIATE_ENGINES(TemperingLawTest);

}  // namespace
