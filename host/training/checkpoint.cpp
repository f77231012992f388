#include "host/training/checkpoint.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <span>
#include <string>
#include <utility>

#include "host/core/check.hpp"
#include "host/data/transform_parts.hpp"
#include "host/training/checkpoint_archive.hpp"

namespace ebm {
namespace {

const std::string kGoodPrefix = "good.";

// Each visit below takes its struct apart by name, so that a field that is added and forgotten here does not compile.
// One function serves both directions; `Struct` is const when a checkpoint is written.

template <class Archive, class Struct>
void visit_shape(Archive& archive, Struct& shape) {
  auto& [dim, hidden, activation, head, outputs, confinement] = shape;
  archive("model.dim", dim);
  archive("model.hidden", hidden);
  archive("model.activation", activation);
  archive("model.head", head);
  archive("model.outputs", outputs);
  archive("model.confinement", confinement);
}

// The sampler's own list of fields is the list of keys.
template <class Archive>
struct VisitSampler {
  Archive& archive;
  static std::string key(const Parameter& p) { return fmt::format("sampler.{}", p.name); }
  template <class Value>
  void operator()(const Parameter& p, Value& value) const {
    archive(key(p), value);
  }
  template <class OptionalBox>
  requires std::is_same_v<std::remove_const_t<OptionalBox>, std::optional<Box>>
  void operator()(const Parameter& p, OptionalBox& box) const {
    if (!archive.flag(key(p), box.has_value())) return;
    if constexpr (Archive::kReads) box.emplace();
    auto& [lo, hi] = *box;
    archive.tensor(key(p) + ".lo", lo);
    archive.tensor(key(p) + ".hi", hi);
  }
};

template <class Archive>
void visit_sampler(Archive& archive, auto& sampler) {
  SamplerKind kind = kind_of(sampler);
  archive("sampler", kind);
  if constexpr (Archive::kReads) sampler = default_sampler(kind);
  visit_parameters(sampler, VisitSampler<Archive>{archive});
}

// Tempering's own list of fields, where there is tempering: then there are all of them.
template <class Archive>
void visit_tempering(Archive& archive, auto& tempering) {
  const auto key_of = [](const Parameter& p) { return fmt::format("tempering.{}", p.name); };
  if constexpr (Archive::kReads) {
    const Tempering names;
    Tempering::parameters(names, [&](const Parameter& p, const auto&) {
      if (archive.has(key_of(p))) tempering.emplace();
    });
  }
  if (!tempering) return;
  Tempering::parameters(*tempering, [&](const Parameter& p, auto& value) {
    const std::string key = key_of(p);
    if constexpr (std::is_same_v<std::remove_cvref_t<decltype(value)>, std::optional<std::vector<float>>>) {
      if (!archive.flag(key, value.has_value())) return;
      if constexpr (Archive::kReads) value.emplace();
      archive.tensor(key, *value);
    } else {
      archive(key, value);
    }
  });
}

template <class Archive, class Struct>
void visit_objective(Archive& archive, Struct& objective) {
  auto& [chain_start, sampler, n_steps, energy_reg, difference_prob, target_acceptance, buffer, tempering,
         buffer_start] = objective;
  archive("objective.chain_start", chain_start);
  visit_sampler(archive, sampler);
  archive("objective.n_steps", n_steps);
  archive("objective.energy_reg", energy_reg);
  archive("objective.difference_prob", difference_prob);
  archive("objective.target_acceptance", target_acceptance);
  auto& [capacity, reinit_prob] = buffer;
  archive("buffer.capacity", capacity);
  archive("buffer.reinit_prob", reinit_prob);
  if (archive.since(4)) archive("buffer.start", buffer_start);
  visit_tempering(archive, tempering);
}

template <class Archive, class Struct>
void visit_optimizer(Archive& archive, Struct& optimizer) {
  auto& [learning_rate, beta1, beta2, epsilon, weight_decay, grad_norm_clip, warmup, decay] = optimizer;
  archive("optimizer.learning_rate", learning_rate);
  archive("optimizer.beta1", beta1);
  archive("optimizer.beta2", beta2);
  archive("optimizer.epsilon", epsilon);
  archive("optimizer.weight_decay", weight_decay);
  archive("optimizer.grad_norm_clip", grad_norm_clip);
  archive("optimizer.warmup", warmup);
  archive("optimizer.decay", decay);
}

// Whether the archive has any of these keys, which older checkpoints lack; a written one always has them all.
template <class Archive>
bool has_any(const Archive& archive, std::initializer_list<const char*> keys) {
  if constexpr (Archive::kReads) return std::ranges::any_of(keys, [&](const char* key) { return archive.has(key); });
  return true;
}

template <class Archive, class Struct>
void visit_held_out_options(Archive& archive, Struct& options) {
  auto& [checks, keep, patience] = options;
  if (!has_any(archive, {"held_out.checks", "held_out.keep", "held_out.patience"})) return;
  archive("held_out.checks", checks);
  archive("held_out.keep", keep);
  archive("held_out.patience", patience);
}

template <class Archive, class Struct>
void visit_held_out(Archive& archive, Struct& state, std::uint64_t parameters) {
  auto& [fingerprint, best_iteration, best, last, since_best, best_parameters] = state;
  if (!has_any(archive, {"held_out.fingerprint", "held_out.best_iteration", "held_out.best_log_likelihood",
                         "held_out.last_log_likelihood", "held_out.checks_since_best"})) {
    return;
  }
  archive("held_out.fingerprint", fingerprint);
  archive("held_out.best_iteration", best_iteration);
  archive("held_out.best_log_likelihood", best);
  archive("held_out.last_log_likelihood", last);
  archive("held_out.checks_since_best", since_best);
  if (best_iteration == 0) return;
  archive.tensor("held_out.best", best_parameters, {parameters});
  for (const float v : best_parameters) {
    if (!std::isfinite(v)) archive.fail(fmt::format("tensor 'held_out.best' holds {}", v));
  }
}

template <class Archive, class Struct>
void visit_options(Archive& archive, Struct& options) {
  auto& [iterations, batch_size, objective, optimizer, ema, dequantize, data_noise, seed, log_every, on_divergence,
         held_out] = options;
  archive("trainer.iterations", iterations);
  archive("trainer.batch_size", batch_size);
  visit_objective(archive, objective);
  visit_optimizer(archive, optimizer);
  archive("trainer.ema", ema);
  archive("trainer.dequantize", dequantize);
  if (archive.since(3)) archive("trainer.data_noise", data_noise);
  archive("trainer.seed", seed);
  archive("trainer.log_every", log_every);
  if (archive.since(2)) archive("trainer.on_divergence", on_divergence);
  visit_held_out_options(archive, held_out);
}

template <class Archive, class Struct>
void visit_stats(Archive& archive, Struct& stats, bool tempered) {
  auto& [steps, restarts, reinitialized, moves, swaps] = stats;
  archive("since_log.steps", steps);
  archive("since_log.restarts", restarts);
  archive("since_log.reinitialized", reinitialized);
  for (int m = 0; m < kMoves; ++m) {
    auto& [proposed, accepted] = moves[static_cast<std::size_t>(m)];
    const std::string_view prefix = prefix_of(static_cast<Move>(m));
    archive(fmt::format("since_log.{}proposed", prefix), proposed);
    archive(fmt::format("since_log.{}accepted", prefix), accepted);
  }
  if (!tempered) return;
  archive("since_log.swaps_proposed", swaps.proposed);
  archive("since_log.swaps_accepted", swaps.accepted);
}

template <class Archive, class Struct>
void visit_state(Archive& archive, Struct& state, const MlpShape& shape, const TrainerOptions& options,
                 const std::string& prefix = "") {
  auto& [iteration, parameters, adam_m, adam_v, ema, step_size, buffer_x, buffer_steps] = state;
  archive(prefix + "state.iteration", iteration);
  archive(prefix + "state.step_size", step_size);
  const std::uint64_t count = shape.parameter_count();
  archive.tensor(prefix + "parameters", parameters, {count});
  archive.tensor(prefix + "adam.m", adam_m, {count});
  archive.tensor(prefix + "adam.v", adam_v, {count});
  if (options.ema > 0) archive.tensor(prefix + "ema", ema, {count});
  if (options.objective.chain_start == ChainStart::persistent) {
    const auto capacity = static_cast<std::uint64_t>(options.objective.buffer.capacity);
    std::vector<std::uint64_t> axes{capacity, static_cast<std::uint64_t>(shape.dim)};
    if (options.objective.tempering) {
      axes.insert(axes.begin() + 1, static_cast<std::uint64_t>(options.objective.replicas()));
    }
    archive.tensor(prefix + "buffer.x", buffer_x, axes);
    archive.tensor(prefix + "buffer.steps", buffer_steps, {capacity});
  }
}

// The shape of a transform's array; empty for one axis.
std::vector<std::uint64_t> axes_of(const MlpShape& shape, int axes) {
  const auto dim = static_cast<std::uint64_t>(shape.dim);
  return axes == 2 ? std::vector{dim, dim} : std::vector<std::uint64_t>();
}

// What training never produces. A checkpoint that can't be resumed must not take the place of one that can, so this is
// asked before writing, too. Adam's second moment may overflow to infinity, which only means no step for that
// parameter.
template <class Archive>
void check_state(const Archive& archive, const TrainingState& state, const TrainerOptions& options,
                 const std::string& prefix = "") {
  const auto check = [&](std::string_view name, std::span<const float> values, auto good) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (!good(values[i])) archive.fail(fmt::format("tensor '{}{}': element {} is {}", prefix, name, i, values[i]));
    }
  };
  const auto is_finite = [](float v) { return std::isfinite(v); };
  check("parameters", state.parameters, is_finite);
  check("ema", state.ema, is_finite);
  check("buffer.x", state.buffer_x, is_finite);
  check("adam.m", state.adam_m, is_finite);
  check("adam.v", state.adam_v, [](float v) { return v >= 0; });
  for (const std::uint64_t step : state.buffer_steps) {
    if (step >> 48 != 0) archive.fail(fmt::format("tensor '{}buffer.steps': {} is not below 2^48", prefix, step));
  }
  if (state.iteration < 0 || state.iteration > options.iterations) {
    archive.fail(
        fmt::format("{}state.iteration = {}: must be in 0 .. {}", prefix, state.iteration, options.iterations));
  }
  if (!(std::isfinite(state.step_size) && state.step_size > 0)) {
    archive.fail(fmt::format("{}state.step_size = {}: must be finite and > 0", prefix, state.step_size));
  }
}

}  // namespace

