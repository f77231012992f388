// ebm info [M]: devices and build, or what a model file holds.
#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "ebmcuda/device.hpp"
#include "ebmcuda/energy.hpp"
#include "ebmcuda/mlp.hpp"
#include "tools/command.hpp"
#include "tools/console.hpp"
#include "tools/inputs.hpp"
#include "tools/model_options.hpp"
#include "tools/options.hpp"
#include "tools/streams.hpp"

namespace ebm::tools {
namespace {

using Json = nlohmann::ordered_json;

struct InfoOptions {
  CommonOptions common;
  ModelOptions model;
  bool json = false;
};

Json describe_build() {
  Json devices = Json::array();
  for (const DeviceDescription& device : available_devices()) {
    devices.push_back({{"name", device.name}, {"detail", device.detail}});
  }
  return {{"build", build_description()}, {"devices", devices}};
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

// "key  value" lines; long lists are cut, --json has them whole.
std::string as_text(const Json& json, const std::string& prefix = "") {
  std::string all;
  for (const auto& [key, value] : json.items()) {
    if (value.is_object()) {
      all += as_text(value, prefix + key + ".");
      continue;
    }
    std::string text = value.is_string() ? value.get<std::string>() : value.dump();
    constexpr std::size_t kLongest = 100;
    if (value.is_array() && text.size() > kLongest)
      text = text.substr(0, kLongest) + fmt::format("... ({})", value.size());
    all += fmt::format("{:<14} {}\n", prefix + key, text);
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

void run(const InfoOptions& options) {
  const Device device = options.common.open();
  if (options.model.path.empty()) {
    const Json json = describe_build();
    print(options.json ? json.dump(2) + "\n" : build_as_text(json));
  } else {
    const Json json = describe_model(options.model.load(), device);
    print(options.json ? json.dump(2) + "\n" : as_text(json));
  }
}

}  // namespace

Command add_info_command(CLI::App& ebm) {
  const auto line = std::make_shared<CommandLine>(
      ebm, "info", "Devices and build, or what a model file holds",

      "Examples:\n"
      "  ebm info\n"
      "  ebm info moons.safetensors\n"
      "  ebm info moons.safetensors --json\n"
      "\n"
      "Says which devices this build can use, or what a model file holds and which engine would run it.\n");
  const auto options = std::make_shared<InfoOptions>();
  options->model.add(*line, false);
  line->add_flag("--json", options->json, "one JSON object instead of text");
  options->model.add_hints(*line);
  options->common.add(*line);
  return {line, [options] { run(*options); }};
}

}  // namespace ebm::tools
