#include <cstdio>
#include <ebmcuda/ebmcuda.hpp>

int main() {
  const ebm::Matrix data = ebm::draw(ebm::Density2d::two_moons, 8192, /*seed=*/0);

  ebm::Mlp net = ebm::Mlp::random({.dim = 2, .hidden = {64, 64}, .confinement = 0.1f}, /*seed=*/0,
                                  ebm::default_first_layer_scale(2));
  net.set_standardization(ebm::standardization_of(data));
  auto options = ebm::TrainerOptions::defaults(2);
  options.iterations = 500;

  ebm::Trainer trainer(net, data, options);  // on a GPU when there is one, else on the CPU
  trainer.fit([](const ebm::TrainProgress& p) {
    std::printf("%ld: energy gap %+.3f, acceptance %.2f\n", static_cast<long>(p.iteration), p.energy_gap(),
                p.stats.acceptance());
    return true;  // false stops
  });
  const ebm::Mlp model = trainer.model();
  model.save("moons.safetensors");

  const double log_z = ebm::quadrature_log_z(model, {}, data).log_z;
  std::printf("mean log-likelihood %.3f (the truth: %.3f)\n", ebm::log_likelihood(model, data, log_z).mean,
              -ebm::entropy(ebm::Density2d::two_moons));

  ebm::SampleOptions chains{.n_chains = 1000, .n_steps = 1000, .seed = 1};
  const ebm::SampleResult samples = ebm::sample(model, ebm::Mala{.step_size = 0.02f, .jump_prob = 0.1f}, chains);
  ebm::write_matrix("samples.npy", samples.x);
}
