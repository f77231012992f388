#include "support/training_pair.hpp"

#include "host/sampling/transition.hpp"
#include "support/networks.hpp"

namespace support {

ref::Training to_reference(const ebm::Mlp& model, ebm::MatrixView data, const ebm::TrainerOptions& options,
                           std::span<const int> labels) {
  const ebm::ContrastiveDivergence& objective = options.objective;
  ref::Plan plan;
  plan.iterations = options.iterations;
  plan.batch_size = options.batch_size;
  switch (objective.chain_start) {
    case ebm::ChainStart::persistent:
      plan.start = ref::Start::persistent;
      plan.capacity = static_cast<std::uint64_t>(objective.buffer.capacity);
      plan.reinit_prob = static_cast<double>(objective.buffer.reinit_prob);
      break;
    case ebm::ChainStart::data:
      plan.start = ref::Start::data;
      break;
    case ebm::ChainStart::fresh:
      plan.start = ref::Start::fresh;
      break;
  }
  plan.kernel = to_reference(ebm::resolve(objective.sampler, model));
  plan.kernel.difference_prob = static_cast<double>(objective.difference_prob);
  plan.n_steps = static_cast<int>(objective.n_steps);
  if (objective.tempering) {
    plan.ladder =
        to_reference(objective.tempering->inverse_temperatures.value_or(objective.tempering->geometric_ladder()));
    plan.swap_every = static_cast<int>(objective.tempering->swap_every);
  }
  plan.energy_reg = static_cast<double>(objective.energy_reg);
  if (objective.target_acceptance) plan.target_acceptance = static_cast<double>(*objective.target_acceptance);
  plan.adam.learning_rate = static_cast<double>(options.optimizer.learning_rate);
  plan.adam.beta1 = static_cast<double>(options.optimizer.beta1);
  plan.adam.beta2 = static_cast<double>(options.optimizer.beta2);
  plan.adam.epsilon = static_cast<double>(options.optimizer.epsilon);
  plan.adam.weight_decay = static_cast<double>(options.optimizer.weight_decay);
  plan.adam.grad_norm_clip = static_cast<double>(options.optimizer.grad_norm_clip);
  plan.adam.warmup = static_cast<int>(options.optimizer.warmup);
  using Decay = ref::AdamSettings::Decay;
  plan.adam.decay = options.optimizer.decay == ebm::LearningRateDecay::constant ? Decay::constant
                    : options.optimizer.decay == ebm::LearningRateDecay::cosine ? Decay::cosine
                                                                                : Decay::linear;
  plan.ema = static_cast<double>(options.ema);
  plan.data_noise = static_cast<double>(options.data_noise);
  plan.seed = options.seed;

  std::vector<ref::Vector> points = to_reference(data);
  const auto dim = static_cast<std::size_t>(model.dim());
  if (options.dequantize > 0) plan.dequantize.assign(dim, static_cast<double>(options.dequantize));
  if (const auto& map = model.standardization()) {
    for (std::size_t d = 0; d < dim; ++d) {
      const double mean = static_cast<double>(map->mean[d]), std = static_cast<double>(map->std[d]);
      for (ref::Vector& x : points) x[d] = (x[d] - mean) / std;
      if (options.dequantize > 0) plan.dequantize[d] /= std;
    }
  }
  return ref::Training(plan, to_reference(model), std::move(points), {labels.begin(), labels.end()});
}

ebm::TrainerOptions plain_training(std::int64_t iterations, std::int64_t batch_size) {
  ebm::TrainerOptions options;
  options.iterations = iterations;
  options.batch_size = batch_size;
  options.objective.sampler =
      ebm::LangevinDynamics{.step_size = 0.02f, .noise_scale = {}, .grad_clip = {}, .clamp = {}};
  options.objective.target_acceptance.reset();
  options.objective.n_steps = 4;
  options.objective.buffer.capacity = 100;
  options.optimizer.decay = ebm::LearningRateDecay::constant;
  options.optimizer.learning_rate = 0.01f;
  options.ema = 0;
  options.log_every = 1;
  return options;
}

}  // namespace support
