// Transforms in model files: every bit back, and wrong ones named.
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "ebmcuda/mlp.hpp"
#include "host/data/transform_parts.hpp"
#include "host/files/safetensors.hpp"
#include "tests/files/support.hpp"

namespace ebm {
namespace {

using test::contains;
using test::message_of;

Matrix table() {
  Matrix x(64, 2);
  for (std::size_t i = 0; i < 64; ++i) {
    x(i, 0) = static_cast<float>(i % 4);
    x(i, 1) = 0.37f * static_cast<float>((i * 29) % 64) + static_cast<float>(i % 4);
  }
  return x;
}

Mlp model_with(TransformKind kind) {
  Mlp model = Mlp::random({.dim = 2, .hidden = {3}, .confinement = 1}, 1);
  const Matrix x = table();
  model.set_transform(Transform::fit(kind, x, {.dequantize = 1, .lower = {-1}}));
  return model;
}

// The tensors and metadata of a saved model, to be changed and written again.
struct SavedModel {
  std::map<std::string, std::string> metadata;
  std::vector<TensorInfo> infos;
  std::map<std::string, std::vector<float>> floats;
  std::map<std::string, std::vector<double>> doubles;
  std::map<std::string, std::vector<std::uint64_t>> counts;

  explicit SavedModel(const std::filesystem::path& path) {
    const SafetensorsReader reader{InputFile(path)};
    metadata = reader.metadata();
    for (const TensorInfo& t : reader.tensors()) {
      infos.push_back(t);
      if (t.dtype == Dtype::f32) floats[t.name] = reader.read<float>(t);
      if (t.dtype == Dtype::f64) doubles[t.name] = reader.read<double>(t);
      if (t.dtype == Dtype::u64) counts[t.name] = reader.read<std::uint64_t>(t);
    }
  }
  void write(const std::filesystem::path& path) const {
    std::vector<TensorData> data;
    const auto add = [&](const TensorInfo& t, const auto& values) {
      using Value = typename std::remove_cvref_t<decltype(values)>::value_type;
      data.push_back(TensorData::of(t.name, t.shape, std::span<const Value>(values)));
    };
    for (const TensorInfo& t : infos) {
      if (floats.contains(t.name)) add(t, floats.at(t.name));
      if (doubles.contains(t.name)) add(t, doubles.at(t.name));
      if (counts.contains(t.name)) add(t, counts.at(t.name));
    }
    write_safetensors(path, std::move(data), metadata);
  }
};

TEST(TransformFile, RoundTripKeepsEveryBit) {
  const test::TemporaryDirectory directory;
  for (const auto kind : {TransformKind::none, TransformKind::standardize, TransformKind::whiten,
                          TransformKind::marginals, TransformKind::marginals_whiten}) {
    const Mlp model = model_with(kind);
    model.save(directory / "a");
    const Mlp back = Mlp::load(directory / "a");
    EXPECT_EQ(back.transform().kind(), kind);
    EXPECT_EQ(back.standardization(), model.standardization());
    EXPECT_EQ(back.log_volume(), model.log_volume());
    const TransformArrays a = arrays_of(model.transform()), b = arrays_of(back.transform());
    EXPECT_EQ(a.whiten_mean, b.whiten_mean);
    EXPECT_EQ(a.whiten_root, b.whiten_root);
    EXPECT_EQ(a.knots, b.knots);
    EXPECT_EQ(a.cells, b.cells);
    EXPECT_EQ(a.x, b.x);
    EXPECT_EQ(a.y, b.y);
    EXPECT_EQ(a.slope, b.slope);
    EXPECT_EQ(a.lower, b.lower);
    EXPECT_EQ(a.upper, b.upper);
    EXPECT_TRUE(back.notes().empty()) << "the transform's name is no note";
    back.save(directory / "b");
    EXPECT_EQ(test::read_bytes(directory / "a"), test::read_bytes(directory / "b"));
  }
}

// A file from a later version is refused by the name of what it needs, not read as something else.
TEST(TransformFile, UnknownTransformIsRefusedByName) {
  const test::TemporaryDirectory directory;
  model_with(TransformKind::whiten).save(directory / "m");
  SavedModel file(directory / "m");
  file.metadata["data.transform"] = "autoencoder";
  file.write(directory / "m");
  const std::string message = message_of<FormatError>([&] { Mlp::load(directory / "m"); });
  EXPECT_TRUE(contains(message, "data.transform is 'autoencoder'")) << message;
  EXPECT_TRUE(contains(message, "marginals+whiten")) << message;
}

TEST(TransformFile, WrongArraysAreNamed) {
  const test::TemporaryDirectory directory;
  model_with(TransformKind::marginals_whiten).save(directory / "m");
  const auto expect = [&](const auto& change, std::string_view part) {
    SavedModel file(directory / "m");
    change(file);
    file.write(directory / "n");
    const std::string message = message_of<FormatError>([&] { Mlp::load(directory / "n"); });
    EXPECT_TRUE(contains(message, part)) << message;
  };
  const auto without = [](const char* name) {
    return [name](SavedModel& f) { f.doubles.erase(name), f.counts.erase(name); };
  };
  for (const char* name :
       {"data.whiten.mean", "data.whiten.root", "data.marginals.knots", "data.marginals.cells", "data.marginals.x",
        "data.marginals.y", "data.marginals.slope", "data.marginals.lower", "data.marginals.upper"}) {
    expect(without(name), name);
  }
  expect([](SavedModel& f) { f.metadata["data.transform"] = "marginals"; }, "data.whiten");
  expect([](SavedModel& f) { f.doubles["data.whiten.root"][0] = 0; }, "data.whiten.root");
  expect([](SavedModel& f) { f.doubles["data.whiten.root"][1] = 1; }, "lower triangular");
  expect([](SavedModel& f) { f.doubles["data.whiten.mean"][0] = NAN; }, "data.whiten.mean");
  expect([](SavedModel& f) { f.counts["data.marginals.knots"][0] = 1; }, "data.marginals.knots");
  expect([](SavedModel& f) { f.counts["data.marginals.knots"][0] += 1; }, "data.marginals.x");
  expect([](SavedModel& f) { f.counts["data.marginals.knots"][0] = ~std::uint64_t{0}; }, "data.marginals.knots");
  expect([](SavedModel& f) { f.counts["data.marginals.cells"][0] = 2; }, "data.marginals.cells");
  expect([](SavedModel& f) { f.doubles["data.marginals.x"][1] = f.doubles["data.marginals.x"][0]; }, "ascend");
  expect([](SavedModel& f) { f.doubles["data.marginals.y"][0] = 0.1; }, "data.marginals.y");
  expect([](SavedModel& f) { f.doubles["data.marginals.slope"].back() = -1; }, "data.marginals.slope");
  expect([](SavedModel& f) { f.doubles["data.marginals.lower"][1] = 1e9; }, "data.marginals.lower");
}

}  // namespace
}  // namespace ebm
