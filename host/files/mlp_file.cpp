// Mlp::load and Mlp::save. Layout: docs/files.md.
#include "host/files/mlp_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "host/core/check.hpp"
#include "host/data/transform_parts.hpp"
#include "host/files/safetensors.hpp"
#include "host/files/text.hpp"

namespace ebm {
namespace {

constexpr std::string_view kFormat = "ebmcuda";
constexpr std::string_view kTransform = "data.transform";
constexpr std::string_view kOwnKeys[] = {"format", "activation", "head", "confinement", kTransform};

// The tensors' names, layer by layer: "net.0.weight" and "net.0.bias", ...
struct LayerNames {
  std::vector<std::string> weights, biases;

  void add(const std::string& layer) {
    weights.push_back(layer + ".weight");
    biases.push_back(layer + ".bias");
  }
  int layers() const { return static_cast<int>(weights.size()); }
  const std::string& weight(int layer) const { return weights[static_cast<std::size_t>(layer)]; }
  const std::string& bias(int layer) const { return biases[static_cast<std::size_t>(layer)]; }
};

// Our own files: "net.i".
LayerNames own_names(int layers) {
  LayerNames names;
  for (int layer = 0; layer < layers; ++layer) names.add(fmt::format("net.{}", layer));
  return names;
}

// What a state dict calls a tensor of nn.Sequential: "model.net.4.weight" is {"model.net.", 4, "weight"}.
struct SequentialName {
  std::string prefix;
  int number = 0;
  std::string role;
};
std::optional<SequentialName> parse_sequential(std::string_view name) {
  const std::size_t role = name.rfind('.');
  if (role == std::string_view::npos) return std::nullopt;
  const std::size_t dot = name.substr(0, role).rfind('.');
  const std::size_t begin = dot == std::string_view::npos ? 0 : dot + 1;
  const std::string_view digits = name.substr(begin, role - begin);
  const auto number = parse_number<int>(digits);
  if (!number || *number < 0 || digits != fmt::format("{}", *number)) return std::nullopt;  // "00" is another name
  return SequentialName{std::string(name.substr(0, begin)), *number, std::string(name.substr(role + 1))};
}

constexpr std::string_view kCure =
    "; what is read is one nn.Sequential of Linear layers with activations between, under any prefix";

class ModelReader {
 public:
  ModelReader(InputFile file, const MlpReadOptions& options) : file_(std::move(file)), options_(options) {}

  Mlp read() {
    const std::string* format = metadata("format");
    own_ = format != nullptr && *format == kFormat;
    if (format != nullptr && format->starts_with(kFormat) && !own_) {
      file_.fail(fmt::format("__metadata__: format is {}, not a model's 'ebmcuda'", in_quotes(*format)));
    }
    if (own_) transform_ = transform_kind();
    names_ = own_ ? own_names(count_own_layers()) : foreign_names();
    Mlp model = empty_model();
    for (int layer = 0; layer < model.shape().layers(); ++layer) {
      read_tensor(names_.weight(layer), model.weight(layer));
      read_tensor(names_.bias(layer), model.bias(layer));
    }
    read_transform(&model);
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
    const int layers = names_.layers();
    refuse_unknown_tensors(layers);
    for (int layer = 0; layer < layers; ++layer) {
      const TensorInfo& weight = *file_.find(names_.weight(layer));
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
      file_.require_float(weight);
      const TensorInfo* bias = file_.find(names_.bias(layer));
      if (bias == nullptr) {
        file_.fail(fmt::format("tensor '{}' is missing{}", names_.bias(layer),
                               own_ ? "" : ": a Linear without bias is read when zeros are saved for it"));
      }
      if (bias->shape != std::vector<std::uint64_t>{weight.shape[0]}) {
        file_.fail(*bias, fmt::format("the shape must be [{}], the number of outputs", weight.shape[0]));
      }
    }
    const auto activation = setting<Activation>("activation", options_.activation,
                                                [](const std::string& text) { return parse_activation(text); });
    auto head = setting<Head>("head", options_.head, [](const std::string& text) { return parse_head(text); });
    // One output can only be an energy.
    if (!head && shape.outputs == 1) head = Head::scalar;
    const auto confinement = setting<float>("confinement", options_.confinement, [](const std::string& text) {
      const auto value = parse_number<float>(text);
      require(value && std::isfinite(*value) && *value >= 0, "confinement", text, "must be a finite number >= 0");
      return *value;
    });
    require(activation.has_value(), "activation", "not given",
            "the file does not say; must be one of silu softplus tanh gelu elu relu");
    require(head.has_value(), "head", "not given",
            fmt::format("the file does not say, and it has {} outputs; logits reads them as classes", shape.outputs));
    shape.activation = *activation;
    shape.head = *head;
    shape.confinement = confinement.value_or(0.0f);
    try {
      return Mlp(std::move(shape));
    } catch (const ConfigError& error) {
      file_.fail(error.what());
    }
  }

