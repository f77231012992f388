// Energies as scores of how unusual a point is: how well they tell two groups apart, and where to draw the line. A
// higher score is more unusual. Scores may be infinite, never NaN.
#pragma once

#include <span>
#include <vector>

#include "ebmcuda/export.hpp"

namespace ebm {

struct EBMCUDA_API Auroc {
  double area = 0;            // P(an anomaly scores above a normal point) + half of P(the two are equal)
  double standard_error = 0;  // NaN where a group has one point
};

// Area under the ROC curve, which is the Mann-Whitney statistic, with the standard error of DeLong, DeLong and
// Clarke-Pearson (1988). Ties count half in both. O(n log n). Throws ConfigError for an empty group or a NaN.
EBMCUDA_API Auroc auroc(std::span<const float> normal, std::span<const float> anomalies);

// Points above a threshold are called anomalies. Infinity calls none.
struct EBMCUDA_API RocPoint {
  double threshold = 0;
  double false_alarm_rate = 0;  // share of the normal points above it
  double detection_rate = 0;    // share of the anomalies above it
};
// At every distinct score, from none called to all: the first point is (0, 0), the last (1, 1). Its area by trapezoids
// is that of auroc(). Throws as auroc.
EBMCUDA_API std::vector<RocPoint> roc_curve(std::span<const float> normal, std::span<const float> anomalies);

// For each score the percentage, 0 .. 100, of the held-out scores below it, those equal to it by half. Throws
// ConfigError for no held-out score or a NaN.
EBMCUDA_API std::vector<double> percentiles(std::span<const float> scores, std::span<const float> held_out);

// The held-out score that a new normal point exceeds with probability `rate` at most, whatever the scores'
// distribution: the ceil((1 - rate)(n + 1))-th smallest of n (split conformal prediction; Vovk, Gammerman and Shafer
// 2005). Throws ConfigError unless 0 < rate < 1, and where n < 1 / rate - 1, too few for any such score.
EBMCUDA_API double false_alarm_threshold(std::span<const float> held_out, double rate);

}  // namespace ebm
