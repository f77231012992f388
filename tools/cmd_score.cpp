// ebm score M DATA: how unusual every point is, and where to draw the line.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "ebmcuda/dataset.hpp"
#include "ebmcuda/ensemble.hpp"
#include "ebmcuda/error.hpp"
#include "ebmcuda/files.hpp"
#include "ebmcuda/known_log_z.hpp"
#include "ebmcuda/scores.hpp"
#include "tools/command.hpp"
#include "tools/console.hpp"
#include "tools/inputs.hpp"
#include "tools/model_box.hpp"
#include "tools/model_options.hpp"
#include "tools/options.hpp"
#include "tools/outputs.hpp"
#include "tools/plot/figures.hpp"
#include "tools/streams.hpp"

namespace ebm::tools {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr double kUsualRate = 0.05;

struct ScoreOptions {
  CommonOptions common;
  ModelOptions model;
  DataOptions data;
  std::optional<fs::path> held_out, out, picture;
  std::optional<double> false_alarm_rate;
  float dequantize = 0;
};

// E of every row, and +infinity outside the model's box, where p(x) = 0.
std::vector<float> scores_of(const Mlp& model, MatrixView x, const std::optional<Box>& box, const Device& device) {
  std::vector<float> scores = energy(model, x, device);
  for (std::size_t i = 0; box && i < scores.size(); ++i) {
    if (!inside(x.row(i), *box)) scores[i] = std::numeric_limits<float>::infinity();
  }
  return scores;
}

// Of several models -log p of their average, for which each must know its log Z.
Ensemble ensemble_of(const ScoreOptions& options, const std::vector<Mlp>& models, const Device& device) {
  std::vector<EnsembleMember> members;
  for (std::size_t m = 0; m < models.size(); ++m) {
    const std::optional<KnownLogZ> log_z = noted_log_z(models[m]);
    if (!log_z) {
      throw ConfigError("MODEL", options.model.paths()[m].string(),
                        "keeps no log Z, without which there is no average of densities (ebm evaluate --save-log-z)");
    }
    members.push_back({models[m], log_z->value, log_z->error, noted_box(models[m])});
  }
  return Ensemble(members, device);
}

// The scores of the normal rows, labelled 0, and of the anomalies, labelled 1.
struct Groups {
  std::vector<float> normal, anomalies;
};
Groups grouped(const std::vector<float>& scores, const std::vector<int>& labels) {
  Groups groups;
  for (std::size_t i = 0; i < scores.size(); ++i)
    (labels[i] == 0 ? groups.normal : groups.anomalies).push_back(scores[i]);
  return groups;
}

void require_anomaly_labels(const std::vector<int>& labels) {
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] == 0 || labels[i] == 1) continue;
    throw ConfigError("labels", fmt::format("{}", labels[i]),
                      fmt::format("must be 0 (normal) or 1 (anomaly) (row {})", i));
  }
  const auto anomalies = std::ranges::count(labels, 1);
  if (anomalies == 0 || static_cast<std::size_t>(anomalies) == labels.size()) {
    throw ConfigError("labels", fmt::format("{} of {} rows are anomalies", anomalies, labels.size()),
                      "must hold both normal rows (0) and anomalies (1)");
  }
}

std::size_t count_above(const std::vector<float>& scores, double threshold) {
  return static_cast<std::size_t>(
      std::ranges::count_if(scores, [&](float score) { return static_cast<double>(score) > threshold; }));
}

double share_above(const std::vector<float>& scores, double threshold) {
  return static_cast<double>(count_above(scores, threshold)) / static_cast<double>(scores.size());
}

ScoresFigure picture_of(const Groups& groups, const Auroc& result, std::optional<double> threshold) {
  ScoresFigure figure{groups.normal, groups.anomalies, threshold, {}, {}, result.area};
  for (const RocPoint& point : roc_curve(groups.normal, groups.anomalies)) {
    figure.false_alarm_rate.push_back(point.false_alarm_rate);
    figure.detection_rate.push_back(point.detection_rate);
  }
  return figure;
}

