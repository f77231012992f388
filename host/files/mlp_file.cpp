// Mlp::load and Mlp::save. Layout: docs/files.md.
#include "host/files/mlp_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <string>

#include "host/core/check.hpp"
#include "host/files/safetensors.hpp"
#include "host/files/text.hpp"

namespace ebm {
namespace {

constexpr std::string_view kFormat = "ebmcuda";
constexpr std::string_view kOwnKeys[] = {"format", "activation", "head", "confinement"};

// How a file names layer i: "net.{i * stride}.". nn.Sequential counts its activations too, so its linear layers stand
// at 0, 2, 4, ...
struct Naming {
  std::string prefix;
  int stride = 1;

  std::string weight(int layer) const { return fmt::format("{}{}.weight", prefix, layer * stride); }
  std::string bias(int layer) const { return fmt::format("{}{}.bias", prefix, layer * stride); }
};

class ModelReader {
 public:
  ModelReader(InputFile file, const MlpReadOptions& options) : file_(std::move(file)), options_(options) {}

  Mlp read() {
    const std::string* format = metadata("format");
    own_ = format != nullptr && *format == kFormat;
    if (format != nullptr && format->starts_with(kFormat) && !own_) {
      file_.fail(fmt::format("__metadata__: format is {}, not a model's 'ebmcuda'", in_quotes(*format)));
    }
    if (!own_) naming_ = {file_.find("net.0.weight") != nullptr ? "net." : "", 2};
    Mlp model = empty_model();
    for (int layer = 0; layer < model.shape().layers(); ++layer) {
      read_tensor(naming_.weight(layer), model.weight(layer));
      read_tensor(naming_.bias(layer), model.bias(layer));
    }
    read_standardization(&model);
    for (const auto& [key, value] : file_.metadata()) {
      if (std::ranges::find(kOwnKeys, key) == std::end(kOwnKeys)) model.notes()[key] = value;
    }
    return model;
  }

 private:
  const std::string* metadata(std::string_view key) const {
    const auto it = file_.metadata().find(std::string(key));
    return it == file_.metadata().end() ? nullptr : &it->second;
  }

  // The file's word for `key`, parsed, else the option's, else nothing.
  template <class Value, class Parse>
  std::optional<Value> setting(std::string_view key, const std::optional<Value>& option, const Parse& parse) const {
    const std::string* text = metadata(key);
    if (text == nullptr && own_) file_.fail(fmt::format("__metadata__: {} is missing", key));
    if (text == nullptr) return option;
    try {
      return parse(*text);
    } catch (const ConfigError& error) {
      file_.fail(fmt::format("__metadata__: {} is {}: {}", key, in_quotes(*text), error.allowed()));
    }
  }

  // Shape and settings, checked before anything is allocated for them.
  Mlp empty_model() {
    MlpShape shape;
    int layers = 0;
    while (file_.find(naming_.weight(layers)) != nullptr) ++layers;
    if (layers == 0) {
      file_.fail(fmt::format("tensor '{}' is missing: neither a model of ebmcuda nor an nn.Sequential of linear layers",
                             naming_.weight(0)));
    }
    refuse_unknown_tensors(layers);
    for (int layer = 0; layer < layers; ++layer) {
      const TensorInfo& weight = *file_.find(naming_.weight(layer));
      if (weight.shape.size() != 2) file_.fail(weight, "a weight has the shape [out, in]");
      if (layer == 0) {
        shape.dim = size(weight, weight.shape[1]);
      } else {
        const int in = shape.hidden.back();
        if (weight.shape[1] != static_cast<std::uint64_t>(in)) {
          file_.fail(weight,
                     fmt::format("takes {} inputs, but the layer before it has {} outputs", weight.shape[1], in));
        }
      }
      const int out = size(weight, weight.shape[0]);
      if (layer + 1 == layers) {
        shape.outputs = out;
      } else {
        shape.hidden.push_back(out);
      }
      file_.require_dtype(weight, Dtype::f32);
      const TensorInfo* bias = file_.find(naming_.bias(layer));
      if (bias == nullptr) file_.fail(fmt::format("tensor '{}' is missing", naming_.bias(layer)));
      if (bias->shape != std::vector<std::uint64_t>{weight.shape[0]}) {
        file_.fail(*bias, fmt::format("the shape must be [{}], the number of outputs", weight.shape[0]));
      }
    }
    const auto activation = setting<Activation>("activation", options_.activation,
                                                [](const std::string& text) { return parse_activation(text); });
    const auto head = setting<Head>("head", options_.head, [](const std::string& text) { return parse_head(text); });
    const auto confinement = setting<float>("confinement", options_.confinement, [](const std::string& text) {
      const auto value = parse_number<float>(text);
      require(value && std::isfinite(*value) && *value >= 0, "confinement", text, "must be a finite number >= 0");
      return *value;
    });
    require(activation.has_value(), "activation", "not given", "the file does not say; it must be given");
    require(head.has_value(), "head", "not given", "the file does not say; it must be given");
    shape.activation = *activation;
    shape.head = *head;
    shape.confinement = confinement.value_or(0.0f);
    try {
      return Mlp(std::move(shape));
    } catch (const ConfigError& error) {
      file_.fail(error.what());
    }
  }

