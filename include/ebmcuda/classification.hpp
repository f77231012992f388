// A model with a logits head as a classifier, p(y | x) = softmax of f(x), and how good its probabilities are.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ebmcuda/device.hpp"
#include "ebmcuda/export.hpp"
#include "ebmcuda/matrix.hpp"
#include "ebmcuda/mlp.hpp"

namespace ebm {

// log p(y | x) of each row of x [N, D] (data units), [N, C]. Throws ConfigError for a scalar head and as energy().
EBMCUDA_API Matrix class_log_probabilities(const Mlp& model, MatrixView x, const Device& device);

// The class that is most probable in each row, the first of equals.
EBMCUDA_API std::vector<int> most_probable_class(MatrixView log_probabilities);
// max over y of p(y | x), in each row.
EBMCUDA_API std::vector<float> confidence(MatrixView log_probabilities);

// A statistic of the rows with its bootstrap interval: resampled rows give a value between lo and hi in all but
// 1 - level of the cases, half on each side.
struct EBMCUDA_API Estimate {
  double value = 0, lo = 0, hi = 0;
};

// Rows whose confidence lies in (k / B, (k + 1) / B].
struct EBMCUDA_API ReliabilityBin {
  std::size_t rows = 0;
  double confidence = 0, accuracy = 0;  // means over the rows; 0 where there are none
};

struct EBMCUDA_API ClassificationOptions {
  int bins = 15;         // B, 1 .. 1000
  int resamples = 1000;  // of the bootstrap, 10 .. 1,000,000
  double level = 0.95;   // of the intervals, in (0, 1)
  std::uint64_t seed = 0;
};

struct EBMCUDA_API ClassificationQuality {
  Estimate accuracy;
  Estimate negative_log_likelihood;  // mean of -log p(label | x), nats: the cross-entropy
  Estimate brier;                    // mean over rows of sum_y (p(y | x) - [y = label])^2, 0 .. 2 (Brier 1950)
  // Expected calibration error: sum over bins of (rows / N) |accuracy - confidence| (Guo et al. 2017). Noise makes it
  // positive for a calibrated classifier too, and more so in a resample: its interval leans upwards.
  Estimate calibration_error;
  std::vector<ReliabilityBin> bins;  // B of them
};

// log_probabilities [N, C], labels [N] in 0 .. C-1. Resamples are Philox numbers (purpose 12), so that the intervals
// depend on nothing but rows and seed. Throws ConfigError for shapes that differ, no rows, a label out of range, a NaN
// or options out of range.
EBMCUDA_API ClassificationQuality judge_classifier(MatrixView log_probabilities, std::span<const int> labels,
                                                   const ClassificationOptions& options = {});

}  // namespace ebm