void write_checkpoint(const std::filesystem::path& path, const Checkpoint& checkpoint) {
  auto& [model, options, state, since_log, fingerprint, rollbacks, diverged, good, held_out] = checkpoint;
  CheckpointWriter archive(path);
  visit_shape(archive, model.shape());
  visit_options(archive, options);
  check_state(archive, state, options);
  visit_state(archive, state, model.shape(), options);
  visit_stats(archive, since_log, options.objective.tempering.has_value());
  visit_held_out(archive, held_out, model.shape().parameter_count());
  archive("data.fingerprint", fingerprint);
  archive("run.rollbacks", rollbacks);
  archive("run.diverged", diverged);
  if (archive.flag("run.good", good.has_value())) {
    check_state(archive, *good, options, kGoodPrefix);
    visit_state(archive, *good, model.shape(), options, kGoodPrefix);
  }
  if (archive.flag("data.standardized", model.standardization().has_value())) {
    archive.tensor("data.mean", model.standardization()->mean);
    archive.tensor("data.std", model.standardization()->std);
  }
  const TransformKind transform = model.transform().kind();
  const TransformArrays arrays = arrays_of(model.transform());
  if (model.transform().parts() != nullptr) archive("data.transform", transform);
  visit_arrays(transform, arrays, [&](const char* name, const auto& values, int axes) {
    archive.tensor(name, values, axes_of(checkpoint.model.shape(), axes));
  });
  archive.notes(model.notes());
  archive.commit();
}

