#include "ebmcuda/mlp.hpp"

#include <array>
#include <cmath>

#include "host/core/check.hpp"
#include "host/core/names.hpp"
#include "host/core/points.hpp"
#include "kernels/math/philox.hpp"

namespace ebm {
namespace {

constexpr int kMaxDim = 16384;
constexpr int kMaxLogits = 4096;

constexpr Name<Activation> kActivations[] = {{Activation::silu, "silu"}, {Activation::softplus, "softplus"},
                                             {Activation::tanh, "tanh"}, {Activation::gelu, "gelu"},
                                             {Activation::elu, "elu"},   {Activation::relu, "relu"}};
constexpr Name<Head> kHeads[] = {{Head::scalar, "scalar"}, {Head::logits, "logits"}};

void require_layer(const MlpShape& shape, int layer) {
  require(layer >= 0 && layer < shape.layers(), "layer", layer, fmt::format("must be in 0 .. {}", shape.layers() - 1));
}

std::size_t weight_count(const MlpShape& shape, int layer) {
  return static_cast<std::size_t>(shape.out(layer)) * static_cast<std::size_t>(shape.in(layer));
}

// Parameter p is word p % 4 of chain p / 4, step 0, block 0. The chain id carries the index because a block number has
// only 16 bits.
double parameter_uniform(std::uint64_t seed, std::size_t p) {
  const PhiloxWords words = philox(seed, Purpose::parameters, p / 4, 0, 0);
  const std::array<std::uint32_t, 4> r = {words.r0, words.r1, words.r2, words.r3};
  return unit_double(r[p % 4]);
}

void require_columns(const Mlp& model, std::size_t cols) {
  require(cols == static_cast<std::size_t>(model.dim()), "x", fmt::format("{} columns", cols),
          fmt::format("the model takes D = {}", model.dim()));
}

}  // namespace

std::string_view to_string(Activation activation) { return name_of<Activation>(kActivations, activation); }
std::string_view to_string(Head head) { return name_of<Head>(kHeads, head); }
Activation parse_activation(std::string_view name, std::string_view field) {
  return parse_name<Activation>(kActivations, name, field);
}
Head parse_head(std::string_view name, std::string_view field) { return parse_name<Head>(kHeads, name, field); }

void MlpShape::validate() const {
  require(dim >= 1 && dim <= kMaxDim, "dim", dim, fmt::format("must be in 1 .. {}", kMaxDim));
  require(!hidden.empty() && hidden.size() <= std::size_t{kMostHidden}, "hidden",
          fmt::format("{} layers", hidden.size()), fmt::format("must name 1 .. {} widths", kMostHidden));
  for (const int width : hidden) {
    require(width >= 1 && width <= kMostWidth, "hidden", width,
            fmt::format("every width must be in 1 .. {}", kMostWidth));
  }
  require(to_string(activation) != "?", "activation", static_cast<int>(activation), "is not an Activation");
  require(head == Head::scalar || head == Head::logits, "head", static_cast<int>(head), "is not a Head");
  if (head == Head::scalar) {
    require(outputs == 1, "outputs", outputs, "a scalar head has 1 output");
  } else {
    require(outputs >= 2 && outputs <= kMaxLogits, "outputs", outputs,
            fmt::format("a logits head has 2 .. {} outputs", kMaxLogits));
  }
  require_non_negative("confinement", confinement);
}

std::size_t MlpShape::weight_offset(int layer) const {
  std::size_t offset = 0;
  for (int l = 0; l < layer; ++l) offset += weight_count(*this, l) + static_cast<std::size_t>(out(l));
  return offset;
}

std::size_t MlpShape::bias_offset(int layer) const { return weight_offset(layer) + weight_count(*this, layer); }

std::size_t MlpShape::parameter_count() const { return weight_offset(layers()); }

Mlp::Mlp(MlpShape shape) : shape_(std::move(shape)) {
  shape_.validate();
  parameters_.resize(shape_.parameter_count());
}

Mlp Mlp::random(MlpShape shape, std::uint64_t seed, float first_layer_scale) {
  require_positive("first_layer_scale", first_layer_scale);
  Mlp model(std::move(shape));
  for (int layer = 0; layer < model.shape_.layers(); ++layer) {
    const double scale = layer == 0 ? static_cast<double>(first_layer_scale) : 1.0;
    const double bound = scale / std::sqrt(static_cast<double>(model.shape_.in(layer)));
    const std::size_t begin = model.shape_.weight_offset(layer);
    const std::size_t end = model.shape_.weight_offset(layer + 1);
    for (std::size_t p = begin; p < end; ++p) {
      model.parameters_[p] = static_cast<float>((2.0 * parameter_uniform(seed, p) - 1.0) * bound);
    }
  }
  return model;
}

std::span<float> Mlp::weight(int layer) & {
  require_layer(shape_, layer);
  return parameters().subspan(shape_.weight_offset(layer), weight_count(shape_, layer));
}
std::span<const float> Mlp::weight(int layer) const& {
  require_layer(shape_, layer);
  return parameters().subspan(shape_.weight_offset(layer), weight_count(shape_, layer));
}
std::span<float> Mlp::bias(int layer) & {
  require_layer(shape_, layer);
  return parameters().subspan(shape_.bias_offset(layer), static_cast<std::size_t>(shape_.out(layer)));
}
std::span<const float> Mlp::bias(int layer) const& {
  require_layer(shape_, layer);
  return parameters().subspan(shape_.bias_offset(layer), static_cast<std::size_t>(shape_.out(layer)));
}

void Mlp::set_transform(Transform transform) {
  const auto dim = static_cast<std::size_t>(shape_.dim);
  require(transform.dim() == 0 || transform.dim() == dim, "transform", fmt::format("{} columns", transform.dim()),
          fmt::format("the model takes D = {}", dim));
  transform_ = std::move(transform);
}

void Mlp::set_standardization(std::optional<Standardization> standardization) {
  if (!standardization) {
    transform_ = {};
    return;
  }
  const auto dim = static_cast<std::size_t>(shape_.dim);
  const auto sized = fmt::format("must hold D = {} values", dim);
  require(standardization->mean.size() == dim, "data.mean", standardization->mean.size(), sized);
  require(standardization->std.size() == dim, "data.std", standardization->std.size(), sized);
  transform_ = Transform(std::move(*standardization));
}

Matrix Mlp::to_model_space(MatrixView x) const {
  require_columns(*this, x.cols);
  Matrix z(x.rows, x.cols);
  transform_.forward(x.values(), z.values());
  return z;
}

Matrix Mlp::to_data_units(MatrixView x) const {
  require_columns(*this, x.cols);
  return to_data_units(copy_of(x));
}

Matrix Mlp::to_data_units(Matrix&& x) const {
  require_columns(*this, x.cols());
  transform_.inverse(x.values(), x.values());
  return std::move(x);
}

double Mlp::log_volume() const { return transform_.log_volume(); }

}  // namespace ebm
