#include "tools/held_out_options.hpp"

#include <fmt/format.h>

#include <cmath>

#include "ebmcuda/dataset.hpp"
#include "ebmcuda/error.hpp"
#include "tools/errors.hpp"

namespace ebm::tools {
namespace {

// The moments that the reader took are those of the whole table.
void take_moments(Data* data) {
  const auto n = static_cast<double>(data->x.rows());
  for (std::size_t d = 0; d < data->x.cols(); ++d) {
    double mean = 0, square = 0;
    for (std::size_t i = 0; i < data->x.rows(); ++i) mean += static_cast<double>(data->x(i, d)) / n;
    for (std::size_t i = 0; i < data->x.rows(); ++i)
      square += std::pow(static_cast<double>(data->x(i, d)) - mean, 2) / n;
    data->mean[d] = mean;
    data->std[d] = std::sqrt(square);
  }
}

}  // namespace

void HeldOutSettings::add(CommandLine& line) {
  line.group("Held-out data");
  line.add("--held-out", file, "FILE", "points to judge the run by, columns as in DATA; not trained on");
  line.add("--held-out-share", share, "S", "hold out this share of DATA's rows instead, the same rows for every seed");
  line.add_choice(
      "--keep", keep, [](auto text, auto field) { return parse_kept_model(text, field); },
      "best (by held-out likelihood) or last: which state is saved (default best)");
  line.add("--patience", patience, "N", "stop after N checks without a better likelihood (default: never)");
}

void HeldOutSettings::check() const {
  const auto given = [](const auto& value) { return fmt::format("{}", value); };
  if (file && share) throw ConfigError("--held-out-share", given(*share), "--held-out is given too");
  if (share && !(*share > 0 && *share < 1)) throw ConfigError("--held-out-share", given(*share), "must be in (0, 1)");
  if (file || share) return;
  const std::string why = "needs --held-out FILE or --held-out-share S";
  if (keep) throw ConfigError("--keep", std::string(to_string(*keep)), why);
  if (patience) throw ConfigError("--patience", given(*patience), why);
}

Matrix HeldOutSettings::take(const DataOptions& source, const Console& console, Data* data) const {
  if (file) {
    Matrix x = source.read_features(console, *file);
    if (x.cols() != data->x.cols()) {
      throw ConfigError(fmt::format("--held-out ({})", file->string()), shape_text(x),
                        fmt::format("rows must hold {} values, as DATA", data->x.cols()));
    }
    return x;
  }
  if (!share) return {};
  const std::size_t n = data->x.rows();
  const auto out = static_cast<std::size_t>(std::lround(static_cast<double>(*share) * static_cast<double>(n)));
  if (out == 0 || out == n) {
    throw ConfigError("--held-out-share", fmt::format("{}", *share),
                      fmt::format("leaves one part of {} rows empty", n));
  }
  const auto order = shuffled_order(n, 0);
  Matrix held_out = select_rows(data->x, order, n - out, n);
  data->x = select_rows(data->x, order, 0, n - out);
  if (!data->labels.empty()) {
    std::vector<int> labels;
    for (std::size_t i = 0; i < n - out; ++i) labels.push_back(data->labels[order[i]]);
    data->labels = std::move(labels);
  }
  take_moments(data);
  return held_out;
}

}  // namespace ebm::tools
