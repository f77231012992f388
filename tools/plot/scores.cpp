#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tools/plot/figures.hpp"
#include "tools/plot/histogram.hpp"

namespace ebm::tools {
namespace {

constexpr int kLeft = 70, kTop = 40, kHeight = 320, kBottom = 52, kRight = 24, kBetween = 76;

double highest(const std::vector<double>& a, const std::vector<double>& b) {
  return std::max(*std::ranges::max_element(a), *std::ranges::max_element(b));
}

std::vector<float> finite_of(const std::vector<float>& values) {
  std::vector<float> result;
  std::ranges::copy_if(values, std::back_inserter(result), [](float v) { return std::isfinite(v); });
  return result;
}

void draw_diagonal(Canvas& canvas, const Axes& axes) {
  canvas.line(axes.at(0, 0), axes.at(1, 1), 1, {0.45f, 0.47f, 0.5f});
}

}  // namespace

Canvas draw_scores(const ScoresFigure& figure) {
  constexpr int kBins = 60, kWidth = 480;
  Canvas canvas(kLeft + kWidth + kBetween + kHeight + kRight, kTop + kHeight + kBottom);
  const std::vector<float> normal = finite_of(figure.normal), anomalies = finite_of(figure.anomalies);
  const Range range = range_of({normal, anomalies});
  const std::vector<double> low = histogram(normal, range, kBins), high = histogram(anomalies, range, kBins);
  const double top = highest(low, high);
  const Axes energies{kLeft, kTop, kWidth, kHeight, range, {0, top > 0 ? top * 1.15 : 1.0}};
  energies.draw_grid(canvas);
  draw_bars(canvas, energies, low, kPale);
  draw_steps(canvas, energies, high, kOrange);
  if (figure.threshold && *figure.threshold >= range.lo && *figure.threshold <= range.hi) {
    canvas.line(energies.at(*figure.threshold, 0), energies.at(*figure.threshold, 0.88 * energies.y.hi), 1.5, kInk);
  }
  Legend legend(canvas, energies);
  legend.add("normal", kPale);
  legend.add("anomalies", kOrange);
  if (figure.threshold) legend.add("threshold", kInk);
  energies.draw_frame(canvas, "", "E(x)", "density");

  const Axes roc{kLeft + kWidth + kBetween, kTop, kHeight, kHeight, {0, 1}, {0, 1}};
  roc.draw_grid(canvas);
  draw_diagonal(canvas, roc);
  roc.draw_curve(canvas, figure.false_alarm_rate, figure.detection_rate, kBlue);
  roc.draw_frame(canvas, fmt::format("area under the curve: {:.4f}", figure.auroc), "false alarms", "detected");
  return canvas;
}

Canvas draw_reliability(const ReliabilityFigure& figure) {
  constexpr int kShare = 90, kGap = 26;
  const int side = kHeight;
  Canvas canvas(kLeft + side + kRight, kTop + side + kGap + kShare + kBottom);
  Axes axes{kLeft, kTop, side, side, {0, 1}, {0, 1}};
  axes.x_labels = false;
  axes.draw_grid(canvas);
  draw_bars(canvas, axes, figure.accuracy, kPale);
  draw_diagonal(canvas, axes);
  // Where each bin's rows really are: their mean confidence.
  for (std::size_t bin = 0; bin < figure.accuracy.size(); ++bin) {
    if (figure.share[bin] > 0) canvas.disc(axes.at(figure.confidence[bin], figure.accuracy[bin]), 3.5, kBlue);
  }
  axes.draw_frame(canvas, figure.title, "", "accuracy");
  const double top = *std::ranges::max_element(figure.share);
  const Axes shares{kLeft, kTop + side + kGap, side, kShare, {0, 1}, {0, top > 0 ? top * 1.1 : 1.0}};
  shares.draw_grid(canvas);
  draw_bars(canvas, shares, figure.share, kPale);
  shares.draw_frame(canvas, "", "confidence, max p(y | x)", "rows");
  return canvas;
}

}  // namespace ebm::tools
