#include "host/training/checkpoint.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "host/files/safetensors.hpp"
#include "host/files/text.hpp"
#include "tests/files/support.hpp"

namespace ebm {
namespace {

using test::contains;
using test::message_of;

constexpr std::uint64_t kWide = 0xFEDCBA9876543210u;  // needs all 64 bits: a double could not hold it

// Every field another than its default, and every number one that its type holds exactly only with all its digits.
Checkpoint full_checkpoint(bool mala) {
  MlpShape shape;
  shape.dim = 3;
  shape.hidden = {4, 2};
  shape.activation = Activation::elu;
  shape.head = Head::logits;
  shape.outputs = 5;
  shape.confinement = 0.1f;
  Mlp model = Mlp::random(shape, 11);
  model.set_standardization(Standardization{{0.1f, -2, 3}, {0.3f, 1, 1e-6f}});
  model.notes() = {{"author", "s\xc3\xb8meone"}, {"format", "a note may have any name here"}};

  TrainerOptions o;
  o.iterations = 123456789012345;
  o.batch_size = 2;
  o.objective.chain_start = ChainStart::persistent;
  if (mala) {
    o.objective.sampler =
        Mala{.step_size = 0.3f, .jump_prob = 0.1f, .grad_clip = 0.7f, .clamp = Box{{-1, -2, -3}, {1, 2, 3.3f}}};
  } else {
    o.objective.sampler =
        LangevinDynamics{.step_size = 1e-7f, .noise_scale = 0.005f, .grad_clip = 0.03f, .clamp = Box{{-0.1f}, {1.1f}}};
  }
  o.objective.n_steps = 77;
  o.objective.energy_reg = 0.01f;
  o.objective.difference_prob = 0.2f;
  o.objective.target_acceptance = 0.55f;
  o.objective.buffer = {.capacity = 3, .reinit_prob = 0.07f};
  o.objective.buffer_start = BufferStart::data;
  o.optimizer = {.learning_rate = 1e-4f,
                 .beta1 = 0.8f,
                 .beta2 = 0.95f,
                 .epsilon = 1e-9f,
                 .weight_decay = 0.02f,
                 .grad_norm_clip = 1.5f,
                 .warmup = 500,
                 .decay = LearningRateDecay::linear};
  o.ema = 0.995f;
  o.dequantize = 0.0625f;
  o.data_noise = 0.25f;
  o.seed = kWide;
  o.log_every = 13;
  o.held_out = {.checks = 7, .keep = KeptModel::last, .patience = 3};

  TrainingState s;
  s.iteration = 98765432109876;
  s.step_size = 0.0123456789f;
  const std::size_t n = shape.parameter_count();
  for (std::size_t i = 0; i < n; ++i) {
    s.parameters.push_back(0.1f * static_cast<float>(i));
    s.adam_m.push_back(-1e-40f * static_cast<float>(i));
    s.adam_v.push_back(i == 3 ? INFINITY : 1e-7f * static_cast<float>(i));
    s.ema.push_back(1.0f / static_cast<float>(i + 1));
  }
  for (int i = 0; i < 9; ++i) s.buffer_x.push_back(static_cast<float>(i) / 7);
  s.buffer_steps = {0, (std::uint64_t{1} << 48) - 1, 123456789012};
  ChainStats stats{kWide, 1, kWide - 2, {{{3, kWide - 4}, {5, kWide - 6}, {7, kWide - 8}}}};
  HeldOutState held_out{kWide - 11, 5, -88.125, -89.0625, 2, s.ema};
  o.on_divergence = OnDivergence::rollback;
  TrainingState good = s;
  good.iteration -= 5;
  good.step_size = 0.5f;
  good.parameters[1] = -7;
  good.buffer_steps[1] -= 3;
  return {std::move(model),   o, std::move(s), stats, kWide - 9, 3, "acceptance 0.01 is below 0.05", std::move(good),
          std::move(held_out)};
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return std::ranges::equal(std::as_bytes(std::span(a)), std::as_bytes(std::span(b)));
}

void expect_same_box(const std::optional<Box>& a, const std::optional<Box>& b) {
  ASSERT_EQ(a.has_value(), b.has_value());
  EXPECT_TRUE(!a || (a->lo == b->lo && a->hi == b->hi));
}

void expect_same_sampler(const Sampler& a, const Sampler& b) {
  ASSERT_EQ(a.index(), b.index());
  if (const auto* x = std::get_if<Mala>(&a)) {
    const auto& y = std::get<Mala>(b);
    EXPECT_TRUE(x->step_size == y.step_size && x->jump_prob == y.jump_prob && x->grad_clip == y.grad_clip);
    expect_same_box(x->clamp, y.clamp);
  } else {
    const auto &l = std::get<LangevinDynamics>(a), &m = std::get<LangevinDynamics>(b);
    EXPECT_TRUE(l.step_size == m.step_size && l.noise_scale == m.noise_scale && l.grad_clip == m.grad_clip);
    expect_same_box(l.clamp, m.clamp);
  }
}

void expect_same_options(const TrainerOptions& a, const TrainerOptions& b) {
  EXPECT_TRUE(a.iterations == b.iterations && a.batch_size == b.batch_size && a.ema == b.ema &&
              a.dequantize == b.dequantize && a.data_noise == b.data_noise && a.seed == b.seed &&
              a.log_every == b.log_every);
  const auto &p = a.objective, &q = b.objective;
  expect_same_sampler(p.sampler, q.sampler);
  EXPECT_TRUE(p.chain_start == q.chain_start && p.n_steps == q.n_steps && p.energy_reg == q.energy_reg &&
              p.difference_prob == q.difference_prob && p.target_acceptance == q.target_acceptance &&
              p.buffer.capacity == q.buffer.capacity && p.buffer.reinit_prob == q.buffer.reinit_prob &&
              p.buffer_start == q.buffer_start);
  const auto &m = a.optimizer, &n = b.optimizer;
  EXPECT_TRUE(m.learning_rate == n.learning_rate && m.beta1 == n.beta1 && m.beta2 == n.beta2 &&
              m.epsilon == n.epsilon && m.weight_decay == n.weight_decay && m.grad_norm_clip == n.grad_norm_clip &&
              m.warmup == n.warmup && m.decay == n.decay);
}

void expect_same(const Checkpoint& a, const Checkpoint& b) {
  EXPECT_EQ(a.model.shape(), b.model.shape());
  EXPECT_EQ(a.model.standardization(), b.model.standardization());
  EXPECT_EQ(a.model.notes(), b.model.notes());
  expect_same_options(a.options, b.options);
  EXPECT_EQ(a.state.iteration, b.state.iteration);
  EXPECT_EQ(a.state.step_size, b.state.step_size);
  EXPECT_TRUE(same_bits(a.state.parameters, b.state.parameters));
  EXPECT_TRUE(same_bits(a.state.adam_m, b.state.adam_m));
  EXPECT_TRUE(same_bits(a.state.adam_v, b.state.adam_v));
  EXPECT_TRUE(same_bits(a.state.ema, b.state.ema));
  EXPECT_TRUE(same_bits(a.state.buffer_x, b.state.buffer_x));
  EXPECT_EQ(a.state.buffer_steps, b.state.buffer_steps);
  EXPECT_EQ(a.since_log, b.since_log);
  EXPECT_EQ(a.fingerprint, b.fingerprint);
  EXPECT_EQ(a.rollbacks, b.rollbacks);
  EXPECT_EQ(a.diverged, b.diverged);
  ASSERT_EQ(a.good.has_value(), b.good.has_value());
  EXPECT_TRUE(!a.good || (a.good->iteration == b.good->iteration && a.good->step_size == b.good->step_size &&
                          same_bits(a.good->parameters, b.good->parameters)));
  EXPECT_EQ(a.held_out, b.held_out);
  EXPECT_TRUE(a.options.held_out.checks == b.options.held_out.checks &&
              a.options.held_out.keep == b.options.held_out.keep &&
              a.options.held_out.patience == b.options.held_out.patience);
}

TEST(Checkpoint, EveryFieldRoundTrips) {
  const test::TemporaryDirectory directory;
  for (const bool mala : {true, false}) {
    const Checkpoint checkpoint = full_checkpoint(mala);
    write_checkpoint(directory / "c", checkpoint);
    const Checkpoint back = read_checkpoint(directory / "c");
    expect_same(checkpoint, back);
    EXPECT_TRUE(
        same_bits({back.model.parameters().begin(), back.model.parameters().end()}, checkpoint.state.parameters));
    // Written again, it is the same file: nothing was lost that a comparison above forgot.
    write_checkpoint(directory / "d", back);
    EXPECT_EQ(test::read_bytes(directory / "c"), test::read_bytes(directory / "d"));
  }
}

// `full_checkpoint` with replicas, on a ladder that is given or not.
Checkpoint tempered_checkpoint(bool ladder) {
  Checkpoint checkpoint = full_checkpoint(true);
  Tempering& tempering =
      checkpoint.options.objective.tempering.emplace(Tempering{.replicas = 2, .swap_every = 7, .hottest = 0.3f});
  if (ladder) tempering.inverse_temperatures = std::vector<float>{1.0f, 0.45f};
  for (TrainingState* state : {&checkpoint.state, &*checkpoint.good}) {
    state->buffer_x.resize(2 * 3 * 3, 0.5f);
  }
  checkpoint.since_log.swaps = {kWide - 10, 12};
  return checkpoint;
}

TEST(Checkpoint, ReplicasRoundTrip) {
  const test::TemporaryDirectory directory;
  for (const bool ladder : {true, false}) {
    const Checkpoint checkpoint = tempered_checkpoint(ladder);
    write_checkpoint(directory / "c", checkpoint);
    const Checkpoint back = read_checkpoint(directory / "c");
    expect_same(checkpoint, back);
    ASSERT_TRUE(back.options.objective.tempering);
    const Tempering &a = *checkpoint.options.objective.tempering, &b = *back.options.objective.tempering;
    EXPECT_TRUE(a.replicas == b.replicas && a.swap_every == b.swap_every && a.hottest == b.hottest &&
                a.inverse_temperatures == b.inverse_temperatures);
  }
}

TEST(Checkpoint, TransformsRoundTrip) {
  const test::TemporaryDirectory directory;
  Matrix x(40, 3);
  for (std::size_t k = 0; k < 120; ++k) x.values()[k] = static_cast<float>((k * k) % 17);
  for (const auto kind : {TransformKind::whiten, TransformKind::marginals, TransformKind::marginals_whiten}) {
    Checkpoint checkpoint = full_checkpoint(true);
    checkpoint.model.set_transform(Transform::fit(kind, x, {.dequantize = 0.5f}));
    write_checkpoint(directory / "c", checkpoint);
    const Checkpoint back = read_checkpoint(directory / "c");
    expect_same(checkpoint, back);
    EXPECT_EQ(back.model.transform().kind(), kind);
    EXPECT_EQ(back.model.to_model_space(x), checkpoint.model.to_model_space(x));
  }
}

TEST(Checkpoint, WhatIsUnsetStaysUnset) {
  const test::TemporaryDirectory directory;
  Checkpoint checkpoint = full_checkpoint(true);
  for (const auto start : {ChainStart::data, ChainStart::fresh}) {
    for (const bool mala : {true, false}) {
      checkpoint.model.set_standardization(std::nullopt);
      checkpoint.model.notes().clear();
      checkpoint.options.objective.sampler = mala ? Sampler(Mala{}) : Sampler(LangevinDynamics{});
      checkpoint.options.objective.target_acceptance.reset();
      checkpoint.options.objective.chain_start = start;
      checkpoint.options.optimizer.decay = LearningRateDecay::constant;
      checkpoint.options.ema = 0;
      checkpoint.good.reset();
      checkpoint.state.ema.clear();
      checkpoint.state.buffer_x.clear();
      checkpoint.state.buffer_steps.clear();
      write_checkpoint(directory / "c", checkpoint);
      expect_same(checkpoint, read_checkpoint(directory / "c"));
    }
  }
}

// A checkpoint taken apart, to be put together wrongly.
struct Parts {
  struct Tensor {
    Dtype dtype;
    std::vector<std::uint64_t> shape;
    std::vector<std::byte> bytes;
  };
  std::map<std::string, std::string> metadata;
  std::map<std::string, Tensor> tensors;

