// The pictures of `ebm plot`. Each takes numbers and returns a canvas; nothing here reads a file or runs a model.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "ebmcuda/matrix.hpp"
#include "tools/plot/axes.hpp"
#include "tools/plot/canvas.hpp"

namespace ebm::tools {

// Two dimensions: panels side by side with one view and one colour scale. density.cpp
struct PlanePanel {
  std::string title;
  // p at each row of [N, 2]; unset: points only.
  std::function<std::vector<double>(MatrixView)> density;
  Matrix points;  // [n, 2], drawn over the density
};
struct PlaneFigure {
  Range x, y;
  std::vector<PlanePanel> panels;
  Colormap colormap = Colormap::viridis;
};
Canvas draw_plane(const PlaneFigure& figure);

// One dimension: densities as curves over histograms. density.cpp
struct LineFigure {
  Range x;
  std::string title;
  std::vector<double> xs, model_density;  // empty: no curve
  std::vector<float> samples, data;       // either may be empty
};
Canvas draw_line(const LineFigure& figure);

// A view that holds nearly all points (range_without_outliers) and a margin. density.cpp
struct View {
  Range x, y;
};
View view_of(const std::vector<MatrixView>& points);
// The same in one dimension.
Range range_of(const std::vector<std::span<const float>>& values);

// More dimensions that are no image: every pair of columns. Histograms on the diagonal, samples below it, data (if any)
// above it. pairs.cpp
struct PairFigure {
  std::string title;
  std::vector<std::string> names;  // of the columns
  Matrix samples, data;            // [n, columns]; either may be empty
  std::optional<Range> range;      // of every axis; unset: that of each column
};
Canvas draw_pairs(const PairFigure& figure);

// Contact sheets of images side by side, one value scale. sheet.cpp
struct Sheet {
  std::string title;
  Matrix images;  // [n, height * width], row-major images; NaN: a pixel that is not there
};
struct SheetFigure {
  int image_height, image_width;
  int per_row = 0;             // 0: about square
  std::optional<Range> range;  // values of the colour scale's ends; unset: the 0.5 % and 99.5 % quantiles
  Colormap colormap = Colormap::gray;
  std::vector<Sheet> sheets;
};
Canvas draw_sheets(const SheetFigure& figure);

// Scores of two groups: histograms of the energies with the threshold, and the ROC curve. scores.cpp
struct ScoresFigure {
  std::vector<float> normal, anomalies;  // energies, neither empty
  std::optional<double> threshold;
  std::vector<double> false_alarm_rate, detection_rate;  // of the curve, ascending
  double auroc = 0;
};
Canvas draw_scores(const ScoresFigure& figure);

// Whether probabilities mean what they say: accuracy against confidence in equal bins. scores.cpp
struct ReliabilityFigure {
  std::string title;
  std::vector<double> confidence, accuracy, share;  // one each for every bin: means, and the share of all rows
};
Canvas draw_reliability(const ReliabilityFigure& figure);

// A training log: energy gap, energies, gradient norm against the iteration. curves.cpp
struct TrainingCurves {
  std::vector<double> iteration, energy_data, energy_samples, energy_gap, gradient_norm;
};
Canvas draw_curves(const TrainingCurves& curves, const std::string& title);

}  // namespace ebm::tools
