// Train with an objective and an optimiser of your own: contrastive divergence with persistent chains that stay on the
// device, and stochastic gradient descent with momentum.
//
// The gradient of mean E(data) - mean E(chains) by the parameters is one weighted sum of dE/dtheta, which is what
// Energy::parameter_gradient() gives. Another objective is other points and other weights.
#include <algorithm>
#include <cstdio>
#include <ebmcuda/ebmcuda.hpp>

int main() {
  constexpr std::size_t kBatch = 128;
  const ebm::Device device = ebm::Device::cpu();
  const ebm::Matrix data = ebm::draw(ebm::Density2d::two_moons, 4096, /*seed=*/0);
  ebm::Mlp model = ebm::Mlp::random({.dim = 2, .hidden = {64, 64}, .confinement = 0.1f}, /*seed=*/0,
                                    ebm::default_first_layer_scale(2));
  model.set_standardization(ebm::standardization_of(data));

  const auto likelihood = [&](const ebm::Mlp& trained) {
    return ebm::log_likelihood(trained, data, ebm::quadrature_log_z(trained, {}, data, device).log_z, device).mean;
  };
  const double before = likelihood(model);

  ebm::Energy energy(model, device);
  ebm::Chains chains(energy, ebm::Mala{.step_size = 0.02f, .jump_prob = 0.1f}, {.n_chains = kBatch, .seed = 1});

  // The first half of each batch is data, the second the chains' ends.
  ebm::Matrix points(2 * kBatch, 2);
  const std::span<float> ends = points.values().subspan(2 * kBatch);
  std::vector<float> weights(2 * kBatch), gradient(model.parameters().size()), velocity(gradient.size());
  for (std::size_t i = 0; i < 2 * kBatch; ++i) weights[i] = (i < kBatch ? 1.0f : -1.0f) / kBatch;

  constexpr int kIterations = 1500;
  for (int t = 0; t < kIterations; ++t) {
    const std::size_t first = static_cast<std::size_t>(t) * kBatch % data.rows();
    std::ranges::copy(data.view().slice(first, first + kBatch).values(), points.values().begin());
    chains.run(20);
    chains.positions(ends);

    energy.parameter_gradient(points, weights, gradient);
    const float rate = 0.02f * (1.0f - static_cast<float>(t) / kIterations);
    const std::span<float> parameters = model.parameters();
    for (std::size_t p = 0; p < gradient.size(); ++p) {
      velocity[p] = 0.9f * velocity[p] - rate * gradient[p];
      parameters[p] += velocity[p];
    }
    energy.set_parameters(parameters);  // the chains go on with them
  }

  const double after = likelihood(model);
  std::printf("mean log-likelihood %.3f, %.3f before (the truth: %.3f); acceptance %.2f\n", after, before,
              -ebm::entropy(ebm::Density2d::two_moons), chains.stats().acceptance());
  model.save("own_objective.safetensors");
  return after > before + 0.5 ? 0 : 1;
}
