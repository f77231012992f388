// ebm sample M: runs chains on a model's energy.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "ebmcuda/dataset.hpp"
#include "ebmcuda/diagnostics.hpp"
#include "ebmcuda/ensemble.hpp"
#include "ebmcuda/error.hpp"
#include "ebmcuda/modes.hpp"
#include "ebmcuda/share.hpp"
#include "tools/command.hpp"
#include "tools/console.hpp"
#include "tools/fix_options.hpp"
#include "tools/inputs.hpp"
#include "tools/model_box.hpp"
#include "tools/model_options.hpp"
#include "tools/options.hpp"
#include "tools/outputs.hpp"
#include "tools/ranks.hpp"
#include "tools/sampler_options.hpp"
#include "tools/streams.hpp"

namespace ebm::tools {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

struct SampleCommandOptions {
  CommonOptions common;
  ModelOptions model;
  SamplerOptions sampler;
  std::optional<std::int64_t> chains;
  std::int64_t steps = 1000;
  std::string init = "uniform";
  FixOptions fix;
  float dequantize = 0;
  std::uint64_t first_chain = 0, first_step = 0;
  std::optional<std::int64_t> thin;
  std::optional<fs::path> out, trajectory, energy;
  bool modes = false;
};

void put_number(Json& json, const Parameter& p, float value) { json[std::string(p.name)] = shortest(value); }
[[maybe_unused]] void put_number(Json& json, const Parameter& p, std::int64_t value) {
  json[std::string(p.name)] = value;
}
void put_number(Json& json, const Parameter& p, const std::optional<float>& value) {
  if (value) put_number(json, p, *value);
}
void put_number(Json& json, const Parameter& p, const std::optional<Box>& box) {
  if (box) json[std::string(p.name)] = {{"lo", box->lo}, {"hi", box->hi}};
}

// `result` is this rank's share, of n_chains.
Json summary(const SampleResult& result, std::uint64_t n_chains, const Sampler& sampler,
             const SampleCommandOptions& options) {
  const auto* langevin = std::get_if<LangevinDynamics>(&sampler);
  Json json{{"n_chains", n_chains}, {"dim", result.x.cols()}, {"n_steps", result.n_steps}};
  json["sampler"] = to_string(kind_of(sampler));
  visit_parameters(sampler, [&](const Parameter& p, const auto& field) { put_number(json, p, field); });
  if (langevin != nullptr) json["noise_scale"] = shortest(langevin->effective_noise_scale());
  json["temperature"] = langevin != nullptr ? langevin->temperature() : 1.0;
  if (is_metropolis(kind_of(sampler))) {
    json["acceptance"] = result.stats.acceptance();
    const MoveCount& jumps = result.stats[Move::jump];
    json["jumps_proposed"] = jumps.proposed;
    json["jumps_accepted"] = jumps.accepted;
  }
  if (const ReplicaStats& replicas = result.replicas; !replicas.inverse_temperatures.empty()) {
    json["sampler"] = Tempering::kName;
    json["local_sampler"] = to_string(kind_of(sampler));
    json["inverse_temperatures"] = replicas.inverse_temperatures;
    Json rates = Json::array();
    for (const auto& [proposed, accepted] : replicas.swaps) {
      rates.push_back(proposed == 0 ? Json() : Json(static_cast<double>(accepted) / static_cast<double>(proposed)));
    }
    json["swap_rates"] = rates;
    json["round_trips"] = replicas.round_trips;
    json["barrier"] = replicas.barrier();
  }
  json["restarts"] = result.stats.restarts;
  json["seed"] = options.common.seed();
  json["first_chain"] = options.first_chain;
  json["first_step"] = options.first_step;
  json["seconds"] = result.seconds;
  json["chain_steps_per_second"] = result.seconds > 0 ? static_cast<double>(result.stats.steps) / result.seconds : 0.0;
  json["engine"] = result.engine;
  if (result.trajectory.size() >= 4) {
    json["kept_steps"] = result.trajectory.size();
    json["effective_sample_size"] = effective_sample_size(result.trajectory, ranks());
    json["split_rhat"] = split_rhat(result.trajectory, ranks());
  }
  return json;
}

// What only one model, or one process, can do.
void check_members(const SampleCommandOptions& options, std::size_t members) {
  const auto refuse = [](const char* option, const std::string& why) { throw ConfigError(option, "given", why); };
  if (members > 1) {
    if (options.fix.given) {
      refuse("--fix", "a conditional density has members in other shares than equal ones; give one model");
    }
    if (options.modes) refuse("--modes", "modes are those of one energy; give one model");
    if (ranks().size() > 1) refuse("MODEL", "several models run in one process");
  }
  if (!options.modes) return;
  if (options.fix.given) refuse("--modes", "the modes of a conditional density are others for every row of --fix");
  if (ranks().size() > 1) refuse("--modes", "looks at all chains, in one process");
}

// The modes of the second half of the run, at 20 times at most.
Json modes_of(const Mlp& model, const SampleResult& result, const Console& console, const Device& device) {
  constexpr std::size_t kMostTimes = 20, kMostListed = 50;
  std::vector<Matrix> times;
  const std::size_t kept = result.trajectory.size(), half = kept / 2;
  const std::size_t stride = std::max<std::size_t>((kept - half + kMostTimes - 1) / kMostTimes, 1);
  for (std::size_t t = kept; t > half && times.size() < kMostTimes; t -= std::min(stride, t)) {
    times.push_back(result.trajectory[t - 1]);
  }
  std::ranges::reverse(times);
  if (times.empty()) times.push_back(result.x);
  const ModeReport report = find_modes(model, times, {}, device);
  Json modes = Json::array();
  double others = 0;
  for (const Mode& mode : report.modes) {
    if (modes.size() == kMostListed) {
      others += mode.mass;
      continue;
    }
    modes.push_back({{"mass", mode.mass},
                     {"standard_error", mode.standard_error},
                     {"split_rhat", mode.rhat},
                     {"energy", mode.energy},
                     {"position", mode.position}});
  }
  const std::size_t listed = modes.size();
  Json transitions = Json::array();
  for (std::size_t k = 0; k < listed; ++k) {
    transitions.push_back(std::vector(report.transitions[k].begin(),
                                      report.transitions[k].begin() + static_cast<std::ptrdiff_t>(listed)));
  }
  if (!report.disagreement.empty()) {
    console.warn("{} (--sampler tempering, more --langevin-steps, or --jump-prob in few dimensions)",
                 report.disagreement);
  }
  return {{"found", report.modes.size()},
          {"times", times.size()},
          {"modes", modes},
          {"mass_of_others", others},
          {"transitions", transitions},
          {"unfinished_descents", report.unfinished},
          {"disagreement", report.disagreement.empty() ? Json(nullptr) : Json(report.disagreement)}};
}

std::uint64_t chains_of(const SampleOptions& request) {
  if (request.init) return request.init->rows();
  if (request.fixed) return request.fixed->rows();
  return static_cast<std::uint64_t>(std::max<std::int64_t>(request.n_chains, 0));
}

// The rows of --fix, for one or --chains chains each, row by row. The chains see them with noise.
std::optional<Matrix> fix_coordinates(const SampleCommandOptions& options, const Console& console, const Mlp& model,
                                      SampleOptions* request) {
  if (!options.fix.given) {
    if (options.dequantize != 0) {
      throw ConfigError("--dequantize", fmt::format("{}", options.dequantize), "is the noise of --fix");
    }
    return std::nullopt;
  }
  Matrix rows =
      repeated_rows(options.fix.rows(console, static_cast<std::size_t>(model.dim())), options.chains.value_or(1));
  warn_without_noise(console, model, options.dequantize);
  request->fixed = dequantized(rows, options.dequantize, options.common.seed());
  return rows;
}

// The values as they were given, without the noise, into the rows of this rank.
void put_given(const Matrix& given, Matrix* x) {
  const std::size_t first = row_share(given.rows(), ranks()).first;
  for (std::size_t i = 0; i < x->rows(); ++i) {
    for (std::size_t d = 0; d < x->cols(); ++d) {
      if (!std::isnan(given(first + i, d))) (*x)(i, d) = given(first + i, d);
    }
  }
}

// What the outputs take at least, .csv with a digit and a comma a value.
void reserve(const SampleCommandOptions& options, const SampleOptions& request, std::uint64_t dim, Outputs* outputs) {
  const auto least = [&](const char* option, const std::optional<fs::path>& path, std::uint64_t rows,
                         std::uint64_t columns) {
    if (!path) return;
    const std::uint64_t value = path->extension() == ".csv" ? 2 : sizeof(float);
    std::uint64_t bytes = 0;
    if (__builtin_mul_overflow(rows, columns * value, &bytes)) bytes = UINT64_MAX;
    outputs->reserve(option, *path, bytes);
  };
  const std::uint64_t chains = chains_of(request);
  least("--out", options.out, chains, dim);
  least("--energy", options.energy, chains, 1);
  if (request.thin <= 0) return;
  std::uint64_t rows = 0;
  if (__builtin_mul_overflow(
          chains, static_cast<std::uint64_t>(std::max<std::int64_t>(options.steps, 0) / request.thin), &rows)) {
    rows = UINT64_MAX;
  }
  least("--trajectory", options.trajectory, rows, dim);
}

void run(const CommandLine& line, const SampleCommandOptions& options) {
  const Console console(options.common.quiet);
  const Device device = options.common.open_over_ranks();
  Outputs outputs;
  for (const fs::path& path : options.model.paths()) outputs.protect(path);
  if (options.init != "uniform") outputs.protect(options.init);
  if (options.fix.given) outputs.protect(options.fix.file());
  if (options.out) outputs.claim("--out", *options.out, {".npy", ".csv"});
  if (options.trajectory) outputs.claim("--trajectory", *options.trajectory, {".npy", ".csv"});
  if (options.energy) outputs.claim("--energy", *options.energy, {".npy", ".csv"});

  const std::vector<Mlp> models = options.model.load_all(console);
  check_members(options, models.size());
  const Mlp& model = models.front();
  std::vector<Sampler> samplers;
  for (const Mlp& member : models) samplers.push_back(sampler_for(member, options.sampler));
  const Sampler& sampler = samplers.front();
  SampleOptions request;
  request.n_steps = options.steps;
  request.seed = options.common.seed();
  request.first_chain = options.first_chain;
  request.first_step = options.first_step;
  request.n_chains = options.chains.value_or(request.n_chains);
  request.tempering = options.sampler.tempering_or_none();
  const std::optional<Matrix> given = fix_coordinates(options, console, model, &request);
  if (options.init != "uniform") {
    Matrix start = read_points(console, options.init);
    const std::string name = fmt::format("--init ({})", options.init);
    require_dimension(name, start, model);
    require_finite(name, start);
    if (request.fixed && request.fixed->rows() != start.rows()) {
      throw ConfigError(name, shape_text(start), fmt::format("--fix has {} chains", request.fixed->rows()));
    }
    if (!request.fixed && options.chains && *options.chains != static_cast<std::int64_t>(start.rows())) {
      throw ConfigError("--chains", fmt::format("{}", *options.chains),
                        fmt::format("--init holds {} chains; leave one of the two out", start.rows()));
    }
    request.init = std::move(start);
  }
  if (options.thin && *options.thin < 1) throw ConfigError("--thin", fmt::format("{}", *options.thin), "must be >= 1");
  if (options.thin || options.trajectory) {
    request.thin = options.thin.value_or(std::max<std::int64_t>(options.steps / 100, 1));
    if (options.steps / request.thin < 4) {
      throw ConfigError(line.given("--thin") ? "--thin" : "--langevin-steps",
                        fmt::format("{}", options.thin ? request.thin : options.steps),
                        fmt::format("{} steps keep {}; the diagnostics need at least 4", options.steps,
                                    options.steps / request.thin));
    }
  }
  // Modes look at the second half of the run; without --trajectory it is kept for them alone.
  if (options.modes && request.thin == 0) request.thin = std::max<std::int64_t>(options.steps / 40, 1);
  reserve(options, request, static_cast<std::uint64_t>(model.dim()), &outputs);
  ProgressBar bar(console, "sample", options.steps);
  request.progress = [&](const SampleProgress& progress) {
    bar.update(progress.step);
    return true;
  };
  warn_if_unconfined(console, model, sampler);
  check_against_noted_box(console, model, sampler);
  console.info("{}", describe(sampler));
  if (const auto box = noted_box(model); box && !options.sampler.given("clamp")) {
    console.info("chains keep to the model's box {} (--clamp sets another)", text_of(*box));
  }
  if (request.tempering) console.info("tempering, {} replicas of each chain", request.tempering->replicas);
  SampleResult result =
      models.size() == 1 ? sample_share(model, sampler, request, device) : sample(models, samplers, request, device);
  bar.finish();
  if (given) {
    put_given(*given, &result.x);
    for (Matrix& kept : result.trajectory) put_given(*given, &kept);
  }
  if (result.stats.restarts > 0) {
    console.warn("{} restarts: chains left the finite numbers; a smaller --step-size or --grad-clip helps",
                 result.stats.restarts);
  }

  Json json = summary(result, chains_of(request), sampler, options);
  if (models.size() > 1) json["members"] = models.size();
  if (options.modes) json["modes"] = modes_of(model, result, console, device);
  if (options.trajectory) write_matrix_share(*options.trajectory, result.trajectory, ranks());
  if (options.energy) write_vector_share(*options.energy, result.energy, ranks());
  if (options.out) {
    write_matrix_share(*options.out, {&result.x, 1}, ranks());
    print(json.dump(2) + "\n");
  } else {
    const Matrix all = gather_rows(result.x, ranks());
    print_rows(all);
    console.info("{}", json.dump(2));
  }
}

}  // namespace

