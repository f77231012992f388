// The reference that sampled training is measured against: the same network, data order, optimiser and number of
// iterations, with E_p[dE/dtheta] by quadrature instead of chains. Two dimensions.
//
//   exact_gradient DATA.npy OUT.safetensors [SEED]
//
// The grid covers |x_d| <= 3.5 in model space and is shifted at random every iteration, so that the estimate is
// unbiased up to the mass outside. Settings are TrainerOptions::defaults(2), as `ebm train` without options.
#include <fmt/format.h>

#include <cmath>
#include <cstdlib>
#include <vector>

#include "ebmcuda/ebmcuda.hpp"
#include "kernels/math/adam.hpp"
#include "kernels/math/permutation.hpp"

namespace {

constexpr int kGrid = 96;
constexpr double kHalf = 3.5;

// Grid points that carry weight, and their share of the mass.
struct GridExpectation {
  ebm::Matrix points;
  std::vector<float> weights;
};

GridExpectation grid_expectation(const ebm::Mlp& model, std::uint64_t seed, std::int64_t iteration,
                                 const ebm::Device& device) {
  const auto word = ebm::philox(seed, ebm::Purpose::evaluation, 0, static_cast<std::uint64_t>(iteration), 0);
  const double shift[2] = {ebm::unit_double(word.r0), ebm::unit_double(word.r1)};
  ebm::Matrix grid(static_cast<std::size_t>(kGrid) * kGrid, 2);
  for (std::size_t i = 0; i < grid.rows(); ++i) {
    const double cell[2] = {static_cast<double>(i / kGrid), static_cast<double>(i % kGrid)};
    for (std::size_t d = 0; d < 2; ++d) {
      grid(i, d) = static_cast<float>(-kHalf + 2 * kHalf * (cell[d] + shift[d]) / kGrid);
    }
  }
  const std::vector<float> energies = ebm::energy(model, grid, device);
  const double lowest = static_cast<double>(*std::min_element(energies.begin(), energies.end()));
  double sum = 0;
  for (const float e : energies) sum += std::exp(lowest - static_cast<double>(e));
  GridExpectation result;
  std::vector<float> kept;
  for (std::size_t i = 0; i < grid.rows(); ++i) {
    const double share = std::exp(lowest - static_cast<double>(energies[i])) / sum;
    if (share < 1e-9) continue;  // at most 1e-5 of the mass in all
    kept.insert(kept.end(), {grid(i, 0), grid(i, 1)});
    result.weights.push_back(static_cast<float>(share));
  }
  result.points = ebm::Matrix(result.weights.size(), 2, std::move(kept));
  return result;
}

void train(const char* data_path, const char* out_path, std::uint64_t seed) {
  const ebm::Matrix data = ebm::read_matrix(data_path);
  const auto options = ebm::TrainerOptions::defaults(2);
  const auto device = ebm::Device::cpu();
  ebm::MlpShape shape{.dim = 2, .hidden = {128, 128}};
  shape.confinement = ebm::default_confinement(2);
  ebm::Mlp model = ebm::Mlp::random(shape, seed, ebm::default_first_layer_scale(2));
  const ebm::Standardization standardization = ebm::standardization_of(data);
  model.set_standardization(standardization);
  const ebm::Matrix points = model.to_model_space(data);
  model.set_standardization({});  // everything below is in model space

  const auto batch_size = static_cast<std::uint64_t>(options.batch_size);
  const auto n = static_cast<std::uint64_t>(points.rows());
  std::vector<float> m(model.parameters().size()), v(m.size());
  std::vector<float> average(model.parameters().begin(), model.parameters().end());
  for (std::int64_t t = 0; t < options.iterations; ++t) {
    GridExpectation batch = grid_expectation(model, seed, t, device);
    std::vector<float> rows(batch.points.values().begin(), batch.points.values().end());
    for (float& w : batch.weights) w = -w;
    for (std::uint64_t i = 0; i < batch_size; ++i) {
      const std::uint64_t position = static_cast<std::uint64_t>(t) * batch_size + i;
      const auto order = ebm::Permutation::make(seed, ebm::Purpose::data_order, position / n, n);
      const auto row = static_cast<std::size_t>(order(position % n));
      rows.insert(rows.end(), {points(row, 0), points(row, 1)});
      batch.weights.push_back(1.0f / static_cast<float>(batch_size));
    }
    const ebm::Matrix x(batch.weights.size(), 2, std::move(rows));
    const std::vector<float> gradient = ebm::parameter_gradient(model, x, batch.weights, device);

    const auto& adam = options.optimizer;
    const double count = static_cast<double>(t + 1);
    ebm::AdamStep step{};
    step.rate = static_cast<float>(adam.rate(t, options.iterations));
    step.beta1 = adam.beta1;
    step.beta2 = adam.beta2;
    step.epsilon = adam.epsilon;
    step.correction1 = static_cast<float>(1 / (1 - std::pow(static_cast<double>(adam.beta1), count)));
    step.correction2 = static_cast<float>(1 / (1 - std::pow(static_cast<double>(adam.beta2), count)));
    step.ema = static_cast<float>(ebm::ema_decay(static_cast<double>(options.ema), t));
    const auto parameters = model.parameters();
    for (std::size_t p = 0; p < gradient.size(); ++p) {
      ebm::adam_update(step, false, gradient[p], parameters[p], m[p], v[p]);
      ebm::ema_update(step, parameters[p], average[p]);
    }
  }
  std::copy(average.begin(), average.end(), model.parameters().begin());
  model.set_standardization(standardization);
  model.save(out_path);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3 || argc > 4) {
    fmt::print(stderr, "usage: exact_gradient DATA.npy OUT.safetensors [SEED]\n");
    return 2;
  }
  try {
    train(argv[1], argv[2], argc == 4 ? std::strtoull(argv[3], nullptr, 10) : 0);
  } catch (const ebm::Error& error) {
    fmt::print(stderr, "exact_gradient: {}\n", error.what());
    return 1;
  }
}
