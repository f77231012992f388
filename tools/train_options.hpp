// The options of `ebm train`, and how they become a model and TrainerOptions. Unset options take the library's
// measured defaults, which depend on the dimension of the data, so every one is optional here.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ebmcuda/trainer.hpp"
#include "tools/held_out_options.hpp"
#include "tools/inputs.hpp"
#include "tools/sampler_options.hpp"
#include "tools/transform_options.hpp"

namespace ebm::tools {

struct TrainSettings {
  // model
  std::optional<std::vector<int>> hidden;
  std::optional<Activation> activation;
  std::optional<Head> head;
  std::optional<int> classes;
  std::optional<float> confinement, init_scale;
  std::optional<std::filesystem::path> init_model;
  TransformOption transform;
  // objective
  SamplerOptions sampler;
  std::optional<ChainStart> chain_start;
  std::optional<BufferStart> buffer_start;
  std::optional<std::int64_t> langevin_steps, buffer_size;
  std::optional<float> energy_reg, difference_prob, reinit_prob;
  std::optional<std::string> target_acceptance;  // a number, or off
  // optimiser
  std::optional<std::int64_t> steps, batch_size, warmup, log_every;
  std::optional<float> learning_rate, beta1, beta2, weight_decay, grad_norm_clip, ema, dequantize, data_noise;
  std::optional<LearningRateDecay> decay;
  std::optional<OnDivergence> on_divergence;

  HeldOutSettings held_out;

  void add(CommandLine& line);

  // `base` with the given options applied. A change of sampler brings that sampler's own recipe along: for langevin
  // restarts with probability 0.05 and no moves.
  TrainerOptions apply(TrainerOptions base, std::optional<std::uint64_t> seed) const;
  MlpShape apply(MlpShape base, const Data& data) const;
  // The model that training starts from. Throws ConfigError. The console hears which transform it got, and why.
  Mlp initial_model(const Data& data, std::uint64_t seed, const Console& console) const;
};

// Every setting by its option's name, as text: two runs have equal settings when the lists are equal.
using SettingList = std::vector<std::pair<std::string, std::string>>;
SettingList settings_of(const TrainerOptions& options, const MlpShape& shape, TransformKind transform);

// Throws ConfigError naming the first option given that a checkpoint (its options, model) contradicts.
void require_no_contradiction(const TrainSettings& given, std::optional<std::uint64_t> seed, const Data& data,
                              const TrainerOptions& options, const Mlp& model);

}  // namespace ebm::tools
