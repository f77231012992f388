#include "tools/train_options.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "ebmcuda/error.hpp"
#include "tools/model_options.hpp"

namespace ebm::tools {
namespace {

float parse_acceptance(const std::string& text) {
  float value = 0;
  parse("--target-acceptance", text, value);
  return value;
}

std::string text_of(const std::optional<float>& value) { return value ? fmt::format("{}", *value) : "off"; }

template <class To, class From>
void assign(To& to, const std::optional<From>& from) {
  if (from) to = *from;
}

}  // namespace

void TrainSettings::add(CommandLine& line) {
  line.group("Model");
  line.add("--hidden", hidden, "W,...", "widths of 1 to 16 hidden layers (default 128,128)");
  line.add_choice(
      "--activation", activation, [](auto text, auto field) { return parse_activation(text, field); },
      "silu softplus tanh gelu elu or relu (default silu)");
  line.add_choice(
      "--head", head, [](auto text, auto field) { return parse_head(text, field); },
      "scalar, or logits: a classifier read as an energy (default scalar)");
  line.add("--classes", classes, "C", "logits: number of classes (default: largest label + 1)");
  line.add("--confinement", confinement, "K", "K/2 |x|^2 is added to the energy (default by D)");
  line.add("--init-scale", init_scale, "S", "multiplies the first layer's initial weights (default by D)");
  line.add("--init-model", init_model, "FILE", "start from this model's parameters and shape");
  transform.add(line);

  sampler.add(line);  // begins the group "Chains"
  sampler.add_tempering(line);
  line.add("--langevin-steps", langevin_steps, "K", "steps of every chain per iteration");
  line.add_choice(
      "--chain-start", chain_start, [](auto text, auto field) { return parse_chain_start(text, field); },
      "persistent (replay buffer), data (CD-K) or fresh (default persistent)");
  line.add("--buffer-size", buffer_size, "N", "slots of the replay buffer (default 10000)");
  line.add_choice(
      "--buffer-start", buffer_start, [](auto text, auto field) { return parse_buffer_start(text, field); },
      "where its slots begin: uniform (+-3 deviations), gaussian or data (default by D)");
  line.add("--reinit-prob", reinit_prob, "P",
           "a drawn slot starts afresh with this probability (default 0.05 for langevin)");
  line.add("--difference-prob", difference_prob, "J",
           "mala: share of steps that propose x + d_a - d_b with two training points");
  line.add("--target-acceptance", target_acceptance, "A",
           "mala: the step size follows this acceptance rate; off keeps it (default 0.7)");

  line.group("Optimiser");
  line.add("--steps", steps, "N", "training iterations");
  line.add("--batch-size", batch_size, "N", "data points and chains per iteration");
  line.add("--learning-rate", learning_rate, "R", "Adam's learning rate");
  line.add_choice(
      "--decay", decay, [](auto text, auto field) { return parse_learning_rate_decay(text, field); },
      "of the rate: constant, cosine or linear (default cosine)");
  line.add("--warmup", warmup, "N", "iterations over which the rate grows from 0 (default 0)");
  line.add("--beta1", beta1, "B", "Adam's first decay rate (default 0.9)");
  line.add("--beta2", beta2, "B", "Adam's second decay rate (default 0.999)");
  line.add("--weight-decay", weight_decay, "W", "decoupled weight decay (default 0)");
  line.add("--grad-norm-clip", grad_norm_clip, "C", "shorten longer gradients to norm C; 0: off");
  line.add("--energy-reg", energy_reg, "R", "weight of the squared energies in the loss (default 0)");
  line.add("--ema", ema, "D", "decay of the parameters' moving average, which is saved; 0: off");
  line.add("--dequantize", dequantize, "W", "add uniform noise in [0, W) at every visit of a point");
  line.add("--data-noise", data_noise, "S",
           "add Gaussian noise of this deviation, model space, at every visit (default 0)");
  line.add_choice(
      "--on-divergence", on_divergence, [](auto text, auto field) { return parse_on_divergence(text, field); },
      "warn, stop (at the last good state) or rollback (to it, with a quarter of the learning rate) (default warn)");
  held_out.add(line);
}

TrainerOptions TrainSettings::apply(TrainerOptions base, std::optional<std::uint64_t> seed) const {
  ContrastiveDivergence& objective = base.objective;
  objective.tempering = sampler.tempering_or_none(objective.tempering);
  const bool could_move = is_metropolis(kind_of(objective.sampler));
  objective.sampler = sampler.apply(objective.sampler);
  const SamplerKind kind = kind_of(objective.sampler);
  if (could_move && !is_metropolis(kind)) {
    objective.difference_prob = 0;
    objective.buffer.reinit_prob = ReplayBufferOptions{}.reinit_prob;
  }
  if (!is_metropolis(kind) && target_acceptance && *target_acceptance != "off") {
    throw ConfigError(
        "--target-acceptance", *target_acceptance,
        fmt::format("{} accepts every step; only --sampler {} adapts", to_string(kind), metropolis_names()));
  }
  if (target_acceptance) {
    objective.target_acceptance.reset();
    if (*target_acceptance != "off") objective.target_acceptance = parse_acceptance(*target_acceptance);
  }
  assign(objective.chain_start, chain_start);
  if (objective.chain_start != ChainStart::persistent) {
    const std::string why = "only --chain-start persistent has a replay buffer";
    if (buffer_size) throw ConfigError("--buffer-size", fmt::format("{}", *buffer_size), why);
    if (buffer_start) throw ConfigError("--buffer-start", std::string(to_string(*buffer_start)), why);
    if (reinit_prob) throw ConfigError("--reinit-prob", fmt::format("{}", *reinit_prob), why);
  }
  assign(objective.n_steps, langevin_steps);
  assign(objective.buffer.capacity, buffer_size);
  assign(objective.buffer.reinit_prob, reinit_prob);
  assign(objective.buffer_start, buffer_start);
  assign(objective.energy_reg, energy_reg);
  assign(objective.difference_prob, difference_prob);
  assign(base.iterations, steps);
  assign(base.batch_size, batch_size);
  assign(base.optimizer.learning_rate, learning_rate);
  assign(base.optimizer.decay, decay);
  assign(base.optimizer.warmup, warmup);
  assign(base.optimizer.beta1, beta1);
  assign(base.optimizer.beta2, beta2);
  assign(base.optimizer.weight_decay, weight_decay);
  assign(base.optimizer.grad_norm_clip, grad_norm_clip);
  assign(base.ema, ema);
  assign(base.dequantize, dequantize);
  assign(base.data_noise, data_noise);
  assign(base.log_every, log_every);
  assign(base.on_divergence, on_divergence);
  assign(base.held_out.keep, held_out.keep);
  assign(base.held_out.patience, held_out.patience);
  assign(base.seed, seed);
  return base;
}

MlpShape TrainSettings::apply(MlpShape base, const Data& data) const {
  base.dim = static_cast<int>(data.x.cols());
  assign(base.hidden, hidden);
  assign(base.activation, activation);
  assign(base.head, head);
  assign(base.confinement, confinement);
  if (base.head == Head::scalar) {
    if (classes) throw ConfigError("--classes", fmt::format("{}", *classes), "only --head logits has classes");
    base.outputs = 1;
  } else if (classes) {
    base.outputs = *classes;
  } else if (base.outputs < 2) {
    if (data.labels.empty()) {
      throw WrongRequest("--classes is required: --head logits without labels needs their number");
    }
    base.outputs = std::max(*std::ranges::max_element(data.labels) + 1, 2);
  }
  return base;
}

Mlp TrainSettings::initial_model(const Data& data, std::uint64_t seed, const Console& console) const {
  if (init_model) {
    Mlp model = load_model(console, *init_model, {activation, head, confinement});
    require_dimension(fmt::format("--init-model ({}): DATA", init_model->string()), data.x, model);
    const MlpShape wanted = apply(model.shape(), data);
    if (wanted != model.shape()) {
      const SettingList have = settings_of({}, model.shape(), {}), want = settings_of({}, wanted, {});
      const auto [other, own] = std::ranges::mismatch(want, have);
      throw ConfigError("--" + other->first, other->second, fmt::format("--init-model has {}", own->second));
    }
    if (init_scale) throw ConfigError("--init-scale", fmt::format("{}", *init_scale), "--init-model is given too");
    if (const auto kind = transform.kind(); kind && *kind != model.transform().kind()) {
      throw ConfigError("--transform", std::string(to_string(*kind)),
                        fmt::format("--init-model brings its own, {}", to_string(model.transform().kind())));
    }
    model.notes().clear();
    return model;
  }
  MlpShape shape;
  shape.hidden = {128, 128};
  shape.confinement = default_confinement(static_cast<int>(data.x.cols()));
  shape = apply(shape, data);
  Mlp model = Mlp::random(shape, seed, init_scale.value_or(default_first_layer_scale(shape.dim)));
  model.set_transform(transform.fit(data, dequantize.value_or(0.0f), seed, sampler.given("clamp"), console));
  return model;
}

SettingList settings_of(const TrainerOptions& options, const MlpShape& shape, TransformKind transform) {
  SettingList list;
  const auto add = [&](const char* name, const auto& value) { list.emplace_back(name, fmt::format("{}", value)); };
  add("hidden", fmt::format("{}", fmt::join(shape.hidden, ",")));
  add("activation", to_string(shape.activation));
  add("head", to_string(shape.head));
  add("classes", shape.outputs);
  add("confinement", shape.confinement);
  add("transform", to_string(transform));
  const ContrastiveDivergence& objective = options.objective;
  for (auto& setting : settings_of(objective.sampler, objective.tempering)) list.push_back(std::move(setting));
  if (is_metropolis(kind_of(objective.sampler))) add("target-acceptance", text_of(objective.target_acceptance));
  add("chain-start", to_string(objective.chain_start));
  add("langevin-steps", objective.n_steps);
  add("buffer-size", objective.buffer.capacity);
  add("reinit-prob", objective.buffer.reinit_prob);
  add("buffer-start", to_string(objective.buffer_start));
  add("difference-prob", objective.difference_prob);
  add("energy-reg", objective.energy_reg);
  add("steps", options.iterations);
  add("batch-size", options.batch_size);
  add("learning-rate", options.optimizer.learning_rate);
  add("decay", to_string(options.optimizer.decay));
  add("warmup", options.optimizer.warmup);
  add("beta1", options.optimizer.beta1);
  add("beta2", options.optimizer.beta2);
  add("weight-decay", options.optimizer.weight_decay);
  add("grad-norm-clip", options.optimizer.grad_norm_clip);
  add("ema", options.ema);
  add("dequantize", options.dequantize);
  add("data-noise", options.data_noise);
  add("seed", options.seed);
  add("log-every", options.log_every);
  add("on-divergence", to_string(options.on_divergence));
  add("keep", to_string(options.held_out.keep));
  add("patience", options.held_out.patience);
  return list;
}

void require_no_contradiction(const TrainSettings& given, std::optional<std::uint64_t> seed, const Data& data,
                              const TrainerOptions& options, const Mlp& model) {
  const TransformKind transform = model.transform().kind();
  const SettingList have = settings_of(options, model.shape(), transform);
  const SettingList want = settings_of(given.apply(options, seed), given.apply(model.shape(), data),
                                       given.transform.kind().value_or(transform));
  // Sampler kinds have different lists, but those differ at "sampler" first.
  const auto [other, own] = std::ranges::mismatch(want, have);
  if (other == want.end()) return;
  throw ConfigError("--" + other->first, other->second, fmt::format("the checkpoint was made with {}", own->second));
}

}  // namespace ebm::tools