Checkpoint read_checkpoint(const std::filesystem::path& path) { return read_checkpoint(InputFile(path)); }

Checkpoint read_checkpoint(InputFile file) {
  CheckpointReader archive(std::move(file));
  try {
    MlpShape shape;
    visit_shape(archive, shape);
    shape.validate();
    TrainerOptions options;
    visit_options(archive, options);
    TrainingState state;
    visit_state(archive, state, shape, options);
    check_state(archive, state, options);
    ChainStats since_log;
    visit_stats(archive, since_log, options.objective.tempering.has_value());
    HeldOutState held_out;
    visit_held_out(archive, held_out, shape.parameter_count());
    std::uint64_t fingerprint = 0;
    archive("data.fingerprint", fingerprint);
    int rollbacks = 0;
    if (archive.since(2)) archive("run.rollbacks", rollbacks);
    if (rollbacks < 0 || rollbacks > kMaxRollbacks) {
      archive.fail(fmt::format("run.rollbacks = {}: must be in 0 .. {}", rollbacks, kMaxRollbacks));
    }
    std::string diverged;
    if (archive.since(2)) archive("run.diverged", diverged);
    std::optional<TrainingState> good;
    if (archive.since(2) && archive.flag("run.good", false)) {
      visit_state(archive, good.emplace(), shape, options, kGoodPrefix);
      check_state(archive, *good, options, kGoodPrefix);
    }

    // The parameters have been read by now, so the shape is no larger than the file says.
    Mlp model(std::move(shape));
    std::ranges::copy(state.parameters, model.parameters().begin());
    if (archive.flag("data.standardized", false)) {
      Standardization standardization;
      archive.tensor("data.mean", standardization.mean);
      archive.tensor("data.std", standardization.std);
      model.set_standardization(std::move(standardization));
    }
    if (archive.has("data.transform")) {
      TransformKind transform = TransformKind::none;
      archive("data.transform", transform);
      TransformArrays arrays;
      visit_arrays(transform, arrays, [&](const char* name, auto& values, int axes) {
        archive.tensor(name, values, axes_of(model.shape(), axes));
      });
      model.set_transform(transform_of(transform, static_cast<std::size_t>(model.dim()), arrays));
    }
    archive.notes(model.notes());
    archive.finish();
    return {std::move(model), std::move(options),  std::move(state), since_log,          fingerprint,
            rollbacks,        std::move(diverged), std::move(good),  std::move(held_out)};
  } catch (const ConfigError& error) {
    archive.fail(error.what());
  }
}

}  // namespace ebm
