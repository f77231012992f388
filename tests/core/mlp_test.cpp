#include "ebmcuda/mlp.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "kernels/math/philox.hpp"
#include "tests/files/support.hpp"

namespace ebm {
namespace {

using test::contains;
using test::message_of;

// A view of a temporary would outlive it: none of these compiles.
template <class T>
concept GivesViews = requires(T&& model) {
  std::forward<T>(model).parameters();
  std::forward<T>(model).weight(0);
  std::forward<T>(model).bias(0);
};
template <class T>
concept GivesSomeView = requires(T&& model) {
  std::forward<T>(model).parameters();
}
|| requires(T&& model) { std::forward<T>(model).weight(0); }
|| requires(T&& model) { std::forward<T>(model).bias(0); };
static_assert(GivesViews<Mlp&> && GivesViews<const Mlp&>);
static_assert(!GivesSomeView<Mlp> && !GivesSomeView<const Mlp>);

MlpShape shape_of(int dim, std::vector<int> hidden, int outputs = 1) {
  MlpShape shape;
  shape.dim = dim;
  shape.hidden = std::move(hidden);
  shape.outputs = outputs;
  shape.head = outputs == 1 ? Head::scalar : Head::logits;
  return shape;
}

TEST(Mlp, OffsetsAreWeightsThenBiasLayerByLayer) {
  const MlpShape shape = shape_of(3, {5, 4}, 2);
  EXPECT_EQ(shape.layers(), 3);
  const std::size_t weights[] = {0, 15 + 5, 20 + 20 + 4}, biases[] = {15, 20 + 20, 44 + 8};
  for (int layer = 0; layer < 3; ++layer) {
    EXPECT_EQ(shape.weight_offset(layer), weights[layer]);
    EXPECT_EQ(shape.bias_offset(layer), biases[layer]);
  }
  EXPECT_EQ(shape.parameter_count(), 54u);

  Mlp model(shape);
  EXPECT_TRUE(std::ranges::all_of(model.parameters(), [](float v) { return v == 0; }));
  EXPECT_EQ(model.weight(1).data(), model.parameters().data() + 20);
  EXPECT_EQ(model.weight(1).size(), 20u);
  EXPECT_EQ(model.bias(2).data(), model.parameters().data() + 52);
  EXPECT_EQ(model.bias(2).size(), 2u);
  EXPECT_TRUE(contains(message_of<ConfigError>([&] { (void)model.weight(3); }), "layer = 3: must be in 0 .. 2"));
  EXPECT_THROW((void)model.bias(-1), ConfigError);
}

TEST(Mlp, TheLargestShapeIsCountedWithoutOverflow) {
  const MlpShape shape = shape_of(16384, {8192, 8192, 8192, 8192}, 4096);
  EXPECT_NO_THROW(shape.validate());
  EXPECT_EQ(shape.parameter_count(),
            std::size_t{16384} * 8192 + 3 * std::size_t{8192} * 8192 + std::size_t{8192} * 4096 + 4 * 8192 + 4096);
}

TEST(Mlp, ShapesOutOfRangeAreNamed) {
  const MlpShape good = shape_of(2, {8});
  EXPECT_NO_THROW(good.validate());
  const auto refusal = [&](const std::function<void(MlpShape&)>& change) {
    MlpShape shape = good;
    change(shape);
    return message_of<ConfigError>([&] { Mlp model(shape); });
  };
  for (const int dim : {0, -1, 16385, std::numeric_limits<int>::min(), std::numeric_limits<int>::max()}) {
    EXPECT_TRUE(contains(refusal([&](MlpShape& s) { s.dim = dim; }),
                         "dim = " + std::to_string(dim) + ": must be in 1 .. 16384"));
  }
  for (const int width : {0, -1, 8193, std::numeric_limits<int>::max()}) {
    EXPECT_TRUE(contains(refusal([&](MlpShape& s) {
                           s.hidden = {8, width};
                         }),
                         "hidden = " + std::to_string(width) + ": every width must be in 1 .. 8192"));
  }
  EXPECT_TRUE(contains(refusal([](MlpShape& s) { s.hidden = {}; }), "hidden = 0 layers: must name 1 .. 16 widths"));
  EXPECT_TRUE(contains(refusal([](MlpShape& s) { s.hidden.assign(17, 1); }), "hidden = 17 layers"));
  EXPECT_TRUE(contains(refusal([](MlpShape& s) { s.outputs = 2; }), "outputs = 2: a scalar head has 1 output"));
  for (const int outputs : {-1, 0, 1, 4097}) {
    EXPECT_TRUE(contains(refusal([&](MlpShape& s) {
                           s.head = Head::logits;
                           s.outputs = outputs;
                         }),
                         "a logits head has 2 .. 4096 outputs"));
  }
  for (const float kappa : {-1.0f, -1e-30f, INFINITY, std::numeric_limits<float>::quiet_NaN()}) {
    EXPECT_TRUE(contains(refusal([&](MlpShape& s) { s.confinement = kappa; }), "confinement = "));
  }
  EXPECT_TRUE(contains(refusal([](MlpShape& s) { s.activation = static_cast<Activation>(6); }), "activation = 6"));
  EXPECT_TRUE(contains(refusal([](MlpShape& s) { s.head = static_cast<Head>(2); }), "head = 2"));
}

TEST(Mlp, NamesGoBothWays) {
  for (const auto activation : {Activation::silu, Activation::softplus, Activation::tanh, Activation::gelu,
                                Activation::elu, Activation::relu}) {
    EXPECT_EQ(parse_activation(to_string(activation)), activation);
  }
  EXPECT_EQ(to_string(Activation::softplus), "softplus");
  EXPECT_EQ(parse_head("logits"), Head::logits);
  EXPECT_EQ(to_string(Head::scalar), "scalar");
  EXPECT_TRUE(contains(message_of<ConfigError>([] { parse_activation("swish", "--activation"); }),
                       "--activation = swish: must be one of silu softplus tanh gelu elu relu"));
  EXPECT_TRUE(
      contains(message_of<ConfigError>([] { parse_head("Scalar"); }), "head = Scalar: must be one of scalar logits"));
}

TEST(Mlp, RandomParametersHaveTheDocumentedLayout) {
  constexpr std::uint64_t kSeed = 0x123456789ABCDEFu;
  const MlpShape shape = shape_of(3, {7, 5}, 4);
  const Mlp model = Mlp::random(shape, kSeed, 2.5f);
  for (int layer = 0; layer < shape.layers(); ++layer) {
    const double bound = (layer == 0 ? 2.5 : 1.0) / std::sqrt(static_cast<double>(shape.in(layer)));
    for (std::size_t p = shape.weight_offset(layer); p < shape.weight_offset(layer + 1); ++p) {
      const PhiloxWords words = philox(kSeed, Purpose::parameters, p / 4, 0, 0);
      const std::uint32_t r[] = {words.r0, words.r1, words.r2, words.r3};
      const double u = (static_cast<double>(r[p % 4]) + 0.5) / 4294967296.0;
      ASSERT_EQ(model.parameters()[p], static_cast<float>((2 * u - 1) * bound)) << p;
    }
  }
}

TEST(Mlp, RandomParametersAreUniformAndTheSeedMatters) {
  const MlpShape shape = shape_of(64, {256, 256});
  const Mlp model = Mlp::random(shape, 3);
  const auto weights = model.weight(1);
  double mean = 0, square = 0;
  float largest = 0;
  for (const float w : weights) {
    mean += static_cast<double>(w);
    square += static_cast<double>(w) * static_cast<double>(w);
    largest = std::max(largest, std::abs(w));
  }
  const double n = static_cast<double>(weights.size());
  const double bound = 1.0 / 16;
  // Five standard errors of a uniform law on [-bound, bound]: of its mean, and of its mean square. A normal law of the
  // same variance is rejected by the largest value, a law on [0, bound] by the mean.
  EXPECT_LT(std::abs(mean / n), 5 * bound / std::sqrt(3 * n));
  EXPECT_LT(std::abs(square / n - bound * bound / 3), 5 * bound * bound * std::sqrt(4.0 / 45 / n));
  EXPECT_LE(largest, static_cast<float>(bound));
  EXPECT_GT(largest, static_cast<float>(0.999 * bound));
  const Mlp other = Mlp::random(shape, 4);
  std::size_t equal = 0;
  for (std::size_t p = 0; p < shape.parameter_count(); ++p) equal += model.parameters()[p] == other.parameters()[p];
  EXPECT_LT(equal, shape.parameter_count() / 1000);
  for (const float scale : {0.0f, -1.0f, INFINITY, std::numeric_limits<float>::quiet_NaN()}) {
    EXPECT_THROW(Mlp::random(shape, 0, scale), ConfigError) << scale;
  }
}

TEST(Mlp, StandardizationIsChecked) {
  Mlp model(shape_of(2, {4}));
  const auto refusal = [&](Standardization s) {
    return message_of<ConfigError>([&] { model.set_standardization(s); });
  };
  EXPECT_TRUE(contains(refusal({{0}, {1, 1}}), "data.mean = 1: must hold D = 2 values"));
  EXPECT_TRUE(contains(refusal({{0, 0}, {1, 1, 1}}), "data.std = 3: must hold D = 2 values"));
  EXPECT_TRUE(contains(refusal({{0, INFINITY}, {1, 1}}), "data.mean = inf"));
  EXPECT_TRUE(contains(refusal({{0, 0}, {1, 0}}), "data.std = 0"));
  EXPECT_TRUE(contains(refusal({{0, 0}, {1, -2}}), "data.std = -2"));
  EXPECT_TRUE(contains(refusal({{0, 0}, {std::nanf(""), 1}}), "data.std = nan"));
  EXPECT_FALSE(model.standardization().has_value());
  model.set_standardization(Standardization{{1, -2}, {2, 0.5f}});
  ASSERT_TRUE(model.standardization().has_value());
  model.set_standardization(std::nullopt);
  EXPECT_FALSE(model.standardization().has_value());
}

TEST(Mlp, DataUnitsAndModelSpace) {
  Mlp model(shape_of(2, {4}));
  const Matrix x(2, 2, {1, -2, 5, -1.5f});
  EXPECT_EQ(model.to_model_space(x), x);
  EXPECT_EQ(model.to_data_units(x), x);
  EXPECT_EQ(model.log_volume(), 0.0);
  model.set_standardization(Standardization{{1, -2}, {2, 0.5f}});
  const Matrix z(2, 2, {0, 0, 2, 1});
  EXPECT_EQ(model.to_model_space(x), z);
  EXPECT_EQ(model.to_data_units(z), x);
  EXPECT_DOUBLE_EQ(model.log_volume(), std::log(2.0) + std::log(0.5));
  model.set_standardization(Standardization{{0, 0}, {3, 3}});
  EXPECT_DOUBLE_EQ(model.log_volume(), 2 * std::log(3.0));
  const Matrix wide(1, 3);
  EXPECT_TRUE(
      contains(message_of<ConfigError>([&] { model.to_model_space(wide); }), "x = 3 columns: the model takes D = 2"));
  EXPECT_THROW(model.to_data_units(Matrix(1, 1)), ConfigError);
}

}  // namespace
}  // namespace ebm
