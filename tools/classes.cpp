#include "tools/classes.hpp"

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "ebmcuda/calibration.hpp"
#include "ebmcuda/classification.hpp"
#include "ebmcuda/scores.hpp"

namespace ebm::tools {

using Json = nlohmann::ordered_json;

namespace {

Json quality_of(const Matrix& log_p, std::span<const int> labels, std::uint64_t seed) {
  ClassificationOptions options;
  options.seed = seed;
  const ClassificationQuality quality = judge_classifier(log_p, labels, options);
  Json json;
  const auto put = [&](const std::string& name, const Estimate& estimate) {
    json[name] = estimate.value;
    json[name + "_interval"] = {estimate.lo, estimate.hi};
  };
  put("accuracy", quality.accuracy);
  put("cross_entropy", quality.negative_log_likelihood);
  put("brier", quality.brier);
  put("calibration_error", quality.calibration_error);
  json["interval_level"] = options.level;
  json["resamples"] = options.resamples;
  json["calibration_bins"] = options.bins;
  return json;
}

}  // namespace

Json classification_of(const Mlp& model, MatrixView x, std::span<const int> labels, std::uint64_t seed,
                       const Device& device) {
  return quality_of(class_log_probabilities(model, x, device), labels, seed);
}

Json scaled_classification_of(const Mlp& model, MatrixView x, std::span<const int> labels, MatrixView held_out,
                              std::span<const int> held_out_labels, std::uint64_t seed, const Device& device) {
  const Matrix log_p = class_log_probabilities(model, x, device);
  const Matrix held_out_log_p = class_log_probabilities(model, held_out, device);
  const double temperature = fit_temperature(held_out_log_p, held_out_labels);
  Json json{{"temperature", temperature}, {"fitted_on", held_out_labels.size()}};
  json.update(quality_of(at_temperature(log_p, temperature), labels, seed));
  return json;
}

Json out_of_distribution_of(const Mlp& model, MatrixView x, MatrixView other, const Device& device) {
  Json json{{"n", other.rows}};
  const auto put = [&](const std::string& name, const std::vector<float>& normal, const std::vector<float>& anomalies) {
    const Auroc result = auroc(normal, anomalies);
    json[name] = result.area;
    json[name + "_stderr"] = result.standard_error;
  };
  put("auroc_energy", energy(model, x, device), energy(model, other, device));
  if (model.shape().head == Head::logits) {
    const auto doubt = [&](MatrixView points) {
      const Matrix log_p = class_log_probabilities(model, points, device);
      std::vector<float> values = confidence(log_p);
      std::ranges::transform(values, values.begin(), std::negate<>());
      return values;
    };
    put("auroc_max_probability", doubt(x), doubt(other));
  }
  return json;
}

}  // namespace ebm::tools