  void refuse_unknown_tensors(int layers) const {
    std::set<std::string> known = {"data.mean", "data.std"};
    for (int layer = 0; layer < layers; ++layer) {
      known.insert(naming_.weight(layer));
      known.insert(naming_.bias(layer));
    }
    for (const TensorInfo& tensor : file_.tensors()) {
      if (known.contains(tensor.name)) continue;
      file_.fail(tensor, fmt::format("has no place in a model whose {} layers end with '{}'{}", layers,
                                     naming_.weight(layers - 1),
                                     own_ ? "" : " (nn.Sequential of linear layers at 0, 2, 4, ...)"));
    }
  }

  int size(const TensorInfo& tensor, std::uint64_t axis) const {
    constexpr std::uint64_t kLargest = 16384;  // the largest limit of MlpShape::validate, which says the rest
    if (axis > kLargest) file_.fail(tensor, fmt::format("an axis of {}; {} is the most", axis, kLargest));
    return static_cast<int>(axis);
  }

  void read_tensor(const std::string& name, std::span<float> out) const {
    const TensorInfo& tensor = *file_.find(name);
    file_.read(tensor, out);
    for (std::size_t i = 0; i < out.size(); ++i) {
      if (!std::isfinite(out[i])) file_.fail(tensor, fmt::format("element {} is {}", i, out[i]));
    }
  }

  void read_standardization(Mlp* model) const {
    const TensorInfo* mean = file_.find("data.mean");
    const TensorInfo* std = file_.find("data.std");
    if (mean == nullptr && std == nullptr) return;
    if (mean == nullptr || std == nullptr) {
      file_.fail(fmt::format("tensor '{}' is missing beside '{}'", mean == nullptr ? "data.mean" : "data.std",
                             mean == nullptr ? "data.std" : "data.mean"));
    }
    const auto dim = static_cast<std::uint64_t>(model->dim());
    for (const TensorInfo* tensor : {mean, std}) {
      if (tensor->shape != std::vector{dim}) file_.fail(*tensor, fmt::format("the shape must be [{}]", dim));
    }
    Standardization standardization{std::vector<float>(dim), std::vector<float>(dim)};
    read_tensor("data.mean", standardization.mean);
    read_tensor("data.std", standardization.std);
    for (std::size_t d = 0; d < dim; ++d) {
      if (!(standardization.std[d] > 0)) {
        file_.fail(*std, fmt::format("element {} is {}; a standard deviation is > 0", d, standardization.std[d]));
      }
    }
    model->set_standardization(std::move(standardization));
  }

  SafetensorsReader file_;
  const MlpReadOptions& options_;
  bool own_ = false;
  Naming naming_{"net.", 1};
};

}  // namespace

Mlp read_mlp(InputFile file, const MlpReadOptions& options) { return ModelReader(std::move(file), options).read(); }

Mlp Mlp::load(const std::filesystem::path& path, const MlpReadOptions& options) {
  return read_mlp(InputFile(path), options);
}

void Mlp::save(const std::filesystem::path& path) const {
  const Naming naming{"net.", 1};
  const auto size = [](int n) { return static_cast<std::uint64_t>(n); };
  std::vector<TensorData> tensors;
  for (int layer = 0; layer < shape_.layers(); ++layer) {
    tensors.push_back(
        TensorData::of(naming.weight(layer), {size(shape_.out(layer)), size(shape_.in(layer))}, weight(layer)));
    tensors.push_back(TensorData::of(naming.bias(layer), {size(shape_.out(layer))}, bias(layer)));
    for (const std::span<const float> values : {weight(layer), bias(layer)}) {
      for (const float v : values)
        require(std::isfinite(v), fmt::format("layer {}", layer), v, "every parameter must be finite");
    }
  }
  if (standardization_) {
    const std::vector<std::uint64_t> shape = {size(dim())};
    tensors.push_back(TensorData::of("data.mean", shape, std::span<const float>(standardization_->mean)));
    tensors.push_back(TensorData::of("data.std", shape, std::span<const float>(standardization_->std)));
  }
  std::map<std::string, std::string> metadata = notes_;
  for (const std::string_view key : kOwnKeys) {
    require(!metadata.contains(std::string(key)), "notes", key, "is a name of the file format itself");
  }
  metadata["format"] = kFormat;
  metadata["activation"] = to_string(shape_.activation);
  metadata["head"] = to_string(shape_.head);
  metadata["confinement"] = fmt::format("{}", shape_.confinement);
  write_safetensors(path, std::move(tensors), metadata);
}

}  // namespace ebm
