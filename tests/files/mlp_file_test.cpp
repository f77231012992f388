// Model files: our own, PyTorch's, and wrong ones.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "ebmcuda/mlp.hpp"
#include "host/files/safetensors.hpp"
#include "tests/files/support.hpp"

namespace ebm {
namespace {

using test::contains;
using test::message_of;

MlpShape shape_of(int dim, std::vector<int> hidden, Activation activation, int outputs, float confinement) {
  MlpShape shape;
  shape.dim = dim;
  shape.hidden = std::move(hidden);
  shape.activation = activation;
  shape.head = outputs == 1 ? Head::scalar : Head::logits;
  shape.outputs = outputs;
  shape.confinement = confinement;
  return shape;
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return std::ranges::equal(std::as_bytes(a), std::as_bytes(b));
}

// Tensors by name, written as they are: files that Mlp::save would not make.
struct RawFile {
  std::map<std::string, std::pair<std::vector<std::uint64_t>, std::vector<float>>> tensors;
  std::map<std::string, std::string> metadata;

  void add(const std::string& name, std::vector<std::uint64_t> shape, float first = 1.0f) {
    std::size_t count = 1;
    for (const auto axis : shape) count *= axis;
    std::vector<float> values(count);
    for (std::size_t i = 0; i < count; ++i) values[i] = first + static_cast<float>(i);
    tensors[name] = {std::move(shape), std::move(values)};
  }
  void write(const std::filesystem::path& path) const {
    std::vector<TensorData> data;
    for (const auto& [name, tensor] : tensors) {
      data.push_back(TensorData::of(name, tensor.first, std::span<const float>(tensor.second)));
    }
    write_safetensors(path, std::move(data), metadata);
  }
};

// 2 - 3 - 1 as save() writes it.
RawFile own_file() {
  RawFile file;
  file.metadata = {{"format", "ebmcuda"}, {"activation", "tanh"}, {"head", "scalar"}, {"confinement", "0.5"}};
  file.add("net.0.weight", {3, 2}, 10);
  file.add("net.0.bias", {3}, 20);
  file.add("net.1.weight", {1, 3}, 30);
  file.add("net.1.bias", {1}, 40);
  return file;
}

TEST(MlpFile, RoundTripKeepsEveryBit) {
  const test::TemporaryDirectory directory;
  int seed = 0;
  for (const auto activation : {Activation::silu, Activation::softplus, Activation::tanh, Activation::gelu,
                                Activation::elu, Activation::relu}) {
    for (const int outputs : {1, 2, 10}) {
      for (const auto& hidden : {std::vector{1}, {7, 3}, {2, 4, 8}, {5, 1, 6, 3}}) {
        const float confinement = seed % 3 == 0 ? 0.0f : 0.1f * static_cast<float>(seed);
        Mlp model = Mlp::random(shape_of(1 + seed % 5, hidden, activation, outputs, confinement),
                                static_cast<std::uint64_t>(seed));
        model.parameters()[0] = -0.0f;
        model.parameters()[1] = std::numeric_limits<float>::denorm_min();
        model.parameters().back() = -std::numeric_limits<float>::max();
        if (seed % 2 == 0) {
          const auto dim = static_cast<std::size_t>(model.dim());
          model.set_standardization(Standardization{std::vector<float>(dim, 0.1f), std::vector<float>(dim, 1e-30f)});
        }
        if (seed % 5 == 0) model.notes() = {{"sampler", "mala"}, {"caf\xc3\xa9", "a \"quoted\" note\n"}, {"empty", ""}};
        model.save(directory / "m");
        const Mlp back = Mlp::load(directory / "m");
        ASSERT_EQ(back.shape(), model.shape()) << seed;
        ASSERT_TRUE(same_bits(back.parameters(), model.parameters())) << seed;
        ASSERT_EQ(back.standardization(), model.standardization()) << seed;
        ASSERT_EQ(back.notes(), model.notes()) << seed;
        ++seed;
      }
    }
  }
}

TEST(MlpFile, ConfinementRoundTripsForAwkwardFloats) {
  const test::TemporaryDirectory directory;
  for (const float kappa : {0.1f, 1.0f / 3, 1e-45f, 1.17549435e-38f, 3.40282347e38f, 16777217.0f, 0.3f}) {
    Mlp model(shape_of(1, {1}, Activation::silu, 1, kappa));
    model.save(directory / "m");
    EXPECT_EQ(std::bit_cast<std::uint32_t>(Mlp::load(directory / "m").shape().confinement),
              std::bit_cast<std::uint32_t>(kappa));
  }
}

TEST(MlpFile, LayoutIsTheContracts) {
  const test::TemporaryDirectory directory;
  Mlp model = Mlp::random(shape_of(2, {3}, Activation::gelu, 4, 0.25f), 1);
  model.set_standardization(Standardization{{1, 2}, {3, 4}});
  model.notes()["n"] = "v";
  model.save(directory / "m");
  const SafetensorsReader reader{InputFile(directory / "m")};
  EXPECT_EQ(
      reader.metadata(),
      (std::map<std::string, std::string>{
          {"format", "ebmcuda"}, {"activation", "gelu"}, {"head", "logits"}, {"confinement", "0.25"}, {"n", "v"}}));
  std::map<std::string, std::vector<std::uint64_t>> shapes;
  for (const auto& tensor : reader.tensors()) {
    EXPECT_EQ(tensor.dtype, Dtype::f32);
    shapes[tensor.name] = tensor.shape;
  }
  EXPECT_EQ(shapes, (std::map<std::string, std::vector<std::uint64_t>>{{"net.0.weight", {3, 2}},
                                                                       {"net.0.bias", {3}},
                                                                       {"net.1.weight", {4, 3}},
                                                                       {"net.1.bias", {4}},
                                                                       {"data.mean", {2}},
                                                                       {"data.std", {2}}}));
  EXPECT_TRUE(same_bits(reader.read<float>(*reader.find("net.1.weight")), model.weight(1)));
}

TEST(MlpFile, ReadsPyTorchSequential) {
  const test::TemporaryDirectory directory;
  for (const std::string prefix : {"", "net.", "module.", "_orig_mod.", "model.net.", "module._orig_mod.energy.0."}) {
    RawFile file;
    file.metadata = {{"format", "pt"}, {"author", "someone"}};
    file.add(prefix + "0.weight", {3, 2}, 10);
    file.add(prefix + "0.bias", {3}, 20);
    file.add(prefix + "2.weight", {5, 3}, 30);
    file.add(prefix + "2.bias", {5}, 50);
    file.add(prefix + "4.weight", {2, 5}, 60);
    file.add(prefix + "4.bias", {2}, 80);
    file.write(directory / "m");
    const Mlp model =
        Mlp::load(directory / "m", {.activation = Activation::elu, .head = Head::logits, .confinement = 0.5f});
    EXPECT_EQ(model.shape(), shape_of(2, {3, 5}, Activation::elu, 2, 0.5f));
    EXPECT_EQ(model.weight(0)[5], 15.0f);
    EXPECT_EQ(model.bias(1)[0], 50.0f);
    EXPECT_EQ(model.weight(2)[9], 69.0f);
    EXPECT_EQ(model.notes(), (std::map<std::string, std::string>{{"author", "someone"}}));
    EXPECT_EQ(Mlp::load(directory / "m", {.activation = Activation::elu, .head = Head::logits, .confinement = {}})
                  .shape()
                  .confinement,
              0.0f);

    EXPECT_TRUE(contains(message_of<ConfigError>([&] {
                           Mlp::load(directory / "m", {.activation = {}, .head = Head::logits, .confinement = {}});
                         }),
                         "activation = not given"));
    EXPECT_TRUE(contains(message_of<ConfigError>([&] {
                           Mlp::load(directory / "m", {.activation = Activation::elu, .head = {}, .confinement = {}});
                         }),
                         "head = not given"));
    EXPECT_TRUE(contains(message_of<FormatError>([&] {
                           Mlp::load(directory / "m",
                                     {.activation = Activation::elu, .head = Head::scalar, .confinement = {}});
                         }),
                         "a scalar head has 1 output"));
  }
}

TEST(MlpFile, WhatTheFileSaysWinsOverTheOptions) {
  const test::TemporaryDirectory directory;
  own_file().write(directory / "m");
  const Mlp model =
      Mlp::load(directory / "m", {.activation = Activation::relu, .head = Head::logits, .confinement = 9.0f});
  EXPECT_EQ(model.shape(), shape_of(2, {3}, Activation::tanh, 1, 0.5f));
}

TEST(MlpFile, WrongFilesAreNamed) {
  const test::TemporaryDirectory directory;
  const auto refusal = [&](const std::function<void(RawFile&)>& change) {
    RawFile file = own_file();
    change(file);
    file.write(directory / "m");
    return message_of<FormatError>([&] { Mlp::load(directory / "m"); });
  };
  EXPECT_TRUE(
      contains(refusal([](RawFile& f) { f.metadata.erase("activation"); }), "__metadata__: activation is missing"));
  EXPECT_TRUE(contains(refusal([](RawFile& f) { f.metadata.erase("head"); }), "__metadata__: head is missing"));
  EXPECT_TRUE(
      contains(refusal([](RawFile& f) { f.metadata.erase("confinement"); }), "__metadata__: confinement is missing"));
  EXPECT_TRUE(contains(refusal([](RawFile& f) { f.metadata["activation"] = "swish"; }),
                       "activation is 'swish': must be one of silu softplus tanh gelu elu relu"));
  for (const char* bad : {"", "x", "1 ", "-1", "nan", "inf", "1e999"}) {
    EXPECT_TRUE(contains(refusal([&](RawFile& f) { f.metadata["confinement"] = bad; }),
                         fmt::format("confinement is '{}': must be", bad)));
  }
  EXPECT_TRUE(contains(refusal([](RawFile& f) { f.metadata["format"] = "ebmcuda checkpoint"; }),
                       "format is 'ebmcuda checkpoint'"));
  EXPECT_TRUE(contains(refusal([](RawFile& f) { f.tensors.clear(); }), "tensor 'net.0.weight' is missing"));
  EXPECT_TRUE(contains(refusal([](RawFile& f) { f.tensors.erase("net.0.bias"); }), "tensor 'net.0.bias' is missing"));
  EXPECT_TRUE(contains(refusal([](RawFile& f) { f.add("extra", {1}); }), "tensor 'extra' (byte"));
  EXPECT_TRUE(contains(refusal([](RawFile& f) { f.add("net.3.weight", {1, 1}); }), "tensor 'net.3.weight'"));
  EXPECT_TRUE(contains(refusal([](RawFile& f) {
                         f.add("net.1.weight", {1, 4});
                       }),
                       "takes 4 inputs, but the layer before it has 3 outputs"));
  EXPECT_TRUE(contains(refusal([](RawFile& f) { f.add("net.0.bias", {2}); }), "the shape must be [3]"));
  EXPECT_TRUE(contains(refusal([](RawFile& f) { f.add("net.0.bias", {3, 1}); }), "the shape must be [3]"));
  EXPECT_TRUE(contains(refusal([](RawFile& f) { f.add("net.0.weight", {6}); }), "a weight has the shape [out, in]"));
  EXPECT_TRUE(contains(refusal([](RawFile& f) { f.add("net.0.weight", {3, 0}); }), "dim = 0"));
  EXPECT_TRUE(contains(refusal([](RawFile& f) {
                         f.add("net.0.weight", {3, 16385});
                       }),
                       "an axis of 16385; 16384 is the most"));
  EXPECT_TRUE(contains(refusal([](RawFile& f) {
                         f.add("net.1.weight", {2, 3});
                         f.add("net.1.bias", {2});
                       }),
                       "outputs = 2: a scalar head has 1 output"));
  EXPECT_TRUE(contains(refusal([](RawFile& f) {
                         f.tensors.erase("net.1.weight");
                         f.tensors.erase("net.1.bias");
                       }),
                       "hidden = 0 layers"));
  for (const float bad : {INFINITY, -INFINITY, std::nanf("")}) {
    EXPECT_TRUE(contains(refusal([&](RawFile& f) { f.tensors["net.1.weight"].second[2] = bad; }),
                         "tensor 'net.1.weight' (byte"));
    EXPECT_TRUE(contains(refusal([&](RawFile& f) { f.tensors["net.1.weight"].second[2] = bad; }),
                         fmt::format("element 2 is {}", bad)));
  }
  EXPECT_TRUE(contains(refusal([](RawFile& f) { f.add("data.mean", {2}); }),
                       "tensor 'data.std' is missing beside 'data.mean'"));
  EXPECT_TRUE(
      contains(refusal([](RawFile& f) { f.add("data.std", {2}); }), "tensor 'data.mean' is missing beside 'data.std'"));
  EXPECT_TRUE(contains(refusal([](RawFile& f) {
                         f.add("data.mean", {2});
                         f.add("data.std", {3});
                       }),
                       "tensor 'data.std' (byte"));
  EXPECT_TRUE(contains(refusal([](RawFile& f) {
                         f.add("data.mean", {2});
                         f.add("data.std", {2}, 0);
                       }),
                       "element 0 is 0; a standard deviation is > 0"));
}

TEST(MlpFile, WrongSequentialsAreNamed) {
  const test::TemporaryDirectory directory;
  const auto refusal = [&](const std::function<void(RawFile&)>& change) {
    RawFile file;
    file.add("0.weight", {3, 2});
    file.add("0.bias", {3});
    file.add("2.weight", {1, 3});
    file.add("2.bias", {1});
    change(file);
    file.write(directory / "m");
    return message_of<FormatError>(
        [&] { Mlp::load(directory / "m", {.activation = Activation::silu, .head = Head::scalar, .confinement = {}}); });
  };
  EXPECT_TRUE(
      contains(refusal([](RawFile& f) { f.add("1.weight", {3}); }), "tensor '1.weight' (byte"));  // a normalisation
  EXPECT_TRUE(
      contains(refusal([](RawFile& f) { f.add("1.weight", {3}); }), "nn.Sequential of linear layers at 0, 2, 4, ..."));
  EXPECT_TRUE(contains(refusal([](RawFile& f) { f.tensors.erase("2.bias"); }), "tensor '2.bias' is missing"));
  EXPECT_TRUE(contains(refusal([](RawFile& f) { f.add("5.weight", {1, 1}); }), "tensor '5.bias' is missing"));
  EXPECT_TRUE(contains(refusal([](RawFile& f) { f.add("5.weight", {1, 2}); }), "tensor '5.weight'"));
  EXPECT_TRUE(contains(refusal([](RawFile& f) {
                         f.add("3.weight", {1, 1});
                         f.add("3.bias", {1});
                       }),
                       "no activation between them"));
  EXPECT_TRUE(contains(refusal([](RawFile& f) { f.add("critic.0.weight", {1, 1}); }), "two networks"));
  EXPECT_TRUE(contains(refusal([](RawFile& f) { f.add("n_averaged", {1}); }), "leave it out before saving"));
  EXPECT_TRUE(contains(refusal([](RawFile& f) { f.add("1.running_mean", {3}); }), "fold the batch normalisation"));
  EXPECT_TRUE(contains(refusal([](RawFile& f) { f.add("2.weight_g", {1, 1}); }), "remove the weight or spectral norm"));
  EXPECT_TRUE(contains(refusal([](RawFile& f) { f.add("00.weight", {3, 2}); }), "tensor '00.weight'"));
  EXPECT_TRUE(contains(refusal([](RawFile& f) {
                         f.tensors.clear();
                         f.add("00.weight", {3, 2});
                       }),
                       "tensor '00.weight'"));
  EXPECT_TRUE(contains(refusal([](RawFile& f) {
                         f.tensors.clear();
                         f.add("1.weight", {3, 2, 5, 5});
                       }),
                       "normalisation or convolution"));
  EXPECT_TRUE(
      contains(refusal([](RawFile& f) { f.tensors.erase("0.weight"); }), "tensor '0.weight' is missing: neither"));
}

TEST(MlpFile, OneOutputIsAScalarHead) {
  const test::TemporaryDirectory directory;
  RawFile file;
  file.add("0.weight", {3, 2});
  file.add("0.bias", {3});
  file.add("2.weight", {1, 3});
  file.add("2.bias", {1});
  file.write(directory / "m");
  const MlpReadOptions options{.activation = Activation::silu, .head = {}, .confinement = {}};
  EXPECT_EQ(Mlp::load(directory / "m", options).shape(), shape_of(2, {3}, Activation::silu, 1, 0));
}

TEST(MlpFile, DropoutAndIdentityLeaveGaps) {
  // Flatten, Linear, SiLU, Dropout, Linear, Identity, SiLU, Dropout, Linear; numbers of two digits sort as numbers.
  const test::TemporaryDirectory directory;
  RawFile file;
  file.add("1.weight", {3, 2}, 10);
  file.add("1.bias", {3}, 20);
  file.add("4.weight", {5, 3}, 30);
  file.add("4.bias", {5}, 50);
  file.add("12.weight", {1, 5}, 60);
  file.add("12.bias", {1}, 80);
  file.write(directory / "m");
  const Mlp model = Mlp::load(directory / "m", {.activation = Activation::silu, .head = {}, .confinement = {}});
  EXPECT_EQ(model.shape(), shape_of(2, {3, 5}, Activation::silu, 1, 0));
  EXPECT_EQ(model.weight(1)[0], 30.0f);
  EXPECT_EQ(model.bias(2)[0], 80.0f);
}

TEST(MlpFile, HalfAndDoublePrecisionAreRead) {
  const test::TemporaryDirectory directory;
  const std::vector<std::uint16_t> half = {0x3C00, 0xC000, 0x7BFF, 0x0001, 0x8000, 0x3555};  // 1 -2 65504 2^-24 -0 1/3
  const std::vector<std::uint16_t> brain = {0x3F80, 0xC000, 0x3EAB};                         // 1 -2 0.333984375
  const std::vector<double> wide = {0.1, -1e-300, 3e38};
  const std::vector<float> single = {4};
  const auto tensor = [](const char* name, Dtype dtype, std::vector<std::uint64_t> shape, const auto& values) {
    return TensorData{name, dtype, std::move(shape), std::as_bytes(std::span(values))};
  };
  const MlpReadOptions options{.activation = Activation::silu, .head = {}, .confinement = {}};
  const auto write = [&](const std::vector<double>& last) {
    write_safetensors(directory / "m",
                      {tensor("0.weight", Dtype::f16, {3, 2}, half), tensor("0.bias", Dtype::bf16, {3}, brain),
                       tensor("2.weight", Dtype::f64, {1, 3}, last), tensor("2.bias", Dtype::f32, {1}, single)},
                      {});
  };
  write(wide);
  const Mlp model = Mlp::load(directory / "m", options);
  const std::vector<float> weights = {1, -2, 65504, std::ldexp(1.0f, -24), -0.0f, 0.333251953125f};
  EXPECT_TRUE(same_bits(model.weight(0), weights));
  EXPECT_EQ(model.bias(0)[2], 0.333984375f);
  EXPECT_EQ(model.weight(1)[0], 0.1f);
  EXPECT_EQ(model.weight(1)[2], 3e38f);
  write({0, 1e39, 0});
  EXPECT_TRUE(contains(message_of<FormatError>([&] { Mlp::load(directory / "m", options); }), "element 1 is 1e+39"));
  // Values that are not finite are refused as ever.
  const std::vector<std::uint16_t> infinite = {0x7C00, 0, 0, 0, 0, 0}, zeros(3);
  write_safetensors(directory / "m",
                    {tensor("0.weight", Dtype::f16, {3, 2}, infinite), tensor("0.bias", Dtype::f16, {3}, zeros),
                     tensor("2.weight", Dtype::f64, {1, 3}, wide), tensor("2.bias", Dtype::f32, {1}, single)},
                    {});
  EXPECT_TRUE(contains(message_of<FormatError>([&] { Mlp::load(directory / "m", options); }), "element 0 is inf"));
}

TEST(MlpFile, OtherDtypesAreNamed) {
  const test::TemporaryDirectory directory;
  const std::vector<float> weight(6), other(1);
  const std::vector<std::uint64_t> wide(3);
  write_safetensors(
      directory / "m",
      {TensorData::of("0.weight", {3, 2}, std::span(weight)), TensorData::of("0.bias", {3}, std::span(wide)),
       TensorData::of("2.weight", {1, 3}, std::span(weight).first(3)), TensorData::of("2.bias", {1}, std::span(other))},
      {});
  EXPECT_TRUE(contains(message_of<FormatError>([&] {
                         Mlp::load(directory / "m",
                                   {.activation = Activation::silu, .head = Head::scalar, .confinement = {}});
                       }),
                       "tensor '0.bias' (byte"));
}

TEST(MlpFile, WhatCouldNotBeReadIsNotWritten) {
  const test::TemporaryDirectory directory;
  Mlp model(shape_of(2, {3}, Activation::silu, 1, 0));
  model.save(directory / "m");
  const std::string before = test::read_bytes(directory / "m");
  for (const char* key : {"format", "activation", "head", "confinement"}) {
    Mlp bad = model;
    bad.notes()[key] = "x";
    EXPECT_TRUE(contains(message_of<ConfigError>([&] { bad.save(directory / "m"); }), fmt::format("notes = {}", key)));
  }
  Mlp bad = model;
  bad.bias(1)[0] = std::nanf("");
  EXPECT_TRUE(contains(message_of<ConfigError>([&] { bad.save(directory / "m"); }), "layer 1 = nan"));
  bad = model;
  bad.notes()["note"] = "\xff";
  EXPECT_THROW(bad.save(directory / "m"), ConfigError);
  EXPECT_EQ(test::read_bytes(directory / "m"), before);
  EXPECT_TRUE(contains(message_of<WriteError>([&] { model.save(directory / "no/m"); }), "cannot open the directory"));
}

}  // namespace
}  // namespace ebm
