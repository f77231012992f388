// ebm info [FILE]: devices and build, or what a model, a checkpoint or any other safetensors file holds.
#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "ebmcuda/checkpoint.hpp"
#include "ebmcuda/device.hpp"
#include "ebmcuda/energy.hpp"
#include "ebmcuda/error.hpp"
#include "ebmcuda/files.hpp"
#include "ebmcuda/mlp.hpp"
#include "tools/command.hpp"
#include "tools/console.hpp"
#include "tools/inputs.hpp"
#include "tools/model_options.hpp"
#include "tools/options.hpp"
#include "tools/ranks.hpp"
#include "tools/streams.hpp"
#include "tools/train_options.hpp"

namespace ebm::tools {
namespace {

using Json = nlohmann::ordered_json;

struct InfoOptions {
  CommonOptions common;
  ModelOptions model;
  bool json = false, ranks = false;
};

Json describe_build() {
  Json devices = Json::array();
  for (const DeviceDescription& device : available_devices()) {
    devices.push_back({{"name", device.name}, {"detail", device.detail}});
  }
  return {{"build", build_description()}, {"devices", devices}};
}

Json describe_ranks() {
  Json json = Json::array();
  int rank = 0;
  for (const RankDescription& each : ranks().ranks()) {
    json.push_back({{"rank", rank++},
                    {"host", each.host},
                    {"process", each.process},
                    {"local_rank", each.local_rank},
                    {"threads", each.threads}});
  }
  return {{"carrier", ranks().carrier()}, {"ranks", json}};
}

Json describe_model(const Mlp& model, const Device& device) {
  const MlpShape& shape = model.shape();
  std::string layers = fmt::format("{}", shape.dim);
  for (const int width : shape.hidden) layers += fmt::format("-{}", width);
  layers += fmt::format("-{}", shape.outputs);
  Json json{{"shape", layers},
            {"dim", shape.dim},
            {"hidden", shape.hidden},
            {"activation", to_string(shape.activation)},
            {"head", to_string(shape.head)},
            {"outputs", shape.outputs},
            {"confinement", shortest(shape.confinement)},
            {"parameters", shape.parameter_count()}};
  json["transform"] = model.transform().describe();
  if (const auto& standardization = model.standardization()) {
    json["mean"] = standardization->mean;
    json["std"] = standardization->std;
  } else {
    json["mean"] = nullptr;
    json["std"] = nullptr;
  }
  json["notes"] = model.notes();
  json["engine"] = Energy(model, device).description();
  return json;
}

Json describe_tensors(const SafetensorsSummary& file) {
  Json tensors = Json::array();
  for (const auto& tensor : file.tensors) {
    tensors.push_back({{"name", tensor.name}, {"dtype", tensor.dtype}, {"shape", tensor.shape}});
  }
  return tensors;
}

// A checkpoint: how far its run is, its options as ebm train takes them, and its model.
Json describe_run(const TrainingRun& run, const Device& device) {
  const Mlp& model = run.model;
  Json json{{"checkpoint",
             {{"iteration", run.iteration}, {"iterations", run.options.iterations}, {"finished", run.finished()}}}};
  Json settings = Json::object();
  for (const auto& [name, value] : settings_of(run.options, model.shape(), model.transform().kind())) {
    settings[name] = value;
  }
  json["settings"] = settings;
  json.update(describe_model(model, device));
  return json;
}

// Whatever the file is. A file that calls itself a model or a checkpoint has to be one.
Json describe_file(const InfoOptions& options, const std::filesystem::path& path, const Device& device) {
  const SafetensorsSummary file = describe_safetensors(path);
  Json json;
  if (is_checkpoint(path)) {
    json = describe_run(read_run(path), device);
  } else {
    try {
      json = describe_model(Mlp::load(path, options.model.read), device);
    } catch (const Error& error) {
      if (const auto format = file.metadata.find("format");
          format != file.metadata.end() && format->second.starts_with("ebmcuda")) {
        throw;
      }
      json = {{"model", nullptr}, {"why_no_model", error.what()}, {"metadata", file.metadata}};
    }
  }
  json["tensors"] = describe_tensors(file);
  return json;
}

// Control characters of a file do nothing to a terminal.
std::string printable(const std::string& text) {
  constexpr std::size_t kLongest = 1000;
  std::string result;
  for (const char c : text.substr(0, kLongest)) {
    const auto byte = static_cast<unsigned char>(c);
    result += byte < 0x20 || byte == 0x7F ? fmt::format("\\x{:02x}", byte) : std::string(1, c);
  }
  return text.size() > kLongest ? result + "..." : result;
}

// "key  value" lines; long lists are cut, --json has them whole.
std::string as_text(const Json& json, const std::string& prefix = "") {
  std::string all;
  for (const auto& [key, value] : json.items()) {
    if (key == "tensors") {
      for (const Json& tensor : value) {
        all += fmt::format("{:<14} {} {} {}\n", "tensor", printable(tensor["name"].get<std::string>()),
                           tensor["dtype"].get<std::string>(), tensor["shape"].dump());
      }
      continue;
    }
    if (value.is_object()) {
      all += as_text(value, prefix + key + ".");
      continue;
    }
    std::string text = value.is_string() ? printable(value.get<std::string>()) : value.dump();
    constexpr std::size_t kLongest = 100;
    if (value.is_array() && text.size() > kLongest)
      text = text.substr(0, kLongest) + fmt::format("... ({})", value.size());
    all += fmt::format("{:<14} {}\n", prefix + printable(key), text);
  }
  return all;
}

std::string build_as_text(const Json& json) {
  std::string all;
  for (const auto& line : json["build"]) all += line.get<std::string>() + "\n";
  for (const auto& device : json["devices"]) {
    all += fmt::format("device {}: {}\n", device["name"].get<std::string>(), device["detail"].get<std::string>());
  }
  return all;
}

std::string ranks_as_text(const Json& json) {
  std::string all = fmt::format("carrier {}\n", json["carrier"].get<std::string>());
  for (const auto& rank : json["ranks"]) {
    all += fmt::format("rank {}: process {} on {}, local rank {}, threads {}\n", rank["rank"].get<int>(),
                       rank["process"].get<std::int64_t>(), printable(rank["host"].get<std::string>()),
                       rank["local_rank"].get<int>(), rank["threads"].get<int>());
  }
  return all;
}

void run(const InfoOptions& options) {
  const Device device = options.common.open();
  if (options.ranks) {
    if (!options.model.path.empty()) throw ConfigError("--ranks", "given", "says nothing about a file; leave one out");
    const Json json = describe_ranks();
    return print(options.json ? json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n" : ranks_as_text(json));
  }
  if (options.model.path.empty()) {
    const Json json = describe_build();
    print(options.json ? json.dump(2) + "\n" : build_as_text(json));
  } else {
    Json all = Json::array();
    std::string text;
    for (const std::filesystem::path& path : options.model.paths()) {
      Json json = describe_file(options, path, device);
      if (!options.model.others.empty()) {
        text += fmt::format("{}{:<14} {}\n", text.empty() ? "" : "\n", "file", printable(path.string()));
        json["file"] = path.string();
      }
      text += as_text(json);
      all.push_back(std::move(json));
    }
    // An error's text may quote a file's name, which may be anything; JSON is UTF-8.
    const Json& json = options.model.others.empty() ? all.front() : all;
    print(options.json ? json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n" : text);
  }
}

}  // namespace

Command add_info_command(CLI::App& ebm) {
  const auto line = std::make_shared<CommandLine>(
      ebm, "info", "Devices and build, or what a safetensors file holds",

      "Examples:\n"
      "  ebm info\n"
      "  ebm info moons.safetensors\n"
      "  ebm info moons.safetensors --json\n"
      "  ebm info run.safetensors          a checkpoint: its iteration, settings and model\n"
      "  mpirun -n 4 ebm info --ranks      who works together, where, with how many threads\n"
      "\n"
      "Says which devices this build can use, or what a file holds: a model and which engine would run it, a "
      "checkpoint\n"
      "and how far its run is, any other safetensors file by its tensors and metadata.\n");
  const auto options = std::make_shared<InfoOptions>();
  options->model.add(*line, false);
  options->model.take_several(*line);
  line->add_flag("--json", options->json, "one JSON object instead of text");
  line->add_flag("--ranks", options->ranks, "the ranks that the program was started among (docs/ranks.md)");
  options->model.add_hints(*line);
  options->common.add(*line);
  return {line, [options] { run(*options); }};
}

}  // namespace ebm::tools