Command add_sample_command(CLI::App& ebm) {
  const auto line = std::make_shared<CommandLine>(
      ebm, "sample", "Run chains on a model's energy",

      "Examples:\n"
      "  ebm sample moons.safetensors --chains 1000 --out samples.npy\n"
      "  ebm sample moons.safetensors --chains 64 --langevin-steps 2000 --trajectory path.npy --thin 20 --out end.npy\n"
      "  ebm sample moons.safetensors --init end.npy --first-step 2000 --out later.npy     the same chains, further "
      "on\n"
      "  ebm sample digits.safetensors --fix 0:32=test.npy --dequantize 1 --out completed.npy     the lower halves of "
      "digits\n"
      "  ebm sample wine.safetensors --fix gaps.csv --chains 100 --out filled.npy     100 values for every missing "
      "one\n"
      "  ebm sample moons.safetensors --modes --out samples.npy     and where the mass is\n"
      "  ebm sample m.0.safetensors m.1.safetensors --out samples.npy     of an ensemble\n"
      "  ebm sample jem.safetensors --sampler langevin --step-size 1 --noise-scale 0.01 --out images.npy\n"
      "\n"
      "Runs independent Markov chains on E and writes their last positions (data units). A model that ebm trained\n"
      "carries its sampler and step size; the options below override them. A JSON summary goes to standard output.\n");
  const auto options = std::make_shared<SampleCommandOptions>();
  options->model.add(*line);
  options->model.take_several(*line);
  line->add("--out", options->out, "FILE", "last positions, .npy or .csv (default: rows on standard output)");
  line->add("--chains", options->chains, "N",
            "chains (default 1024, or as many as --init holds); with --fix, for each of its rows (default 1)");
  line->add("--langevin-steps", options->steps, "K", "steps of each chain (default 1000)");
  line->add("--init", options->init, "FILE", "uniform, or a file with the start of every chain (default uniform)");
  options->fix.add(*line);
  line->add("--dequantize", options->dequantize, "W", "add uniform noise in [0, W) to the values of --fix (default 0)");
  line->add("--first-chain", options->first_chain, "I", "id of the first chain (default 0)");
  line->add("--first-step", options->first_step, "T", "number of the first step: goes on with a run (default 0)");
  line->add("--trajectory", options->trajectory, "FILE",
            "positions after every --thin steps, kept steps stacked: row t * chains + i");
  line->add("--thin", options->thin, "N",
            "keep every N-th step and report effective sample size and split R-hat (default steps / 100)");
  line->add_flag("--modes", options->modes,
                 "report the modes that the second half of the run was in: masses with errors, transitions");
  line->add("--energy", options->energy, "FILE", "energies of the last positions");
  options->sampler.add(*line);
  options->sampler.add_tempering(*line);
  options->model.add_hints(*line);
  options->common.add(*line, true);
  return {line, [line, options] { run(*line, *options); }, true};
}

}  // namespace ebm::tools