  explicit Parts(const std::filesystem::path& path) {
    const SafetensorsReader reader{InputFile(path)};
    metadata = reader.metadata();
    for (const TensorInfo& info : reader.tensors()) {
      Tensor tensor{info.dtype, info.shape, std::vector<std::byte>(info.end - info.begin)};
      if (info.dtype == Dtype::f32) {
        const auto values = reader.read<float>(info);
        std::memcpy(tensor.bytes.data(), values.data(), tensor.bytes.size());
      } else {
        const auto values = reader.read<std::uint64_t>(info);
        std::memcpy(tensor.bytes.data(), values.data(), tensor.bytes.size());
      }
      tensors[info.name] = std::move(tensor);
    }
  }
  void write(const std::filesystem::path& path) const {
    std::vector<TensorData> data;
    for (const auto& [name, t] : tensors) data.push_back({name, t.dtype, t.shape, t.bytes});
    write_safetensors(path, std::move(data), metadata);
  }
};

class CheckpointMistakes : public ::testing::Test {
 protected:
  CheckpointMistakes() { write_checkpoint(directory_ / "good", full_checkpoint(true)); }
  Parts good() const { return Parts(directory_ / "good"); }
  std::string refusal(const Parts& parts) const {
    parts.write(directory_ / "bad");
    return message_of<FormatError>([&] { read_checkpoint(directory_ / "bad"); });
  }
  test::TemporaryDirectory directory_;
};

TEST_F(CheckpointMistakes, EveryMissingKeyOfReplicasIsNamed) {
  write_checkpoint(directory_ / "tempered", tempered_checkpoint(true));
  const Parts whole(directory_ / "tempered");
  for (const char* key : {"tempering.replicas", "tempering.swap_every", "tempering.hottest", "since_log.swaps_proposed",
                          "tempering.inverse_temperatures", "since_log.swaps_accepted"}) {
    Parts parts = whole;
    ASSERT_EQ(parts.metadata.erase(key), 1u) << key;
    EXPECT_TRUE(contains(refusal(parts), key)) << key << ": " << refusal(parts);
  }
  Parts parts = whole;
  parts.metadata["tempering.replicas"] = "3";
  EXPECT_TRUE(contains(refusal(parts), "buffer.x"));
}

TEST_F(CheckpointMistakes, EveryMissingKeyAndTensorIsNamed) {
  const Parts whole = good();
  EXPECT_GT(whole.metadata.size(), 45u);
  for (const auto& [key, value] : whole.metadata) {
    if (key.starts_with("note.")) continue;
    Parts parts = whole;
    parts.metadata.erase(key);
    EXPECT_TRUE(contains(refusal(parts), key)) << key;
  }
  EXPECT_EQ(whole.tensors.size(), 17u);
  for (const auto& [name, tensor] : whole.tensors) {
    Parts parts = whole;
    parts.tensors.erase(name);
    EXPECT_TRUE(contains(refusal(parts), fmt::format("tensor '{}' is missing", name)));
  }
}

TEST_F(CheckpointMistakes, EveryWrongValueIsNamed) {
  const Parts whole = good();
  for (const auto& [key, value] : whole.metadata) {
    if (key.starts_with("note.") || key == "run.diverged") continue;  // any text
    for (const std::string& bad : std::vector<std::string>{"", "x", value + " ", "99999999999999999999999"}) {
      Parts parts = whole;
      parts.metadata[key] = bad;
      // An enormous number is a good one where the field is a float.
      parts.write(directory_ / "bad");
      try {
        read_checkpoint(directory_ / "bad");
        EXPECT_TRUE(bad.size() == 23 && parse_number<float>(value) && !parse_number<std::uint64_t>(value))
            << key << " = " << bad;
      } catch (const FormatError& error) {
        const std::string last_part = key.substr(key.find('.') + 1);
        EXPECT_TRUE(contains(error.what(), last_part)) << key << " = " << bad;
      }
    }
  }
}

TEST_F(CheckpointMistakes, UnknownKeysAndTensorsAreNamed) {
  Parts parts = good();
  parts.metadata["trainer.iteration"] = "1";
  EXPECT_TRUE(contains(refusal(parts), "__metadata__: unknown key 'trainer.iteration'"));
  parts = good();
  parts.tensors["adam.w"] = parts.tensors["adam.v"];
  EXPECT_TRUE(contains(refusal(parts), "tensor 'adam.w' (byte"));
  parts = good();  // a clamp that the options don't have
  parts.metadata["sampler.clamp"] = "no";
  EXPECT_TRUE(contains(refusal(parts), "tensor 'sampler.clamp.hi'"));
}

TEST_F(CheckpointMistakes, ShapesAndTypesMustFit) {
  for (const char* name : {"parameters", "adam.m", "adam.v", "ema", "buffer.x", "buffer.steps"}) {
    Parts parts = good();
    auto& tensor = parts.tensors[name];
    tensor.shape.insert(tensor.shape.begin(), 1);
    EXPECT_TRUE(contains(refusal(parts), fmt::format("tensor '{}' (byte", name)));
  }
  Parts parts = good();
  parts.tensors["buffer.steps"] = {Dtype::f64, {3}, std::vector<std::byte>(24)};
  EXPECT_TRUE(contains(refusal(parts), "is F64; U64 is what belongs here"));
  parts = good();
  parts.metadata["model.dim"] = "4";
  EXPECT_TRUE(contains(refusal(parts), "tensor 'parameters'"));
  parts = good();
  parts.metadata["model.hidden"] = "8192,8192,8192,8192";  // refused by the size of the tensor, not by an allocation
  EXPECT_TRUE(contains(refusal(parts), "tensor 'parameters'"));
  parts = good();
  parts.metadata["model.hidden"] = "4,0";
  EXPECT_TRUE(contains(refusal(parts), "hidden = 0"));
  parts = good();
  parts.metadata["buffer.capacity"] = "-1";
  EXPECT_TRUE(contains(refusal(parts), "tensor 'buffer.x'"));
}

TEST_F(CheckpointMistakes, StatesThatCouldNotGoOnAreRefusedBothWays) {
  const std::pair<const char*, std::function<void(Checkpoint&)>> changes[] = {
      {"tensor 'parameters': element 2 is nan", [](Checkpoint& c) { c.state.parameters[2] = std::nanf(""); }},
      {"tensor 'ema': element 0 is inf", [](Checkpoint& c) { c.state.ema[0] = INFINITY; }},
      {"tensor 'adam.m': element 1 is -inf", [](Checkpoint& c) { c.state.adam_m[1] = -INFINITY; }},
      {"tensor 'adam.v': element 4 is nan", [](Checkpoint& c) { c.state.adam_v[4] = std::nanf(""); }},
      {"tensor 'adam.v': element 4 is -1", [](Checkpoint& c) { c.state.adam_v[4] = -1; }},
      {"tensor 'buffer.x': element 8 is nan", [](Checkpoint& c) { c.state.buffer_x[8] = std::nanf(""); }},
      {"tensor 'buffer.steps': 281474976710656",
       [](Checkpoint& c) { c.state.buffer_steps[0] = std::uint64_t{1} << 48; }},
      {"state.iteration = -1", [](Checkpoint& c) { c.state.iteration = -1; }},
      {"state.iteration = 123456789012346", [](Checkpoint& c) { c.state.iteration = c.options.iterations + 1; }},
      {"state.step_size = 0", [](Checkpoint& c) { c.state.step_size = 0; }},
      {"state.step_size = nan", [](Checkpoint& c) { c.state.step_size = std::nanf(""); }}};
  const std::string before = test::read_bytes(directory_ / "good");
  for (const auto& [expected, change] : changes) {
    Checkpoint bad = full_checkpoint(true);
    change(bad);
    EXPECT_TRUE(contains(message_of<WriteError>([&] { write_checkpoint(directory_ / "good", bad); }), expected));
    EXPECT_EQ(test::read_bytes(directory_ / "good"), before);
  }
  const float nan = std::nanf("");
  for (const char* name : {"parameters", "ema", "adam.m", "adam.v", "buffer.x"}) {
    Parts parts = good();
    std::memcpy(parts.tensors[name].bytes.data(), &nan, 4);
    EXPECT_TRUE(contains(refusal(parts), fmt::format("tensor '{}': element 0 is nan", name)));
  }
  Parts parts = good();
  std::memset(parts.tensors["buffer.steps"].bytes.data(), 0xFF, 8);
  EXPECT_TRUE(contains(refusal(parts), "tensor 'buffer.steps'"));
  parts = good();
  std::memcpy(parts.tensors["good.ema"].bytes.data(), &nan, 4);
  EXPECT_TRUE(contains(refusal(parts), "tensor 'good.ema': element 0 is nan"));
  parts = good();
  parts.metadata["run.rollbacks"] = "6";
  EXPECT_TRUE(contains(refusal(parts), "run.rollbacks = 6: must be in 0 .. 5"));
  parts = good();
  parts.metadata["state.iteration"] = "123456789012346";
  EXPECT_TRUE(contains(refusal(parts), "state.iteration = 123456789012346: must be in 0 .. 123456789012345"));
}

TEST_F(CheckpointMistakes, OtherFilesAreToldApart) {
  Mlp(full_checkpoint(true).model.shape()).save(directory_ / "m");
  EXPECT_TRUE(
      contains(message_of<FormatError>([&] { read_checkpoint(directory_ / "m"); }), "format is 'ebmcuda', not"));
  EXPECT_TRUE(
      contains(message_of<FormatError>([&] { Mlp::load(directory_ / "good"); }), "format is 'ebmcuda checkpoint'"));
  Parts parts = good();
  parts.metadata["version"] = "5";
  EXPECT_TRUE(contains(refusal(parts), "version is '5'; this library reads 1, 2, 3, 4"));
  EXPECT_TRUE(contains(message_of<FormatError>([&] { read_checkpoint(directory_ / "none"); }), "No such file"));
}

// What version 0.1 of the library wrote: no divergence policy, nothing held out, standardised coordinates only.
TEST_F(CheckpointMistakes, TheFirstVersionIsReadWithDefaultsForWhatItLacks) {
  Parts parts = good();
  parts.metadata["version"] = "1";
  std::erase_if(parts.metadata, [](const auto& field) {
    return field.first.starts_with("run.") || field.first.starts_with("held_out.") ||
           field.first == "trainer.on_divergence" || field.first == "trainer.data_noise" ||
           field.first == "good.state.iteration" || field.first == "good.state.step_size" ||
           field.first == "data.transform" || field.first == "buffer.start";
  });
  std::erase_if(parts.tensors, [](const auto& tensor) {
    return tensor.first.starts_with("good.") || tensor.first.starts_with("held_out.");
  });
  parts.write(directory_ / "first");
  const Checkpoint read = read_checkpoint(directory_ / "first");
  const Checkpoint expected = full_checkpoint(true);
  EXPECT_EQ(read.state.parameters, expected.state.parameters);
  EXPECT_EQ(read.state.buffer_x, expected.state.buffer_x);
  EXPECT_EQ(read.state.iteration, expected.state.iteration);
  EXPECT_EQ(read.options.batch_size, expected.options.batch_size);
  EXPECT_EQ(read.model.standardization(), expected.model.standardization());
  EXPECT_EQ(read.options.on_divergence, OnDivergence::warn);
  EXPECT_EQ(read.options.data_noise, 0);
  EXPECT_EQ(read.options.objective.buffer_start, BufferStart::uniform);
  EXPECT_EQ(read.rollbacks, 0);
  EXPECT_FALSE(read.good);
}

TEST_F(CheckpointMistakes, EveryTruncationIsRefused) {
  const std::string bytes = test::read_bytes(directory_ / "good");
  EXPECT_NO_THROW(read_checkpoint(test::in_memory(bytes)));
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    const std::string cut = bytes.substr(0, n);
    EXPECT_THROW(read_checkpoint(test::in_memory(cut)), FormatError) << n;
  }
}

}  // namespace
}  // namespace ebm
