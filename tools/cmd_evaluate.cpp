// ebm evaluate M DATA: the log-likelihood in nats, and how far to trust it.
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
#include "ebmcuda/log_z.hpp"
#include "tools/baselines.hpp"
#include "tools/classes.hpp"
#include "tools/command.hpp"
#include "tools/console.hpp"
#include "tools/errors.hpp"
#include "tools/inputs.hpp"
#include "tools/known_density.hpp"
#include "tools/model_box.hpp"
#include "tools/model_options.hpp"
#include "tools/options.hpp"
#include "tools/outputs.hpp"
#include "tools/ranks.hpp"
#include "tools/saved_log_z.hpp"
#include "tools/streams.hpp"

namespace ebm::tools {
namespace {

using Json = nlohmann::ordered_json;

enum class Method { quadrature, ais };

struct EvaluateOptions {
  CommonOptions common;
  ModelOptions model;
  DataOptions data;
  std::optional<std::filesystem::path> train, out_of_distribution, calibrate, calibrate_labels;
  std::optional<Method> method;  // unset: auto
  std::optional<int> quadrature_points;
  AisOptions ais;
  float dequantize = 0;
  std::optional<DensityName> density;
  std::optional<bool> baselines;     // unset: on
  std::optional<std::string> clamp;  // a box, or off; unset: the model's
  bool save_log_z = false;
};

std::optional<Method> parse_method(std::string_view text, std::string_view option) {
  if (text == "auto") return std::nullopt;
  if (text == "quadrature") return Method::quadrature;
  if (text == "ais") return Method::ais;
  throw ConfigError(std::string(option), std::string(text), "must be one of auto quadrature ais");
}

std::optional<Box> box_for(const EvaluateOptions& options, const Mlp& model) {
  if (!options.clamp) return noted_box(model);
  if (*options.clamp == "off") return std::nullopt;
  Box box;
  parse("--clamp", *options.clamp, box);
  if (!(box.lo[0] < box.hi[0])) throw ConfigError("--clamp", *options.clamp, "must be LO,HI with LO < HI, or off");
  return box;
}

// Adds log_z and what belongs to it. Returns why there is no value, or nothing.
std::string add_quadrature(Json& json, std::optional<double>& log_z, const EvaluateOptions& options, const Mlp& model,
                           const std::optional<Box>& clamp, const Device& device) {
  json["method"] = "quadrature";
  QuadratureOptions quadrature;
  if (options.quadrature_points) quadrature.points = *options.quadrature_points;
  json["thresholds"] = {{"log_z_stderr", quadrature.max_error}, {"border_mass", quadrature.border_tolerance}};
  try {
    const QuadratureResult result = quadrature_in(clamp, model, quadrature, device);
    log_z = result.log_z;
    json["log_z"] = result.log_z;
    json["log_z_stderr"] = result.error;  // the discretisation error: nothing here is random
    json["border_mass"] = result.border_mass;
    json["box"] = {{"lo", result.box.lo}, {"hi", result.box.hi}};
    json["quadrature_points"] = result.points;
    if (result.cells > 0) json["quadrature_cells"] = result.cells;
    return {};
  } catch (const LogZError& refusal) {
    json["log_z"] = nullptr;
    json["log_z_stderr"] = nullptr;
    return fmt::format("{}{}", refusal.what(),
                       options.quadrature_points ? "; without --quadrature-points the grid is refined by itself" : "");
  }
}

std::string add_ais(Json& json, std::optional<double>& log_z, const EvaluateOptions& options, std::uint64_t seed,
                    const Mlp& model, const Device& device, const Console& console) {
  json["method"] = "ais";
  AisOptions ais = options.ais;
  ais.seed = seed;
  ProgressBar forward(console, "annealing", ais.temperatures), reverse(console, "annealing back", ais.temperatures);
  ais.progress = [&](const AisProgress& progress) {
    if (progress.reverse) forward.finish();
    (progress.reverse ? reverse : forward).update(progress.temperature);
    return true;
  };
  const AisResult result = ais_log_z(model, ais, {}, device);
  forward.finish();
  if (ais.reverse) reverse.finish();
  log_z = result.log_z;
  json["log_z"] = result.log_z ? Json(*result.log_z) : Json(nullptr);
  json["log_z_stderr"] = result.stderr_forward;
  json["log_z_lower_bound"] = result.log_z_forward;
  json["log_z_upper_bound"] = result.log_z_reverse;  // NaN, printed null, without the reverse run
  json["log_z_upper_bound_stderr"] = result.stderr_reverse;
  json["effective_sample_size"] = result.ess;
  json["ais_chains"] = ais.chains;
  json["ais_temperatures"] = ais.temperatures;
  json["acceptance"] = result.acceptance;
  json["thresholds"] = {
      {"effective_sample_size", std::max(ais.min_ess * static_cast<double>(ais.chains), ais.min_ess_chains)},
      {"bounds_apart_standard_errors", ais.max_gap_errors},
      {"bounds_apart", ais.max_gap}};
  return result.refusal.empty() ? "" : result.refusal + ": more --ais-temperatures or --ais-chains help";
}

// log Z of one model.
struct Normalised {
  Json json;  // with its error and how it was found
  std::optional<double> log_z;
  std::string refusal;  // why there is none
  std::optional<Box> box;
};

Normalised normalise(const EvaluateOptions& options, const Mlp& model, const std::filesystem::path& path, Method method,
                     std::uint64_t seed, const Device& device, const Console& console) {
  Normalised result;
  result.box = box_for(options, model);
  if (result.box) {
    result.json["clamp"] = {{"lo", result.box->lo}, {"hi", result.box->hi}};
    console.info("p(x) is 0 outside the box {} ({}--clamp off leaves it away)", text_of(*result.box),
                 options.clamp ? "" : "the model's; ");
    if (method == Method::ais) {
      console.warn("log Z by ais is over all of space and no less than in the box: the likelihood is a lower bound");
    }
  }
  result.refusal = method == Method::quadrature
                       ? add_quadrature(result.json, result.log_z, options, model, result.box, device)
                       : add_ais(result.json, result.log_z, options, seed, model, device, console);
  if (options.save_log_z && result.log_z) {
    ranks().on_first("log Z", [&] {
      save_log_z(path, model,
                 {*result.log_z, result.json["log_z_stderr"].get<double>(), result.json["method"].get<std::string>()});
    });
    console.info("log Z is in {}: ebm score uses it", path.string());
  }
  return result;
}

// What models make of the points.
struct Judgement {
  std::optional<double> likelihood;
  std::string refusal;
};

Judgement judge(Json& json, const Normalised& one, const Mlp& model, const Matrix& x, const Device& device) {
  json.update(one.json);
  Judgement result{{}, one.refusal};
  const std::size_t outside = one.box ? rows_outside(x, *one.box) : 0;
  if (result.refusal.empty() && outside > 0) {
    result.refusal = fmt::format("{} of {} points lie outside the model's box {}, where p(x) = 0", outside, x.rows(),
                                 text_of(*one.box));
  }
  json["mean_log_likelihood"] = nullptr;
  json["mean_log_likelihood_stderr"] = nullptr;
  if (!one.log_z || outside > 0) return result;  // the JSON has log Z all the same
  const LogLikelihood likelihood = log_likelihood(model, x, *one.log_z, device);
  result.likelihood = likelihood.mean;
  json["mean_log_likelihood"] = likelihood.mean;
  json["mean_log_likelihood_stderr"] = likelihood.standard_error;  // over the points, log_z taken as given
  return result;
}

Judgement judge(Json& json, const EvaluateOptions& options, const std::vector<Normalised>& all,
                const std::vector<Mlp>& models, const Matrix& x, const Device& device) {
  Judgement result;
  Json members = Json::array();
  std::vector<EnsembleMember> known;
  for (std::size_t m = 0; m < models.size(); ++m) {
    const std::string file = options.model.paths()[m].string();
    Json member{{"file", file}};
    const Judgement own = judge(member, all[m], models[m], x, device);
    if (!all[m].refusal.empty() && result.refusal.empty()) {
      result.refusal = fmt::format("{}: {}", file, all[m].refusal);
      member["refused"] = all[m].refusal;
    }
    members.push_back(std::move(member));
    if (all[m].log_z) {
      known.push_back({models[m], *all[m].log_z, all[m].json["log_z_stderr"].get<double>(), all[m].box});
    }
  }
  json["members"] = members;
  json["mean_log_likelihood"] = nullptr;
  json["mean_log_likelihood_stderr"] = nullptr;
  json["mean_log_likelihood_log_z_error"] = nullptr;
  if (!result.refusal.empty()) return result;
  const EnsembleLikelihood likelihood = Ensemble(known, device).log_likelihood(x);
  if (!std::isfinite(likelihood.mean)) {
    result.refusal = "some points lie outside the box of every model, where p(x) = 0";
    return result;
  }
  result.likelihood = likelihood.mean;
  json["mean_log_likelihood"] = likelihood.mean;
  json["mean_log_likelihood_stderr"] = likelihood.standard_error;
  json["mean_log_likelihood_log_z_error"] = likelihood.log_z_error;
  return result;
}

// Rows that a temperature is fitted to, laid out as DATA; labels in the same column, or in a file.
std::optional<Data> calibration_of(const EvaluateOptions& options, const Data& data, const Mlp& model,
                                   const Console& console) {
  if (!options.calibrate) {
    if (options.calibrate_labels) {
      throw ConfigError("--calibrate-labels", options.calibrate_labels->string(), "needs --calibrate");
    }
    return std::nullopt;
  }
  DataOptions source = options.data;
  source.path = *options.calibrate;
  source.labels = options.calibrate_labels;
  if (data.labels.empty() || !(source.labels || source.label_column)) {
    throw ConfigError("--calibrate", options.calibrate->string(),
                      "needs labels of DATA, and its own: --calibrate-labels, or --label-column for both");
  }
  Data held_out = source.read(console, &model);
  require_dimension(fmt::format("--calibrate ({})", options.calibrate->string()), held_out.x, model);
  held_out.x = dequantized(held_out.x, options.dequantize, options.common.seed() + 3);
  return held_out;
}

void refuse_of_several(const EvaluateOptions& options, const Data& data) {
  if (!data.labels.empty()) throw ConfigError("labels", "given", "p(y | x) is judged of one model");
  if (options.out_of_distribution) {
    throw ConfigError("--out-of-distribution", options.out_of_distribution->string(), "is judged of one model");
  }
}

// For data drawn from a known density: the truth's own likelihood of these points.
Json compare_with_truth(DensityName name, MatrixView data, std::optional<double> model_likelihood) {
  const KnownDensity density(name, static_cast<int>(data.cols), "--density");
  double truth = 0;
  for (const double log_p : density.log_density(data)) truth += log_p / static_cast<double>(data.rows);
  const std::optional<double> entropy = density.entropy();
  return {{"name", to_string(name)},
          {"mean_log_likelihood", truth},
          {"best_attainable", entropy ? Json(-*entropy) : Json(nullptr)},
          {"gap", model_likelihood ? Json(truth - *model_likelihood) : Json(nullptr)}};
}

void run(const EvaluateOptions& options) {
  const Console console(options.common.quiet);
  const Device device = options.common.open_over_ranks();
  const std::vector<Mlp> models = options.model.load_all(console);
  const Mlp& model = models.front();
  Outputs outputs;
  outputs.protect(options.data.path);
  if (options.save_log_z) {
    if (options.clamp) {
      throw ConfigError("--clamp", *options.clamp, "--save-log-z keeps log Z of the model's own box; leave one out");
    }
    for (const std::filesystem::path& path : options.model.paths()) claim_log_z(path, &outputs);
  }
  Data data = options.data.read(console, &model);
  require_dimension(fmt::format("DATA ({})", options.data.path.string()), data.x, model);
  if (!data.labels.empty() && model.shape().head != Head::logits) {
    throw ConfigError("labels", "given", "the model has a scalar head; only a logits head has classes");
  }
  if (models.size() > 1) refuse_of_several(options, data);
  if (options.density) static_cast<void>(KnownDensity(*options.density, model.dim(), "--density"));
  const Method method = options.method.value_or(model.dim() <= 2 ? Method::quadrature : Method::ais);
  if (method == Method::quadrature && model.dim() > 2) {
    throw ConfigError("--method", "quadrature",
                      fmt::format("serves D <= 2; the model has D = {}, use ais", model.dim()));
  }
  std::optional<Matrix> train;
  if (options.train) {
    train = options.data.read_features(console, *options.train);
    require_dimension(fmt::format("--train ({})", options.train->string()), *train, model);
  }
  std::optional<Matrix> other;
  if (options.out_of_distribution) {
    other = options.data.read_features(console, *options.out_of_distribution);
    require_dimension(fmt::format("--out-of-distribution ({})", options.out_of_distribution->string()), *other, model);
  }
  const std::optional<Data> calibration = calibration_of(options, data, model, console);
  warn_without_noise(console, model, options.dequantize);
  // The training split gets the noise of another seed: the two parts share no number.
  const Matrix x = dequantized(data.x, options.dequantize, options.common.seed());
  const Matrix& train_rows = train ? *train : data.x;
  std::optional<Matrix> noisy_train;
  if (train) noisy_train = dequantized(*train, options.dequantize, options.common.seed() + 1);
  if (other) other = dequantized(*other, options.dequantize, options.common.seed() + 2);
  const Matrix& fitted_on = noisy_train ? *noisy_train : x;

  Json json{{"n", x.rows()}, {"dim", x.cols()}};
  std::vector<Normalised> normalised;
  for (std::size_t m = 0; m < models.size(); ++m) {
    if (models.size() > 1) console.info("log Z of {}", options.model.paths()[m].string());
    normalised.push_back(normalise(options, models[m], options.model.paths()[m], method,
                                   member_seed(options.common.seed(), m), device, console));
  }
  const auto [likelihood, refusal] = models.size() == 1 ? judge(json, normalised.front(), model, x, device)
                                                        : judge(json, options, normalised, models, x, device);
  if (options.density) json["density"] = compare_with_truth(*options.density, x, likelihood);
  if (!data.labels.empty()) {
    json["classification"] = classification_of(model, x, data.labels, options.common.seed(), device);
    if (calibration) {
      json["classification"]["temperature_scaled"] = scaled_classification_of(
          model, x, data.labels, calibration->x, calibration->labels, options.common.seed(), device);
    }
  }
  if (other) json["out_of_distribution"] = out_of_distribution_of(model, x, *other, device);
  if (options.baselines.value_or(true) && leads()) {
    json["baselines"] = baselines_of({train_rows, fitted_on, x, options.dequantize, options.common.seed()}, console);
    json["baselines"]["fitted_on"] = options.train ? options.train->string() : options.data.path.string();
    json["baselines"]["fitted_on_evaluated_data"] = !options.train.has_value();
  }
  if (!refusal.empty()) json["refused"] = refusal;
  // A file's name may be anything; JSON is UTF-8.
  print(json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
  if (!refusal.empty()) throw Failure("no log-likelihood: " + refusal);
}

}  // namespace

Command add_evaluate_command(CLI::App& ebm) {
  const auto line = std::make_shared<CommandLine>(
      ebm, "evaluate", "Log-likelihood in nats, with its error, beside baselines",

      "Examples:\n"
      "  ebm evaluate moons.safetensors fresh.npy --density two_moons\n"
      "  ebm evaluate digits.safetensors test.npy --train train.npy --dequantize 1\n"
      "  ebm evaluate digits.safetensors test.npy --ais-temperatures 10000 --ais-chains 2048\n"
      "  ebm evaluate digits.safetensors test.npy --dequantize 1 --save-log-z       log Z into the model file\n"
      "  ebm evaluate jem.safetensors test.npy --labels y.npy --out-of-distribution other.npy\n"
      "  ebm evaluate m.0.safetensors m.1.safetensors test.npy                      the average of two densities\n"
      "  ebm evaluate m.safetensors test.npy --quiet | jq .mean_log_likelihood\n"
      "\n"
      "Prints JSON: log Z and its error, the mean log-likelihood of DATA (nats, data units), that of baselines, and "
      "with\n"
      "labels how good p(y | x) is. Where log Z can't be trusted no value is given and the exit status is 1 "
      "(docs/evaluation.md).\n");
  const auto options = std::make_shared<EvaluateOptions>();
  options->model.add(*line);
  options->data.add(*line, DataOptions::Labels::classes);
  options->model.take_several(*line, &options->data.path);
  line->add("--train", options->train, "FILE", "training split: baselines are fitted on it");
  line->add("--dequantize", options->dequantize, "W", "add uniform noise in [0, W), as in training (default 0)");
  line->add_choice("--method", options->method, parse_method,
                   "auto, quadrature (D <= 2) or ais (default auto: quadrature where it serves)");
  line->add("--quadrature-points", options->quadrature_points, "N", "grid points per dimension");
  line->add("--ais-temperatures", options->ais.temperatures, "N", "between base and model (default 1000)");
  line->add("--ais-chains", options->ais.chains, "N", "annealed chains (default 2048)");
  line->add_choice(
      "--density", options->density, [](auto text, auto field) { return parse_density(text, field); },
      "DATA was drawn from this density of ebm data: adds the gap to the truth");
  line->add("--out-of-distribution", options->out_of_distribution, "FILE",
            "points of another kind: how well E(x) and max p(y | x) tell them from DATA");
  line->add("--calibrate", options->calibrate, "FILE",
            "held-out points with labels, laid out as DATA: adds p(y | x) at the temperature that is best for them");
  line->add("--calibrate-labels", options->calibrate_labels, "FILE", "their labels, where no column has them");
  line->add_flag("--save-log-z", options->save_log_z, "keep log Z and its error in the model file, for ebm score");
  line->add_switch("--baselines,!--no-baselines", options->baselines, "fit and report baselines (default on)");
  line->add("--clamp", options->clamp, "LO,HI", "p(x) is 0 outside this box; off: nowhere (default: the model's box)");
  options->model.add_hints(*line);
  options->common.add(*line);
  return {line, [options] { run(*options); }, true};
}

}  // namespace ebm::tools
