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
  std::optional<std::filesystem::path> train, out_of_distribution;
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

std::string add_ais(Json& json, std::optional<double>& log_z, const EvaluateOptions& options, const Mlp& model,
                    const Device& device, const Console& console) {
  json["method"] = "ais";
  AisOptions ais = options.ais;
  ais.seed = options.common.seed();
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
  const Mlp model = options.model.load(console);
  Outputs outputs;
  outputs.protect(options.data.path);
  if (options.save_log_z) {
    if (options.clamp) {
      throw ConfigError("--clamp", *options.clamp, "--save-log-z keeps log Z of the model's own box; leave one out");
    }
    claim_log_z(options.model.path, &outputs);
  }
  Data data = options.data.read(console, &model);
  require_dimension(fmt::format("DATA ({})", options.data.path.string()), data.x, model);
  if (!data.labels.empty() && model.shape().head != Head::logits) {
    throw ConfigError("labels", "given", "the model has a scalar head; only a logits head has classes");
  }
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
  warn_without_noise(console, model, options.dequantize);
  // The training split gets the noise of another seed: the two parts share no number.
  const Matrix x = dequantized(data.x, options.dequantize, options.common.seed());
  const Matrix& train_rows = train ? *train : data.x;
  std::optional<Matrix> noisy_train;
  if (train) noisy_train = dequantized(*train, options.dequantize, options.common.seed() + 1);
  if (other) other = dequantized(*other, options.dequantize, options.common.seed() + 2);
  const Matrix& fitted_on = noisy_train ? *noisy_train : x;

  Json json{{"n", x.rows()}, {"dim", x.cols()}};
  const std::optional<Box> clamp = box_for(options, model);
  std::size_t outside = 0;
  if (clamp) {
    json["clamp"] = {{"lo", clamp->lo}, {"hi", clamp->hi}};
    outside = rows_outside(x, *clamp);
    console.info("p(x) is 0 outside the box {} ({}--clamp off leaves it away)", text_of(*clamp),
                 options.clamp ? "" : "the model's; ");
    if (method == Method::ais) {
      console.warn("log Z by ais is over all of space and no less than in the box: the likelihood is a lower bound");
    }
  }
  std::optional<double> log_z, likelihood;
  std::string refusal = method == Method::quadrature ? add_quadrature(json, log_z, options, model, clamp, device)
                                                     : add_ais(json, log_z, options, model, device, console);
  if (options.save_log_z && log_z) {
    ranks().on_first("log Z", [&] {
      save_log_z(options.model.path, model,
                 {*log_z, json["log_z_stderr"].get<double>(), json["method"].get<std::string>()});
    });
    console.info("log Z is in {}: ebm score uses it", options.model.path.string());
  }
  if (refusal.empty() && outside > 0) {
    refusal = fmt::format("{} of {} points lie outside the model's box {}, where p(x) = 0", outside, x.rows(),
                          text_of(*clamp));
    log_z.reset();  // no likelihood; the JSON has log Z all the same
  }
  json["mean_log_likelihood"] = nullptr;
  json["mean_log_likelihood_stderr"] = nullptr;
  if (log_z) {
    const LogLikelihood result = log_likelihood(model, x, *log_z, device);
    likelihood = result.mean;
    json["mean_log_likelihood"] = result.mean;
    json["mean_log_likelihood_stderr"] = result.standard_error;  // over the points, log_z taken as given
  }
  if (options.density) json["density"] = compare_with_truth(*options.density, x, likelihood);
  if (!data.labels.empty()) {
    json["classification"] = classification_of(model, x, data.labels, options.common.seed(), device);
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
      "  ebm evaluate m.safetensors test.npy --quiet | jq .mean_log_likelihood\n"
      "\n"
      "Prints JSON: log Z and its error, the mean log-likelihood of DATA (nats, data units), that of baselines, and "
      "with\n"
      "labels how good p(y | x) is. Where log Z can't be trusted no value is given and the exit status is 1 "
      "(docs/evaluation.md).\n");
  const auto options = std::make_shared<EvaluateOptions>();
  options->model.add(*line);
  options->data.add(*line, DataOptions::Labels::classes);
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
  line->add_flag("--save-log-z", options->save_log_z, "keep log Z and its error in the model file, for ebm score");
  line->add_switch("--baselines,!--no-baselines", options->baselines, "fit and report baselines (default on)");
  line->add("--clamp", options->clamp, "LO,HI", "p(x) is 0 outside this box; off: nowhere (default: the model's box)");
  options->model.add_hints(*line);
  options->common.add(*line);
  return {line, [options] { run(*options); }, true};
}

}  // namespace ebm::tools