// Columns side by side.
class Columns {
 public:
  void add(const std::string& name, std::vector<float> values) {
    names_.push_back(name);
    columns_.push_back(std::move(values));
  }
  const std::vector<std::string>& names() const { return names_; }
  Matrix matrix() const {
    Matrix result(columns_.front().size(), columns_.size());
    for (std::size_t i = 0; i < result.rows(); ++i) {
      for (std::size_t k = 0; k < columns_.size(); ++k) result(i, k) = columns_[k][i];
    }
    return result;
  }

 private:
  std::vector<std::string> names_;
  std::vector<std::vector<float>> columns_;
};

void run(const ScoreOptions& options) {
  const Console console(options.common.quiet);
  const Device device = options.common.open();
  Outputs outputs;
  for (const fs::path& path : options.model.paths()) outputs.protect(path);
  outputs.protect(options.data.path);
  if (options.data.labels) outputs.protect(*options.data.labels);
  if (options.held_out) outputs.protect(*options.held_out);
  if (options.out) outputs.claim("--out", *options.out, {".npy", ".csv"});
  if (options.picture) outputs.claim("--picture", *options.picture, {".png"});
  const double rate = options.false_alarm_rate.value_or(kUsualRate);
  if (options.false_alarm_rate && !options.held_out) {
    throw ConfigError("--false-alarm-rate", fmt::format("{}", rate), "needs --held-out");
  }
  const std::vector<Mlp> models = options.model.load_all(console);
  const Mlp& model = models.front();
  std::optional<Ensemble> ensemble;
  if (models.size() > 1) ensemble = ensemble_of(options, models, device);
  const Data data = options.data.read(console);
  require_dimension(fmt::format("DATA ({})", options.data.path.string()), data.x, model);
  const bool labelled = !data.labels.empty();
  if (labelled) require_anomaly_labels(data.labels);
  if (options.picture && !labelled) {
    throw ConfigError("--picture", options.picture->string(), "needs --labels or --label-column, 0 normal, 1 anomaly");
  }
  std::optional<Matrix> held_out;
  if (options.held_out) {
    held_out = options.data.read_features(console, *options.held_out);
    require_dimension(fmt::format("--held-out ({})", options.held_out->string()), *held_out, model);
  }
  if (options.out) outputs.reserve_values("--out", *options.out, data.x.rows());
  warn_without_noise(console, model, options.dequantize);

  const std::optional<Box> box = ensemble ? std::nullopt : noted_box(model);  // an ensemble's members have their own
  const auto scores = [&](const Matrix& x, std::uint64_t part) {
    const Matrix noisy = dequantized(x, options.dequantize, options.common.seed() + part);
    if (!ensemble) return scores_of(model, noisy, box, device);
    const std::vector<double> log_p = ensemble->log_density(noisy);
    std::vector<float> result(log_p.size());
    std::ranges::transform(log_p, result.begin(), [](double v) { return static_cast<float>(-v); });
    return result;
  };
  const std::vector<float> energies = scores(data.x, 0);
  Json json{{"n", data.x.rows()}, {"dim", data.x.cols()}};
  if (box) json["clamp"] = {{"lo", box->lo}, {"hi", box->hi}};
  Columns columns;
  columns.add("energy", energies);

  // The energy of an ensemble is -log p already.
  const std::optional<KnownLogZ> log_z = ensemble ? KnownLogZ{0, 0, "members"} : noted_log_z(model);
  if (ensemble) json["members"] = models.size();
  json["log_z"] = log_z && !ensemble ? Json(log_z->value) : Json(nullptr);  // each member has its own
  json["log_z_stderr"] = log_z && !ensemble ? Json(log_z->error) : Json(nullptr);
  if (log_z) {
    std::vector<float> log_p(energies.size());
    std::ranges::transform(energies, log_p.begin(),
                           [&](float e) { return static_cast<float>(-static_cast<double>(e) - log_z->value); });
    columns.add("log_p", std::move(log_p));
    if (box && log_z->method == "ais") {
      console.warn("log Z by ais is over all of space and no less than in the box: log p is a lower bound");
    }
  } else if (has_log_z_note(model)) {
    console.warn("the log Z in {} is of another model: no log p (ebm evaluate --save-log-z finds it)",
                 options.model.path.string());
  } else {
    console.info("no log p: log Z is not known (ebm evaluate --save-log-z keeps it in the model file)");
  }

  std::optional<double> threshold;
  if (held_out) {
    const std::vector<float> reference = scores(*held_out, 1);
    threshold = false_alarm_threshold(reference, rate);
    const std::vector<double> ranks = percentiles(energies, reference);
    std::vector<float> percentile(ranks.size()), anomaly(ranks.size());
    std::ranges::transform(ranks, percentile.begin(), [](double v) { return static_cast<float>(v); });
    std::ranges::transform(energies, anomaly.begin(),
                           [&](float e) { return static_cast<double>(e) > *threshold ? 1.0f : 0.0f; });
    columns.add("percentile", std::move(percentile));
    columns.add("anomaly", std::move(anomaly));
    json["held_out"] = {{"n", reference.size()},
                        {"false_alarm_rate", rate},
                        {"threshold", *threshold},
                        {"anomalies", count_above(energies, *threshold)}};
  }
  if (labelled) {
    const Groups groups = grouped(energies, data.labels);
    const Auroc result = auroc(groups.normal, groups.anomalies);
    json["detection"] = {{"normal", groups.normal.size()},
                         {"anomalies", groups.anomalies.size()},
                         {"auroc", result.area},
                         {"auroc_stderr", result.standard_error}};
    if (threshold) {
      json["detection"]["false_alarm_rate"] = share_above(groups.normal, *threshold);
      json["detection"]["detection_rate"] = share_above(groups.anomalies, *threshold);
    }
    if (options.picture) {
      write_png(*options.picture, draw_scores(picture_of(groups, result, threshold)));
      console.info("wrote {}", options.picture->string());
    }
  }
  json["columns"] = columns.names();
  const Matrix table = columns.matrix();
  if (options.out) {
    write_matrix(*options.out, table);
    print(json.dump(2) + "\n");
  } else {
    print_rows(table);
    console.info("{}", json.dump(2));
  }
}

}  // namespace