  int count_own_layers() const {
    int layers = 0;
    while (file_.find(fmt::format("net.{}.weight", layers)) != nullptr) ++layers;
    if (layers == 0) file_.fail("tensor 'net.0.weight' is missing");
    return layers;
  }

  // The Linear layers of the one nn.Sequential in the file. Its modules are numbered: activations, Dropout and Identity
  // take a number and have no tensors, so gaps are theirs.
  LayerNames foreign_names() const {
    std::map<int, std::string> weights;  // number -> "prefix.number"
    std::optional<std::string> prefix;
    const TensorInfo* first = nullptr;
    for (const TensorInfo& tensor : file_.tensors()) {
      if (tensor.name == "data.mean" || tensor.name == "data.std") continue;
      const auto name = parse_sequential(tensor.name);
      if (!name || (name->role != "weight" && name->role != "bias")) {
        file_.fail(tensor, fmt::format("has no place in an nn.Sequential of linear layers at 0, 2, 4, ...{}",
                                       cure_for(tensor.name)));
      }
      if (prefix && *prefix != name->prefix) {
        file_.fail(tensor, fmt::format("stands under {} and tensor {} under {}: two networks{}",
                                       in_quotes(name->prefix), in_quotes(first->name), in_quotes(*prefix), kCure));
      }
      prefix = name->prefix;
      first = &tensor;
      if (name->role == "weight") weights[name->number] = fmt::format("{}{}", name->prefix, name->number);
    }
    if (weights.empty()) {
      file_.fail(
          "tensor '0.weight' is missing: neither a model of ebmcuda nor an nn.Sequential of linear layers "
          "(PyTorch: save_file(net.state_dict(), ...))");
    }
    LayerNames names;
    int previous = -1;
    for (const auto& [number, layer] : weights) {
      const TensorInfo& tensor = *file_.find(layer + ".weight");
      if (tensor.shape.size() != 2) {
        file_.fail(tensor,
                   fmt::format("has the shape [{}]: a normalisation or convolution is no part of an nn.Sequential of "
                               "linear layers at 0, 2, 4, ...; fold it into the Linear beside it",
                               fmt::join(tensor.shape, ", ")));
      }
      if (previous >= 0 && number == previous + 1) {
        file_.fail(tensor,
                   fmt::format("follows layer {} at once: there is no activation between them. Where there is one "
                               "(a list of layers with a functional activation), number them 0, 2, 4, ...",
                               previous));
      }
      previous = number;
      names.add(layer);
    }
    // nn.Sequential begins at 0; a network whose first layers are not here is another network.
    if (weights.begin()->first > 0 && !may_begin_late(weights.begin()->first)) {
      file_.fail(
          fmt::format("tensor '{}0.weight' is missing: neither a model of ebmcuda nor an nn.Sequential of linear "
                      "layers; number its first Linear 0",
                      *prefix));
    }
    return names;
  }

  // A Flatten, Dropout or Identity may come first.
  static bool may_begin_late(int number) { return number == 1; }

  static std::string cure_for(std::string_view name) {
    if (name.ends_with("_g") || name.ends_with("_v") || name.find("parametrizations") != std::string_view::npos ||
        name.ends_with("weight_orig") || name.ends_with("weight_u")) {
      return ": remove the weight or spectral norm before saving (torch.nn.utils.parametrize.remove_parametrizations)";
    }
    if (name.find("running_") != std::string_view::npos || name.find("num_batches") != std::string_view::npos) {
      return ": fold the batch normalisation into the Linear before it";
    }
    return ": rename or leave it out before saving";
  }

