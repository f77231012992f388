// ebm data NAME|FILE: exact draws of a density in the plane, or a file's columns, shuffled and split.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>

#include "ebmcuda/dataset.hpp"
#include "ebmcuda/error.hpp"
#include "ebmcuda/files.hpp"
#include "tools/command.hpp"
#include "tools/console.hpp"
#include "tools/inputs.hpp"
#include "tools/known_density.hpp"
#include "tools/options.hpp"
#include "tools/outputs.hpp"
#include "tools/streams.hpp"

namespace ebm::tools {
namespace {

namespace fs = std::filesystem;

constexpr int kUsualDimension = 20;

struct MakeDataOptions {
  CommonOptions common;
  DataOptions source;                           // its path is NAME or FILE
  std::optional<std::string> subtract, divide;  // numbers, or mean, std
  std::optional<std::int64_t> n;
  std::uint64_t first = 0;
  std::optional<fs::path> out, labels_out, held_out, held_out_labels;
  double held_out_share = 0.2;
  bool shuffle = false;
  std::optional<int> dim;  // of a density of any dimension
  std::optional<fs::path> at, log_density;

  int dimension(DensityName name) const { return dim.value_or(has_any_dimension(name) ? kUsualDimension : 2); }
};

void refuse_for(const CommandLine& line, std::initializer_list<const char*> options, const std::string& why) {
  for (const char* option : options) {
    if (line.given(option)) throw ConfigError(option, line.text_of(option), why);
  }
}

// The points of --at, or draws.
Data draw_density(const CommandLine& line, const MakeDataOptions& options, DensityName name, const Console& console) {
  refuse_for(line,
             {"--columns", "--labels", "--label-column", "--labels-out", "--held-out-labels", "--header", "--delimiter",
              "--missing", "--subtract", "--divide"},
             fmt::format("only for a file; {} is a density", to_string(name)));
  if (options.source.map_labels) throw ConfigError("--map-labels", "given", "only for a file");
  if (options.at) {
    refuse_for(line, {"--n", "--first", "--dim", "--shuffle", "--held-out"}, "--at has the points");
    Matrix x = read_points(console, *options.at);
    require_finite(fmt::format("--at ({})", options.at->string()), x);
    return {std::move(x), {}};
  }
  if (!options.n) throw WrongRequest("--n is required: how many points to draw");
  return {KnownDensity(name, options.dimension(name), "--dim").draw(*options.n, options.common.seed(), options.first),
          {}};
}

Data read_source(const CommandLine& line, const MakeDataOptions& options, const Console& console) {
  refuse_for(line, {"--first", "--dim", "--at", "--log-density"}, "only for a density");
  const std::string name = options.source.path.string();
  if (name != "-" && !fs::exists(options.source.path) && name.find_first_of("./") == std::string::npos) {
    throw ConfigError("NAME", name, "must be a file or one of" + density_names());
  }
  DataOptions source = options.source;
  Rescaling& rescaling = source.rescaling;
  rescaling.subtract_mean = options.subtract == "mean";
  rescaling.divide_std = options.divide == "std";
  if (options.subtract && !rescaling.subtract_mean) parse("--subtract", *options.subtract, rescaling.subtract);
  if (options.divide && !rescaling.divide_std) parse("--divide", *options.divide, rescaling.divide);
  Data data = source.read(console);
  if (options.subtract) console.info("subtracted: --subtract {}", fmt::join(data.subtracted, ","));
  if (options.divide) console.info("divided by: --divide {}", fmt::join(data.divided, ","));
  if (!data.labels.empty()) {
    const int classes = std::max(*std::ranges::max_element(data.labels) + 1, static_cast<int>(data.class_names.size()));
    if (const auto empty = empty_classes(data.labels, std::min(classes, 4096)); !empty.empty()) {
      console.warn("{} of the classes 0 .. {} have no row, {} first (--map-labels leaves them out)", empty.size(),
                   classes - 1, empty.front());
    }
  }
  const bool labelled = !data.labels.empty();
  if (!labelled) refuse_for(line, {"--labels-out", "--held-out-labels"}, "needs --labels or --label-column");
  if (options.n) {
    const auto rows = static_cast<std::int64_t>(data.x.rows());
    if (*options.n < 1 || *options.n > rows) {
      throw ConfigError("--n", fmt::format("{}", *options.n), fmt::format("{} has 1 .. {} rows", name, rows));
    }
  }
  return data;
}

std::vector<int> pick(const std::vector<int>& labels, const std::vector<std::size_t>& order, std::size_t begin,
                      std::size_t end) {
  std::vector<int> chosen;
  for (std::size_t i = begin; i < end; ++i) chosen.push_back(labels[order[i]]);
  return chosen;
}

void run(const CommandLine& line, const MakeDataOptions& options) {
  const Console console(options.common.quiet);
  static_cast<void>(options.common.open());
  Outputs outputs;
  const auto density = find_density(options.source.path.string());
  if (!density) outputs.protect(options.source.path);
  if (options.source.labels) outputs.protect(*options.source.labels);
  if (options.at) outputs.protect(*options.at);
  if (options.out) outputs.claim("--out", *options.out, {".npy", ".csv"});
  if (options.log_density) outputs.claim("--log-density", *options.log_density, {".npy", ".csv"});
  if (options.labels_out) outputs.claim("--labels-out", *options.labels_out, {".npy"});
  if (options.held_out) outputs.claim("--held-out", *options.held_out, {".npy", ".csv"});
  if (options.held_out_labels) {
    if (!options.held_out)
      throw ConfigError("--held-out-labels", options.held_out_labels->string(), "needs --held-out");
    outputs.claim("--held-out-labels", *options.held_out_labels, {".npy"});
  }
  if (!options.held_out) refuse_for(line, {"--held-out-share"}, "needs --held-out");
  if (!(options.held_out_share > 0 && options.held_out_share < 1)) {
    throw ConfigError("--held-out-share", fmt::format("{}", options.held_out_share), "must be in (0, 1)");
  }
  if (density && options.n && !options.at) {  // of a file the outputs are no larger than it by much
    const auto points = static_cast<std::uint64_t>(*options.n);
    const int dim = KnownDensity(*density, options.dimension(*density), "--dim").dim();
    if (options.out) outputs.reserve_values("--out", *options.out, points * static_cast<std::uint64_t>(dim));
    if (options.log_density) outputs.reserve_values("--log-density", *options.log_density, points);
  }
  const Data data = density ? draw_density(line, options, *density, console) : read_source(line, options, console);

  // Rows are shuffled before they are cut: files are often sorted.
  std::vector<std::size_t> order(data.x.rows());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  if (options.shuffle || options.held_out) order = shuffled_order(order.size(), options.common.seed());
  if (options.n && !density) order.resize(static_cast<std::size_t>(*options.n));
  std::size_t kept = order.size();
  if (options.held_out) {
    kept -= static_cast<std::size_t>(std::llround(options.held_out_share * static_cast<double>(kept)));
    if (kept == 0 || kept == order.size()) {
      throw ConfigError("--held-out-share", fmt::format("{}", options.held_out_share),
                        fmt::format("leaves one part of {} rows empty", order.size()));
    }
  }

  const Matrix x = select_rows(data.x, order, 0, kept);
  if (options.held_out) {
    const Matrix rest = select_rows(data.x, order, kept, order.size());
    write_matrix(*options.held_out, rest);
    console.info("wrote {}: {}", options.held_out->string(), shape_text(rest));
  }
  if (options.labels_out) write_labels(*options.labels_out, pick(data.labels, order, 0, kept));
  if (options.held_out_labels) {
    write_labels(*options.held_out_labels, pick(data.labels, order, kept, order.size()));
  }
  if (options.log_density) {
    const KnownDensity known(*density, static_cast<int>(x.cols()), "--at");
    const std::vector<double> log_p = known.log_density(x);
    const std::vector<float> values(log_p.begin(), log_p.end());
    write_vector(*options.log_density, values);
    console.info("wrote {}: {} exact log densities", options.log_density->string(), values.size());
  }
  if (options.out) {
    write_matrix(*options.out, x);
    console.info("wrote {}: {}", options.out->string(), shape_text(x));
  } else if (!options.log_density) {
    print_rows(x);
  }
  if (!density) return;
  if (const auto entropy = KnownDensity(*density, static_cast<int>(x.cols()), "--at").entropy()) {
    console.info("best attainable mean log-likelihood: {:.6f} nats", -*entropy);
  }
}

}  // namespace

Command add_data_command(CLI::App& ebm) {
  const auto line = std::make_shared<CommandLine>(
      ebm, "data", "Draw from a known density; select, shuffle and split a file",
      fmt::format(
          "Examples:\n"
          "  ebm data two_moons --n 8192 --out moons.npy\n"
          "  ebm data two_moons --n 65536 --first 8192 --out fresh.npy     points that the first call did not draw\n"
          "  ebm data rings --n 5                                          rows on standard output\n"
          "  ebm data twonorm --dim 20 --n 10000 --out x.npy --log-density log_p.npy\n"
          "  ebm data funnel --at samples.npy --log-density log_p.npy      exact log p of points of yours\n"
          "  ebm data digits.csv --columns 0:64 --out train.npy --held-out test.npy --held-out-share 0.2\n"
          "  ebm data digits.csv --label-column 64 --out x.npy --labels-out y.npy\n"
          "  ebm data flowers.csv --columns width,height --label-column name --map-labels --missing drop --out x.npy\n"
          "  ebm data times.csv --subtract mean --divide std --out x.npy   in double: large offsets and any unit\n"
          "\n"
          "Draws N exact points of a density in the plane:{}\n"
          "(docs/densities.md), or takes columns of a file, shuffled and split by the seed.\n",
          density_names()));
  const auto options = std::make_shared<MakeDataOptions>();
  line->add("NAME", options->source.path, "",
            "a density's name, or a .npy, .npz, .csv or .tsv file; - is standard input");
  line->required();
  line->add("--n", options->n, Between<std::int64_t>{1, std::int64_t{1} << 40}, "N",
            "points to draw; of a file: rows to keep");
  line->add("--first", options->first, "I", "number of the first point of a density (default 0)");
  line->add("--dim", options->dim, "D", "of a density of any dimension (default 20)");
  line->add("--at", options->at, "FILE", "points of yours in place of draws of a density");
  line->add("--log-density", options->log_density, "FILE", "exact log p of every point of a density, .npy or .csv");
  line->add("--out", options->out, "FILE", "where to, .npy or .csv (default: rows on standard output)");
  DataOptions& source = options->source;
  source.add_reading(*line, DataOptions::Labels::classes);
  line->add("--subtract", options->subtract, "V,...", "of the columns before rounding to float32: numbers, or mean");
  line->add("--divide", options->divide, "V,...", "by these, after --subtract: numbers, or std");
  line->add("--labels-out", options->labels_out, "FILE", "where the labels go, .npy");
  line->add("--held-out", options->held_out, "FILE", "shuffle, and put a share of the rows here");
  line->add("--held-out-share", options->held_out_share, "F", "that share, in (0, 1) (default 0.2)");
  line->add("--held-out-labels", options->held_out_labels, "FILE", "where its labels go, .npy");
  line->add_flag("--shuffle", options->shuffle, "shuffle the rows by the seed");
  options->common.add(*line);
  return {line, [line, options] { run(*line, *options); }};
}

}  // namespace ebm::tools
