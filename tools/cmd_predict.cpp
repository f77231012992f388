// ebm predict M DATA: p(y | x) of every point, and its most probable class.
#include <fmt/format.h>

#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "ebmcuda/calibration.hpp"
#include "ebmcuda/classification.hpp"
#include "ebmcuda/dataset.hpp"
#include "ebmcuda/error.hpp"
#include "ebmcuda/files.hpp"
#include "tools/command.hpp"
#include "tools/console.hpp"
#include "tools/inputs.hpp"
#include "tools/model_options.hpp"
#include "tools/options.hpp"
#include "tools/outputs.hpp"
#include "tools/streams.hpp"

namespace ebm::tools {
namespace {

using Json = nlohmann::ordered_json;

struct PredictOptions {
  CommonOptions common;
  ModelOptions model;
  DataOptions data;
  std::optional<std::filesystem::path> out, labels_out;
  float dequantize = 0;
  std::optional<double> temperature;
};

// "label, p_0, p_1, ...", as standard output has it.
Matrix with_labels_in_front(const std::vector<int>& labels, MatrixView probabilities) {
  Matrix rows(probabilities.rows, probabilities.cols + 1);
  for (std::size_t i = 0; i < rows.rows(); ++i) {
    rows(i, 0) = static_cast<float>(labels[i]);
    for (std::size_t y = 0; y < probabilities.cols; ++y) rows(i, y + 1) = probabilities.row(i)[y];
  }
  return rows;
}

Json summary(const Mlp& model, const std::vector<int>& labels, std::size_t classes) {
  std::vector<std::size_t> counts(classes);
  for (const int label : labels) ++counts[static_cast<std::size_t>(label)];
  Json json{{"n", labels.size()}, {"classes", classes}};
  if (const auto names = noted_classes(model); names.size() == classes) json["class_names"] = names;
  json["rows_of_class"] = counts;
  return json;
}

void run(const PredictOptions& options) {
  const Console console(options.common.quiet);
  const Device device = options.common.open();
  Outputs outputs;
  outputs.protect(options.model.path);
  outputs.protect(options.data.path);
  if (options.out) outputs.claim("--out", *options.out, {".npy", ".csv"});
  if (options.labels_out) outputs.claim("--labels-out", *options.labels_out, {".npy"});
  const Mlp model = options.model.load(console);
  if (model.shape().head != Head::logits) {
    throw ConfigError("MODEL", options.model.path.string(),
                      "has a scalar head; only a model with a logits head (ebm train --head logits) has classes");
  }
  const Matrix data = options.data.read(console).x;
  require_dimension(fmt::format("DATA ({})", options.data.path.string()), data, model);
  const auto classes = static_cast<std::size_t>(model.shape().outputs);
  if (options.out) outputs.reserve_values("--out", *options.out, data.rows() * classes);
  if (options.labels_out) outputs.reserve_values("--labels-out", *options.labels_out, data.rows());
  warn_without_noise(console, model, options.dequantize);

  const Matrix x = dequantized(data, options.dequantize, options.common.seed());
  Matrix p = class_log_probabilities(model, x, device);
  if (options.temperature) p = at_temperature(p, *options.temperature);
  const std::vector<int> labels = most_probable_class(p);
  for (float& v : p.values()) v = std::exp(v);
  if (options.labels_out) write_labels(*options.labels_out, labels);
  const Json json = summary(model, labels, classes);
  const std::string text = json.dump(2, ' ', false, Json::error_handler_t::replace);
  if (options.out) write_matrix(*options.out, p);
  if (options.out || options.labels_out) {
    print(text + "\n");
  } else {
    const Matrix rows = with_labels_in_front(labels, p);
    print_rows(rows);
    console.info("{}", text);
  }
}

}  // namespace

Command add_predict_command(CLI::App& ebm) {
  const auto line = std::make_shared<CommandLine>(
      ebm, "predict", "p(y | x) and the most probable class of every point",

      "Examples:\n"
      "  ebm predict jem.safetensors new.npy --out probabilities.csv --labels-out labels.npy\n"
      "  ebm predict jem.safetensors digits.csv --columns 0:64                  label,p0,p1,... a line\n"
      "\n"
      "For a model with a logits head. How good the probabilities are says ebm evaluate with labels.\n");
  const auto options = std::make_shared<PredictOptions>();
  options->model.add(*line);
  options->data.add(*line, DataOptions::Labels::none);
  line->add("--out", options->out, "FILE", "p(y | x), [N, classes], .npy or .csv (default: rows on standard output)");
  line->add("--labels-out", options->labels_out, "FILE", "the most probable classes, .npy");
  line->add("--temperature", options->temperature, "T",
            "p(y | x)^(1/T), normalised: T as ebm evaluate --calibrate fits it (default 1)");
  line->add("--dequantize", options->dequantize, "W", "add uniform noise in [0, W), as in training (default 0)");
  options->model.add_hints(*line);
  options->common.add(*line);
  return {line, [options] { run(*options); }};
}

}  // namespace ebm::tools