  void refuse_unknown_tensors(int layers) const {
    std::set<std::string> known = {"data.mean", "data.std"};
    const TransformArrays none;
    visit_arrays(transform_, none, [&](const char* name, const auto&, int) { known.insert(name); });
    for (int layer = 0; layer < layers; ++layer) {
      known.insert(names_.weight(layer));
      known.insert(names_.bias(layer));
    }
    for (const TensorInfo& tensor : file_.tensors()) {
      if (known.contains(tensor.name)) continue;
      file_.fail(tensor, fmt::format("has no place in a model whose {} layers end with '{}'{}", layers,
                                     names_.weight(layers - 1),
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
    file_.read_as_float(tensor, out);
    for (std::size_t i = 0; i < out.size(); ++i) {
      if (!std::isfinite(out[i])) file_.fail(tensor, fmt::format("element {} is {}", i, out[i]));
    }
  }

  // What the file says beside data.mean and data.std, which need no word.
  TransformKind transform_kind() const {
    const std::string* name = metadata(kTransform);
    if (name == nullptr) return TransformKind::none;
    try {
      return parse_transform_kind(*name);
    } catch (const ConfigError& error) {
      file_.fail(fmt::format("__metadata__: {} is {}, which this library does not know: {}", kTransform,
                             in_quotes(*name), error.allowed()));
    }
  }

  void read_transform(Mlp* model) const {
    if (!has_marginals(transform_) && !has_whitening(transform_)) {
      read_standardization(model);
      return;
    }
    for (const char* name : {"data.mean", "data.std"}) {
      if (const TensorInfo* tensor = file_.find(name)) {
        file_.fail(*tensor, fmt::format("has no place beside the transform '{}'", to_string(transform_)));
      }
    }
    const auto dim = static_cast<std::uint64_t>(model->dim());
    TransformArrays arrays;
    visit_arrays(transform_, arrays, [&](const char* name, auto& values, int axes) {
      using Value = typename std::remove_reference_t<decltype(values)>::value_type;
      const TensorInfo* tensor = file_.find(name);
      if (tensor == nullptr) file_.fail(fmt::format("tensor '{}' is missing", name));
      if (axes == 2 && tensor->shape != std::vector{dim, dim}) {
        file_.fail(*tensor, fmt::format("the shape must be [{}, {}]", dim, dim));
      }
      if (tensor->shape.size() != static_cast<std::size_t>(axes)) file_.fail(*tensor, "must have one axis");
      values = file_.read<Value>(*tensor);
    });
    try {
      model->set_transform(transform_of(transform_, dim, arrays));
    } catch (const ConfigError& error) {
      file_.fail(error.what());
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
  TransformKind transform_ = TransformKind::none;
  LayerNames names_;
};

}  // namespace

Mlp read_mlp(InputFile file, const MlpReadOptions& options) { return ModelReader(std::move(file), options).read(); }

Mlp Mlp::load(const std::filesystem::path& path, const MlpReadOptions& options) {
  return read_mlp(InputFile(path), options);
}

void Mlp::save(const std::filesystem::path& path) const {
  const LayerNames names = own_names(shape_.layers());
  const auto size = [](int n) { return static_cast<std::uint64_t>(n); };
  std::vector<TensorData> tensors;
  for (int layer = 0; layer < shape_.layers(); ++layer) {
    tensors.push_back(
        TensorData::of(names.weight(layer), {size(shape_.out(layer)), size(shape_.in(layer))}, weight(layer)));
    tensors.push_back(TensorData::of(names.bias(layer), {size(shape_.out(layer))}, bias(layer)));
    for (const std::span<const float> values : {weight(layer), bias(layer)}) {
      for (const float v : values)
        require(std::isfinite(v), fmt::format("layer {}", layer), v, "every parameter must be finite");
    }
  }
  if (const auto& standardization = transform_.standardization()) {
    const std::vector<std::uint64_t> shape = {size(dim())};
    tensors.push_back(TensorData::of("data.mean", shape, std::span<const float>(standardization->mean)));
    tensors.push_back(TensorData::of("data.std", shape, std::span<const float>(standardization->std)));
  }
  const TransformArrays arrays = arrays_of(transform_);
  visit_arrays(transform_.kind(), arrays, [&](const char* name, const auto& values, int axes) {
    using Value = typename std::remove_reference_t<decltype(values)>::value_type;
    std::vector<std::uint64_t> shape = {values.size()};
    if (axes == 2) shape = {size(dim()), size(dim())};
    tensors.push_back(TensorData::of(name, std::move(shape), std::span<const Value>(values)));
  });
  std::map<std::string, std::string> metadata = notes_;
  for (const std::string_view key : kOwnKeys) {
    require(!metadata.contains(std::string(key)), "notes", key, "is a name of the file format itself");
  }
  metadata["format"] = kFormat;
  metadata["activation"] = to_string(shape_.activation);
  metadata["head"] = to_string(shape_.head);
  metadata["confinement"] = fmt::format("{}", shape_.confinement);
  if (transform_.parts() != nullptr) metadata[std::string(kTransform)] = to_string(transform_.kind());
  write_safetensors(path, std::move(tensors), metadata);
}

}  // namespace ebm
