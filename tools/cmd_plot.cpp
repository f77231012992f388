// ebm plot: pictures of a model, of points, of images, of a training log.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "ebmcuda/classification.hpp"
#include "ebmcuda/dataset.hpp"
#include "ebmcuda/densities.hpp"
#include "ebmcuda/ensemble.hpp"
#include "ebmcuda/error.hpp"
#include "ebmcuda/files.hpp"
#include "ebmcuda/log_z.hpp"
#include "tools/command.hpp"
#include "tools/console.hpp"
#include "tools/fix_options.hpp"
#include "tools/inputs.hpp"
#include "tools/model_box.hpp"
#include "tools/model_options.hpp"
#include "tools/options.hpp"
#include "tools/outputs.hpp"
#include "tools/plot/figures.hpp"
#include "tools/sampler_options.hpp"

namespace ebm::tools {
namespace {

namespace fs = std::filesystem;

struct ImageSize {
  int height = 0, width = 0;  // both 0: no image
};

void parse(std::string_view option, const std::string& text, ImageSize& value) {
  if (text == "none") {
    value = {};
    return;
  }
  const std::size_t cross = text.find('x');
  if (cross == std::string::npos) {
    throw ConfigError(std::string(option), text, "must be HEIGHTxWIDTH, such as 8x8, or none");
  }
  tools::parse(option, text.substr(0, cross), value.height);
  tools::parse(option, text.substr(cross + 1), value.width);
  if (value.height < 1 || value.width < 1) throw ConfigError(std::string(option), text, "both must be >= 1");
}

struct PlotOptions {
  CommonOptions common;
  fs::path input, out;
  ModelOptions model;  // only how to read one
  std::optional<fs::path> data, samples, labels;
  std::optional<std::string> label_column;
  bool reliability = false;
  FixOptions fix;
  float dequantize = 0;
  std::optional<ColumnSelection> columns;
  std::optional<Density2d> density;
  std::optional<ImageSize> image;
  std::optional<int> per_row;
  std::optional<Box> range;
  std::optional<Colormap> colormap;
  std::optional<std::int64_t> chains;
  std::int64_t steps = 1000;
  SamplerOptions sampler;
};

Matrix read_points(const PlotOptions& options, const fs::path& path) {
  DataOptions source;
  source.path = path;
  source.columns = options.columns;
  return source.read_features(Console(options.common.quiet), path);
}

Range range_from(const Box& box) {
  const Range range{static_cast<double>(box.lo.front()), static_cast<double>(box.hi.front())};
  if (!(range.lo < range.hi)) {
    throw ConfigError("--range", fmt::format("{},{}", range.lo, range.hi), "must be finite with LO < HI");
  }
  return range;
}

// ---- training logs

Canvas plot_log(const PlotOptions& options, const Console& console) {
  std::ifstream file(options.input);
  if (!file) throw FormatError(options.input.string(), "no such file");
  TrainingCurves curves;
  std::string line, next;
  bool more = static_cast<bool>(std::getline(file, next));
  for (int number = 1; more; ++number) {
    line = std::exchange(next, {});
    more = static_cast<bool>(std::getline(file, next));
    if (line.empty()) continue;
    const auto json = nlohmann::json::parse(line, nullptr, false);
    // A run that was killed, or still goes on, leaves a part of a line at the end.
    if (json.is_discarded() && !more && !curves.iteration.empty()) {
      console.warn("{}: line {} is cut off; it is left out", options.input.string(), number);
      break;
    }
    const auto value = [&](const char* key) {
      if (!json.is_object() || !json.contains(key) || !(json[key].is_number() || json[key].is_null())) {
        throw FormatError(options.input.string(), fmt::format("line {} holds no number {}", number, key));
      }
      return json[key].is_null() ? std::nan("") : json[key].get<double>();
    };
    curves.iteration.push_back(value("iteration"));
    curves.energy_data.push_back(value("energy_data"));
    curves.energy_samples.push_back(value("energy_samples"));
    curves.energy_gap.push_back(value("energy_gap"));
    curves.gradient_norm.push_back(value("gradient_norm"));
  }
  if (curves.iteration.empty()) throw FormatError(options.input.string(), "holds no line of a training log");
  return draw_curves(curves, options.input.filename().string());
}

// ---- images

// Rows of more than two values are images where --image says so, or where they are square and a square of less than
// 4 x 4 would hardly be one.
std::optional<ImageSize> image_size(const PlotOptions& options, std::size_t dim) {
  if (options.image) {
    if (options.image->height == 0) return std::nullopt;
    const auto size = static_cast<std::size_t>(options.image->height) * static_cast<std::size_t>(options.image->width);
    if (size != dim) {
      throw ConfigError("--image", fmt::format("{}x{}", options.image->height, options.image->width),
                        fmt::format("is {} pixels; the rows hold {}", size, dim));
    }
    return *options.image;
  }
  const int side = static_cast<int>(std::lround(std::sqrt(static_cast<double>(dim))));
  if (side >= 4 && static_cast<std::size_t>(side) * static_cast<std::size_t>(side) == dim) return ImageSize{side, side};
  return std::nullopt;
}

Matrix first_rows(const Matrix& x, std::size_t n) {
  return select_columns(x.view().slice(0, std::min(n, x.rows())), 0, x.cols());
}

Canvas plot_images(const PlotOptions& options, const Matrix& images, const std::string& title, ImageSize size) {
  SheetFigure figure{size.height, size.width, options.per_row.value_or(0), {}, Colormap::gray, {}};
  if (options.per_row && *options.per_row < 1) {
    throw ConfigError("--per-row", fmt::format("{}", *options.per_row), "must be >= 1");
  }
  if (options.range) figure.range = range_from(*options.range);
  if (options.colormap) figure.colormap = *options.colormap;
  const auto most = static_cast<std::size_t>(options.chains.value_or(100));
  if (options.fix.given) {
    const Matrix rows = options.fix.rows(Console(options.common.quiet), images.cols());
    if (rows.rows() < std::min(most, images.rows())) {
      throw ConfigError(
          "--fix", *options.fix.given,
          fmt::format("holds {} rows, and {} images are drawn", rows.rows(), std::min(most, images.rows())));
    }
    figure.sheets.push_back({"given", first_rows(rows, std::min(most, images.rows()))});
    figure.sheets.push_back({"completed", first_rows(images, most)});
  }
  if (options.data) {
    const std::string name = fmt::format("--data ({})", options.data->string());
    const Matrix data = read_points(options, *options.data);
    if (data.cols() != images.cols()) {
      throw ConfigError(name, shape_text(data), fmt::format("rows must hold {} values", images.cols()));
    }
    figure.sheets.push_back({"data", first_rows(data, std::min(most, images.rows()))});
  }
  if (!options.fix.given) figure.sheets.push_back({options.data ? title : "", first_rows(images, most)});
  return draw_sheets(figure);
}

// ---- tables

Canvas plot_pairs(const PlotOptions& options, const Matrix& samples, const std::string& title, const Console& console) {
  constexpr std::size_t kMostColumns = 8, kMostPoints = 2000;
  const std::size_t columns = std::min(samples.cols(), kMostColumns);
  if (columns < samples.cols()) {
    console.warn("the first {} of {} columns are drawn; --columns chooses others of a file", columns, samples.cols());
  }
  const auto shown = [&](const Matrix& x, std::size_t rows) {
    return select_columns(x.view().slice(0, std::min(rows, x.rows())), 0, columns);
  };
  const auto most = static_cast<std::size_t>(options.chains.value_or(kMostPoints));
  PairFigure figure{title, {}, shown(samples, most), {}, {}};
  for (std::size_t d = 0; d < columns; ++d) figure.names.push_back(fmt::format("x{}", d + 1));
  if (options.range) figure.range = range_from(*options.range);
  if (options.data) {
    const Matrix data = read_points(options, *options.data);
    if (data.cols() != samples.cols()) {
      throw ConfigError(fmt::format("--data ({})", options.data->string()), shape_text(data),
                        fmt::format("rows must hold {} values", samples.cols()));
    }
    figure.data = shown(data, most);
  }
  return draw_pairs(figure);
}

Canvas plot_rows(const PlotOptions& options, const Matrix& rows, const std::string& title, const Console& console) {
  if (const auto size = image_size(options, rows.cols())) return plot_images(options, rows, title, *size);
  return plot_pairs(options, rows, title, console);
}

// ---- one and two dimensions

std::vector<double> true_density(Density2d density, MatrixView x) {
  std::vector<double> values(x.rows);
  for (std::size_t i = 0; i < x.rows; ++i) {
    values[i] = std::exp(log_density(density, static_cast<double>(x.row(i)[0]), static_cast<double>(x.row(i)[1])));
  }
  return values;
}

Canvas plot_plane(const PlotOptions& options, const Matrix& samples, const std::string& title,
                  const std::function<std::vector<double>(MatrixView)>& model_density, const Mlp* model = nullptr) {
  PlaneFigure figure;
  if (options.colormap) figure.colormap = *options.colormap;
  std::optional<Matrix> data;
  if (options.data) {
    data = read_points(options, *options.data);
    if (data->cols() != 2) {
      throw ConfigError(fmt::format("--data ({})", options.data->string()), shape_text(*data),
                        "rows must hold 2 values");
    }
  }
  // What decides the view: the truth where it is known, else what there is.
  std::optional<Matrix> truth;
  if (options.density) truth = draw(*options.density, 4096, 0);
  std::vector<MatrixView> seen;
  if (truth) seen.push_back(*truth);
  if (data) seen.push_back(*data);
  if (seen.empty() && samples.rows() > 0) seen.push_back(samples);
  // A model alone is looked at where it says its data were.
  const Matrix corners =
      seen.empty() && model != nullptr ? model->to_data_units(Matrix(2, 2, {-3, -3, 3, 3})) : Matrix();
  if (corners.rows() > 0) seen.push_back(corners);
  const View view = view_of(seen);
  figure.x = options.range ? range_from(*options.range) : view.x;
  figure.y = options.range ? range_from(*options.range) : view.y;

  const auto with_outside = [&](const std::string& name, const Matrix& points) {
    std::size_t outside = 0;
    for (std::size_t i = 0; i < points.rows(); ++i) {
      const auto x = static_cast<double>(points(i, 0)), y = static_cast<double>(points(i, 1));
      outside += x < figure.x.lo || x > figure.x.hi || y < figure.y.lo || y > figure.y.hi ? 1 : 0;
    }
    return outside == 0 ? name : fmt::format("{} ({} outside)", name, outside);
  };
  if (options.density || data) {
    PlanePanel panel{options.density ? fmt::format("data: {}", to_string(*options.density)) : "data", {}, {}};
    if (options.density) panel.density = [d = *options.density](MatrixView x) { return true_density(d, x); };
    // As many points beside the model's samples as there are samples, so that the two panels compare.
    if (data) panel.points = first_rows(*data, model_density && samples.rows() > 0 ? samples.rows() : data->rows());
    panel.title = with_outside(panel.title, panel.points);
    figure.panels.push_back(std::move(panel));
  }
  figure.panels.push_back({with_outside(title, samples), model_density, samples});
  return draw_plane(figure);
}

// log Z for the picture; without one that can be trusted the picture is scaled by its own sum.
std::optional<double> picture_log_z(const Console& console, const Mlp& model, const Device& device) {
  try {
    return quadrature_in(noted_box(model), model, {}, device).log_z;
  } catch (const ConfigError&) {
    throw;
  } catch (const Error& refusal) {
    console.warn("no log Z ({}); the density is drawn up to a factor", refusal.what());
    return std::nullopt;
  }
}

// The average of the members' densities; those without a log Z that can be trusted have none.
using DensityFunction = std::function<std::vector<double>(MatrixView)>;

std::vector<double> density_values(const Mlp& model, MatrixView x, std::optional<double> log_z, const Device& device) {
  const std::vector<float> energies = energy(model, x, device);
  const double shift = log_z ? *log_z : -static_cast<double>(*std::ranges::min_element(energies));
  std::vector<double> values(energies.size());
  std::ranges::transform(energies, values.begin(), [&](float e) { return std::exp(-static_cast<double>(e) - shift); });
  return values;
}

// And whether it is normalised.
std::pair<DensityFunction, bool> density_of(const std::vector<Mlp>& models, const Console& console,
                                            const Device& device) {
  if (models.size() == 1) {
    const auto log_z = picture_log_z(console, models.front(), device);
    return {[&model = models.front(), log_z, device](MatrixView x) { return density_values(model, x, log_z, device); },
            log_z.has_value()};
  }
  std::vector<EnsembleMember> members;
  for (const Mlp& model : models) {
    const QuadratureResult result = quadrature_in(noted_box(model), model, {}, device);
    members.push_back({model, result.log_z, result.error, noted_box(model)});
  }
  const auto ensemble = std::make_shared<const Ensemble>(members, device);
  return {[ensemble](MatrixView x) {
            std::vector<double> values = ensemble->log_density(x);
            for (double& v : values) v = std::exp(v);
            return values;
          },
          true};
}

Canvas plot_interval(const PlotOptions& options, const Matrix& samples, const Mlp* model,
                     const DensityFunction& density = {}) {
  LineFigure figure;
  figure.title = options.input.filename().string();
  if (options.data) {
    const Matrix data = read_points(options, *options.data);
    figure.data.assign(data.values().begin(), data.values().end());
  }
  figure.samples.assign(samples.values().begin(), samples.values().end());
  figure.x = options.range ? range_from(*options.range) : range_of({figure.data, figure.samples});
  if (!options.range && model != nullptr && figure.data.empty() && figure.samples.empty()) {
    const Matrix ends = model->to_data_units(Matrix(2, 1, {-3, 3}));
    figure.x = range_of({ends.values()});
  }
  if (model != nullptr) {
    constexpr std::size_t kPoints = 641;
    Matrix grid(kPoints, 1);
    for (std::size_t i = 0; i < kPoints; ++i) {
      figure.xs.push_back(figure.x.lo + (figure.x.hi - figure.x.lo) * static_cast<double>(i) / (kPoints - 1));
      grid(i, 0) = static_cast<float>(figure.xs.back());
    }
    figure.model_density = density(grid);
  }
  return draw_line(figure);
}

// ---- what was given

Matrix samples_of(const PlotOptions& options, const std::vector<Mlp>& models, const Console& console,
                  const Device& device) {
  const Mlp& model = models.front();
  if (options.samples) {
    Matrix x = read_points(options, *options.samples);
    require_dimension(fmt::format("--samples ({})", options.samples->string()), x, model);
    return x;
  }
  SampleOptions request;
  const bool images = model.dim() > 2 && image_size(options, static_cast<std::size_t>(model.dim()));
  request.n_chains = options.chains.value_or(images ? 64 : 1000);
  request.n_steps = options.steps;
  request.seed = options.common.seed();
  std::vector<Sampler> samplers;
  for (const Mlp& member : models) samplers.push_back(sampler_for(member, options.sampler));
  request.tempering = options.sampler.tempering_or_none();
  if (options.fix.given && request.n_chains > 0) {
    const Matrix rows = options.fix.rows(console, static_cast<std::size_t>(model.dim()));
    const Matrix shown = first_rows(rows, static_cast<std::size_t>(request.n_chains));
    request.fixed = dequantized(shown, options.dequantize, options.common.seed());
  }
  if (request.n_chains == 0) return Matrix(0, static_cast<std::size_t>(model.dim()));
  ProgressBar bar(console, "sample", request.n_steps);
  request.progress = [&](const SampleProgress& progress) {
    bar.update(progress.step);
    return true;
  };
  warn_if_unconfined(console, model, samplers.front());
  Matrix x = sample(models, samplers, request, device).x;
  bar.finish();
  return x;
}

// How far the accuracy of a classifier is what its probabilities say.
Canvas plot_reliability(const PlotOptions& options, const Mlp& model, const Console& console, const Device& device) {
  if (model.shape().head != Head::logits) {
    throw ConfigError("--reliability", "given", "the model has a scalar head; only a logits head has probabilities");
  }
  if (!options.data || !(options.labels || options.label_column)) {
    throw ConfigError("--reliability", "given", "needs --data with --labels or --label-column");
  }
  DataOptions source;
  source.path = *options.data;
  source.columns = options.columns;
  source.labels = options.labels;
  source.label_column = options.label_column;
  const Data data = source.read(console, &model);
  require_dimension(fmt::format("--data ({})", options.data->string()), data.x, model);
  warn_without_noise(console, model, options.dequantize);
  const Matrix x = dequantized(data.x, options.dequantize, options.common.seed());
  const Matrix log_p = class_log_probabilities(model, x, device);
  const ClassificationQuality quality = judge_classifier(log_p, data.labels, {.seed = options.common.seed()});
  ReliabilityFigure figure{fmt::format("calibration error {:.4f}", quality.calibration_error.value), {}, {}, {}};
  for (const ReliabilityBin& bin : quality.bins) {
    figure.confidence.push_back(bin.confidence);
    figure.accuracy.push_back(bin.accuracy);
    figure.share.push_back(static_cast<double>(bin.rows) / static_cast<double>(x.rows()));
  }
  return draw_reliability(figure);
}

[[noreturn]] void refuse_fix(const PlotOptions& options) {
  throw ConfigError("--fix", *options.fix.given, "is drawn of images only");
}

Canvas plot_model(const PlotOptions& options, const Console& console, const Device& device) {
  ModelOptions several = options.model;
  several.path = options.input;
  const std::vector<Mlp> models = several.load_all(console);
  const Mlp& model = models.front();
  if (models.size() > 1 && (options.reliability || options.fix.given)) {
    throw ConfigError(options.reliability ? "--reliability" : "--fix", "given", "is drawn of one model");
  }
  if (options.reliability) return plot_reliability(options, model, console, device);
  if (options.density && model.dim() != 2) {
    throw ConfigError("--density", std::string(to_string(*options.density)),
                      fmt::format("is a density in the plane; the model has D = {}", model.dim()));
  }
  const bool images = model.dim() > 2 && image_size(options, static_cast<std::size_t>(model.dim()));
  if (options.fix.given && !images) refuse_fix(options);
  Matrix data;
  if (options.data) {
    data = read_points(options, *options.data);
    require_dimension(fmt::format("--data ({})", options.data->string()), data, model);
  }
  const Matrix samples = samples_of(options, models, console, device);
  if (model.dim() > 2) return plot_rows(options, samples, "samples", console);
  const auto [density, normalised] = density_of(models, console, device);
  if (model.dim() == 1) return plot_interval(options, samples, &model, density);
  return plot_plane(options, samples, normalised ? "model" : "model (not normalised)", density, &model);
}

Canvas plot_points(const PlotOptions& options, const Console& console) {
  const Matrix x = read_points(options, options.input);
  const bool image = options.image && options.image->height > 0;
  if (options.fix.given && !image_size(options, x.cols())) refuse_fix(options);
  if (x.cols() == 2 && !image) return plot_plane(options, x, options.input.filename().string(), {});
  if (options.density) {
    throw ConfigError("--density", std::string(to_string(*options.density)),
                      fmt::format("is a density in the plane; {} is {}", options.input.string(), shape_text(x)));
  }
  if (x.cols() == 1 && !image) return plot_interval(options, x, nullptr);
  return plot_rows(options, x, options.input.filename().string(), console);
}

void run(const CommandLine& line, const PlotOptions& options) {
  const Console console(options.common.quiet);
  line.require_given("--out", "where the picture goes (.png)");
  const Device device = options.common.open();
  Outputs outputs;
  outputs.protect(options.input);
  if (options.data) outputs.protect(*options.data);
  if (options.samples) outputs.protect(*options.samples);
  if (options.fix.given) outputs.protect(options.fix.file());
  if (options.labels) outputs.protect(*options.labels);
  outputs.claim("--out", options.out, {".png"});
  if (options.chains && *options.chains < 0) {
    throw ConfigError("--chains", fmt::format("{}", *options.chains), "must be >= 0 (0: no samples)");
  }
  const std::string extension = options.input.extension().string();
  if (!options.model.others.empty()) {
    for (const fs::path& other : options.model.others) outputs.protect(other);
    if (extension != ".safetensors") {
      throw WrongRequest(fmt::format("{}: one argument too many", options.model.others.front().string()));
    }
  }
  if (!options.reliability) {
    for (const char* option : {"--labels", "--label-column"}) {
      if (line.given(option)) throw ConfigError(option, line.text_of(option), "needs --reliability");
    }
    if (line.given("--dequantize") && !(options.fix.given && extension == ".safetensors")) {
      throw ConfigError("--dequantize", line.text_of("--dequantize"), "needs --reliability, or --fix of a model");
    }
  } else if (extension != ".safetensors") {
    throw ConfigError("--reliability", "given", fmt::format("{} is no model (.safetensors)", options.input.string()));
  }
  const auto picture = [&] {
    if (extension == ".safetensors") return plot_model(options, console, device);
    if (extension == ".npy" || extension == ".npz" || extension == ".csv" || extension == ".tsv")
      return plot_points(options, console);
    if (extension == ".jsonl") return plot_log(options, console);
    throw ConfigError(
        "INPUT", options.input.string(),
        "must be a model (.safetensors), points or images (.npy .npz .csv .tsv) or a training log (.jsonl)");
  }();
  write_png(options.out, picture);
  console.info("wrote {}: {} x {} pixels", options.out.string(), picture.width(), picture.height());
}

}  // namespace

Command add_plot_command(CLI::App& ebm) {
  const auto line = std::make_shared<CommandLine>(
      ebm, "plot", "Pictures (PNG) of a model, points, images or a training log",

      "Examples:\n"
      "  ebm plot moons.safetensors --density two_moons --out moons.png      truth and model side by side, with "
      "samples\n"
      "  ebm plot moons.safetensors --data moons.npy --samples samples.npy --out moons.png\n"
      "  ebm plot samples.npy --out points.png\n"
      "  ebm plot samples.npy --image 8x8 --range 0,16 --data test.npy --out digits.png\n"
      "  ebm plot digits.safetensors --fix 0:32=test.npy --dequantize 1 --data test.npy --out completed.png     "
      "digits\n"
      "      completed from their upper halves: given, completed, true\n"
      "  ebm plot train.jsonl --out curves.png\n"
      "  ebm plot jem.safetensors --reliability --data test.csv --label-column 64 --out reliability.png\n"
      "\n"
      "INPUT decides the picture: two dimensions give a heat map of p(x) with samples over it (points: a scatter),\n"
      "one a curve and histograms, more a contact sheet where rows are images (square from 4x4 on, or --image), else\n"
      "every pair of columns; a log its energies and gradient norm.\n");
  const auto options = std::make_shared<PlotOptions>();
  line->add("INPUT", options->input, "", "model .safetensors, points or images .npy .csv, or log .jsonl");
  line->required();
  line->add("--out", options->out, "FILE", "where the picture goes (.png)");
  line->add("--data", options->data, "FILE", "training or held-out data to show beside it");
  line->add_choice(
      "--density", options->density, [](auto text, auto field) { return parse_density_2d(text, field); },
      "the true density to show beside it, a name of ebm data");
  line->add("--samples", options->samples, "FILE", "a model's samples (default: drawn now)");
  line->add("--columns", options->columns, "A:B", "columns of data, samples or INPUT that are features");
  line->add_flag("--reliability", options->reliability,
                 "of a classifier: accuracy against max p(y | x) on --data with labels");
  line->add("--labels", options->labels, "FILE", "labels of --data, one a row");
  line->add("--label-column", options->label_column, "K", "column of --data that holds them, number or name");
  options->fix.add(*line);
  line->add("--dequantize", options->dequantize, "W",
            "add uniform noise in [0, W) to --data of --reliability, to --fix (default 0)");
  line->add("--image", options->image, "HxW",
            "height and width of an image, or none: a table (default: square from 4x4 on)");
  line->add("--per-row", options->per_row, "N", "images in a row (default: about square)");
  line->add("--range", options->range, "LO,HI", "of the axes; of images: values at the ends of the scale");
  line->add_choice(
      "--colormap", options->colormap, [](auto text, auto field) { return parse_colormap(text, field); },
      "viridis or gray (default viridis for densities, gray for images)");
  line->add("--chains", options->chains, "N", "samples or images to show (default 1000 points, 64 images of a model)");
  line->add("--langevin-steps", options->steps, "K", "steps of a model's chains (default 1000)");
  options->sampler.add(*line);
  options->model.add_hints(*line);
  options->model.take_several(*line);
  options->common.add(*line);
  return {line, [line, options] { run(*line, *options); }};
}

}  // namespace ebm::tools