Command add_score_command(CLI::App& ebm) {
  const auto line = std::make_shared<CommandLine>(
      ebm, "score", "How unusual every point is: anomaly detection",

      "Examples:\n"
      "  ebm score m.safetensors new.npy --out scores.csv\n"
      "  ebm score m.safetensors new.npy --held-out held_out.npy --false-alarm-rate 0.01 --out scores.csv\n"
      "  ebm score m.0.safetensors m.1.safetensors new.npy --out scores.csv     by the average of two densities\n"
      "  ebm score m.safetensors test.csv --label-column 30 --held-out held_out.csv --picture roc.png --out "
      "scores.csv\n"
      "\n"
      "For every row its energy; log p(x) where log Z is known (ebm evaluate --save-log-z); with --held-out its\n"
      "percentile among rows that were not trained on, and whether it lies above the threshold that a new normal row\n"
      "exceeds with the probability of --false-alarm-rate at most. With labels, 0 normal and 1 anomaly, how well the\n"
      "two are told apart.\n");
  const auto options = std::make_shared<ScoreOptions>();
  options->model.add(*line);
  options->data.add(*line, DataOptions::Labels::numbers);
  options->model.take_several(*line, &options->data.path);
  line->add("--held-out", options->held_out, "FILE",
            "normal points that the model was not trained on, laid out as DATA");
  line->add("--false-alarm-rate", options->false_alarm_rate, "F",
            "of normal points that are called anomalies, in (0, 1) (default 0.05)");
  line->add("--dequantize", options->dequantize, "W", "add uniform noise in [0, W), as in training (default 0)");
  line->add("--out", options->out, "FILE", "one row each, .npy or .csv (default: rows on standard output)");
  line->add("--picture", options->picture, "FILE", "with labels: both groups' energies and the ROC curve (.png)");
  options->model.add_hints(*line);
  options->common.add(*line);
  return {line, [options] { run(*options); }};
}

}  // namespace ebm::tools
