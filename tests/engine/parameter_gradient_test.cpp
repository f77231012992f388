// Derivatives of weighted sums of energies by the parameters, against the double-precision reference.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "kernels/math/ordered_sum.hpp"
#include "support/engines.hpp"
#include "support/networks.hpp"

namespace {

using namespace support;

class ParameterGradientTest : public EngineTest {
 protected:
  static constexpr double kTolerance = 1e-5;

  ref::Vector reference(const ebm::Mlp& model, const ebm::Matrix& x, std::span<const float> weights) {
    const ref::Network network = to_reference(model);
    ref::Vector gradient(network.parameters.size(), 0.0);
    for (std::size_t i = 0; i < x.rows(); ++i) {
      ref::add_energy_gradient(network, to_reference(x.row(i)), static_cast<double>(weights[i]), &gradient);
    }
    return gradient;
  }

  std::vector<float> product(const ebm::Mlp& model, const ebm::Matrix& x, std::span<const float> weights,
                             const ebm::Device& on) {
    std::vector<float> gradient(model.parameters().size(), -1.0f);
    ebm::make_engine(on)->load(model)->parameter_gradient(x.values(), weights, gradient);
    return gradient;
  }

  // Points where no relu unit is within rounding of its kink.
  ebm::Matrix points_off_kinks(const ebm::Mlp& model, std::size_t n, std::uint64_t seed) {
    const std::size_t dim = static_cast<std::size_t>(model.dim());
    const ebm::Matrix all = random_points(2 * n + 50, dim, seed);
    const ref::Network network = to_reference(model);
    ebm::Matrix x(n, dim);
    std::size_t kept = 0;
    for (std::size_t i = 0; i < all.rows() && kept < n; ++i) {
      if (ref::evaluate(network, to_reference(all.row(i))).kink_distance < 2e-6) continue;
      std::copy(all.row(i).begin(), all.row(i).end(), x.row(kept++).begin());
    }
    EXPECT_EQ(kept, n);
    return x;
  }
};

// Rejects: a wrong derivative, a transposed weight, a bias that is left out, a row that is dropped at the end of a
// block, confinement leaking into the parameters. Every layer is compared on its own scale.
TEST_P(ParameterGradientTest, MatchesTheReference) {
  const std::vector<std::vector<int>> networks{{1},
                                               {7},
                                               {128},
                                               {17, 33},
                                               {100, 3},
                                               {33, 17, 7},
                                               {16, 32, 16, 33},
                                               {9, 8, 7, 6, 5, 6, 7, 8, 9, 10, 11, 12, 11, 10, 9, 8}};
  std::size_t combination = 0;
  for (const ebm::Activation activation : kActivations) {
    for (const ebm::Head head : kHeads) {
      for (const auto& hidden : networks) {
        const int dim = std::array{1, 2, 3, 5, 16, 64, 100}[combination % 7];
        const std::size_t n = std::array<std::size_t, 9>{1, 2, 3, 31, 32, 33, 64, 65, 1000}[combination % 9];
        SCOPED_TRACE(testing::Message() << ebm::to_string(activation) << " " << ebm::to_string(head) << " D " << dim
                                        << " widths " << testing::PrintToString(hidden) << " n " << n);
        const ebm::Mlp model = random_network(shape_of(dim, hidden, activation, head, 0.5f), combination);
        const ebm::Matrix x = points_off_kinks(model, n, combination + 50);
        const ebm::Matrix weights = random_points(n, 1, combination + 99);
        const ref::Vector expected = reference(model, x, weights.values());
        const std::vector<float> got = product(model, x, weights.values(), device());
        EXPECT_LE(relative_error(got, expected), kTolerance);
        // Layer by layer, against the whole gradient's size over the square root of the number of layers.
        double whole = 0;
        for (const double g : expected) whole += g * g;
        for (int layer = 0; layer < model.shape().layers(); ++layer) {
          double error = 0, size = 0;
          const std::size_t end =
              layer + 1 < model.shape().layers() ? model.shape().weight_offset(layer + 1) : got.size();
          for (std::size_t k = model.shape().weight_offset(layer); k < end; ++k) {
            error += std::pow(static_cast<double>(got[k]) - expected[k], 2);
            size += expected[k] * expected[k];
          }
          EXPECT_LE(std::sqrt(error), kTolerance * std::max(std::sqrt(size), 0.05 * std::sqrt(whole)))
              << "layer " << layer;
        }
        ++combination;
      }
    }
  }
}

TEST_P(ParameterGradientTest, AgreesWithFiniteDifferencesOfTheEngine) {
  // Independent of the reference: central differences of the engine's own energies, good to about 1e-3.
  const ebm::Mlp model = random_network(shape_of(3, {7, 5}, ebm::Activation::silu, ebm::Head::scalar), 3);
  const ebm::Matrix x = random_points(33, 3, 4);
  const std::vector<float> weights(33, 1.0f);
  const std::vector<float> gradient = product(model, x, weights, device());
  const auto total = [&](const ebm::Mlp& m) {
    std::vector<float> energy(33);
    engine()->load(m)->evaluate(x.values(), energy);
    double sum = 0;
    for (const float e : energy) sum += static_cast<double>(e);
    return sum;
  };
  double size = 0;
  for (const float g : gradient) size = std::max(size, std::abs(static_cast<double>(g)));
  for (std::size_t k = 0; k < gradient.size(); k += 5) {
    ebm::Mlp plus = model, minus = model;
    plus.parameters()[k] += 0.005f;
    minus.parameters()[k] -= 0.005f;
    EXPECT_NEAR(static_cast<double>(gradient[k]), (total(plus) - total(minus)) / 0.01, 2e-3 * size) << k;
  }
}

TEST_P(ParameterGradientTest, SameBitsForAnyThreadCountAndFromRunToRun) {
  const ebm::Mlp model = random_network(shape_of(5, {33, 64}, ebm::Activation::gelu, ebm::Head::logits), 8);
  for (const std::size_t n : {std::size_t{1}, std::size_t{65}, std::size_t{1000}}) {
    const ebm::Matrix x = random_points(n, 5, 9);
    const ebm::Matrix weights = random_points(n, 1, 10);
    const std::vector<float> once = product(model, x, weights.values(), with_threads(1));
    for (const int threads : is_cpu() ? std::vector{1, 2, 3, 8} : std::vector{1}) {
      EXPECT_EQ(product(model, x, weights.values(), with_threads(threads)), once) << threads << " threads, n " << n;
    }
  }
}

TEST_P(ParameterGradientTest, RowsOfWeightZeroAddNothing) {
  const ebm::Mlp model = random_network(shape_of(2, {16}), 11);
  const ebm::Matrix x = random_points(40, 2, 12);
  const std::vector<float> zero(40, 0.0f);
  for (const float g : product(model, x, zero, device())) EXPECT_EQ(g, 0.0f);
}

// A batch cut into 1 .. 4 shares of whole chunks, each differentiated by itself and on other threads, gathered and
// added by the tree: the same bits as the whole. Rejects a chunk that begins elsewhere in a share, sums that run on
// over chunks or passes, and another tree.
TEST_P(ParameterGradientTest, SharesOfABatchAddUpToTheWholeBitForBit) {
  const ebm::Mlp model = random_network(shape_of(3, {17, 9}, ebm::Activation::silu, ebm::Head::logits), 13);
  const std::size_t parameters = model.parameters().size();
  constexpr auto kChunk = static_cast<std::size_t>(ebm::kChunkRows);
  // 10,000 rows are 79 chunks, three passes of the CPU engine.
  const auto sizes =
      sized(std::vector<std::size_t>{1, 127, 128, 129, 641, 1000, 10'000}, std::vector<std::size_t>{1, 128, 129, 641});
  for (const std::size_t n : sizes) {
    const ebm::Matrix x = random_points(n, 3, 14);
    const ebm::Matrix weights = random_points(n, 1, 15);
    const std::vector<float> whole = product(model, x, weights.values(), device());
    const std::size_t chunks = (n + kChunk - 1) / kChunk;
    for (std::size_t shares = 1; shares <= 4; ++shares) {
      std::vector<float> gathered(chunks * parameters, -1.0f);
      for (std::size_t share = 0; share < shares; ++share) {
        const std::size_t first = share * chunks / shares, last = (share + 1) * chunks / shares;
        const std::size_t row = first * kChunk, rows = std::min(last * kChunk, n) - std::min(row, n);
        const auto function = ebm::make_engine(with_threads(static_cast<int>(share) + 1))->load(model);
        function->parameter_gradient_chunks(
            x.values().subspan(row * 3, rows * 3), weights.values().subspan(row, rows),
            std::span(gathered).subspan(first * parameters, (last - first) * parameters));
      }
      std::vector<float> sum(parameters);
      for (std::size_t p = 0; p < parameters; ++p) {
        sum[p] = ebm::tree_sum<float>(static_cast<std::int64_t>(chunks), [&](std::int64_t c) {
          return gathered[static_cast<std::size_t>(c) * parameters + p];
        });
      }
      EXPECT_EQ(sum, whole) << n << " rows in " << shares << " shares";
    }
  }
}

EBM_INSTANTIATE_EVALUATORS(ParameterGradientTest);

}  // namespace
