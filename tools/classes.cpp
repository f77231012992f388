#include "tools/classes.hpp"

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "ebmcuda/classification.hpp"
#include "ebmcuda/scores.hpp"

namespace ebm::tools {

using Json = nlohmann::ordered_json;

Json classification_of(const Mlp& model, MatrixView x, std::span<const int> labels, std::uint64_t seed,
                       const Device& device) {
  ClassificationOptions options;
  options.seed = seed;
  const Matrix log_p = class_log_probabilities(model, x, device);
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
