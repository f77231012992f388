#include "ebmcuda/calibration.hpp"

#include <algorithm>
#include <cmath>

#include "host/core/check.hpp"

namespace ebm {
namespace {

constexpr double kColdest = 1e-3, kHottest = 1e3;

// d/db of the mean of -log p_(1/b)(label | x): the mean over rows of <log p> - log p(label), under p_(1/b). Grows with
// b.
double slope_at(MatrixView log_p, std::span<const int> labels, double b) {
  double sum = 0;
  for (std::size_t i = 0; i < log_p.rows; ++i) {
    const auto row = log_p.row(i);
    const auto largest = static_cast<double>(*std::ranges::max_element(row));
    double total = 0, mean = 0;
    for (const float v : row) {
      const double above = static_cast<double>(v) - largest, p = std::exp(b * above);
      if (!(p > 0)) continue;  // where log p is -infinity too
      total += p;
      mean += p * above;
    }
    sum += mean / total - (static_cast<double>(row[static_cast<std::size_t>(labels[i])]) - largest);
  }
  return sum / static_cast<double>(log_p.rows);
}

}  // namespace

double fit_temperature(MatrixView log_probabilities, std::span<const int> labels) {
  const std::size_t n = log_probabilities.rows;
  require(n >= 1 && log_probabilities.cols >= 1, "log_probabilities", fmt::format("{} x {}", n, log_probabilities.cols),
          "must hold at least one row");
  require(labels.size() == n, "labels", labels.size(), fmt::format("must hold one label for each of {} rows", n));
  for (std::size_t i = 0; i < n; ++i) {
    const auto row = log_probabilities.row(i);
    require(labels[i] >= 0 && static_cast<std::size_t>(labels[i]) < row.size(), fmt::format("labels[{}]", i), labels[i],
            fmt::format("must be in 0 .. {}", row.size() - 1));
    for (const float v : row) require(!std::isnan(v), fmt::format("log_probabilities[{}]", i), v, "must be a number");
  }
  // Bisection in ln b: the slope has one sign below the minimum and the other above.
  double low = -std::log(kHottest), high = -std::log(kColdest);
  if (slope_at(log_probabilities, labels, std::exp(high)) <= 0) return kColdest;
  if (slope_at(log_probabilities, labels, std::exp(low)) >= 0) return kHottest;
  for (int k = 0; k < 60; ++k) {
    const double middle = (low + high) / 2;
    (slope_at(log_probabilities, labels, std::exp(middle)) < 0 ? low : high) = middle;
  }
  return std::exp(-(low + high) / 2);
}

Matrix at_temperature(MatrixView log_probabilities, double temperature) {
  require_positive("temperature", temperature);
  Matrix result(log_probabilities.rows, log_probabilities.cols);
  for (std::size_t i = 0; i < result.rows(); ++i) {
    const auto row = log_probabilities.row(i);
    const auto largest = static_cast<double>(*std::ranges::max_element(row));
    double sum = 0;
    for (const float v : row) sum += std::exp((static_cast<double>(v) - largest) / temperature);
    for (std::size_t y = 0; y < row.size(); ++y) {
      result(i, y) = static_cast<float>((static_cast<double>(row[y]) - largest) / temperature - std::log(sum));
    }
  }
  return result;
}

}  // namespace ebm
