#include "ebmcuda/diagnostics.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include "host/core/check.hpp"

namespace ebm {
namespace {

// One dimension of a trajectory, every chain cut in two halves (the middle step of an odd number is left out) and
// centred on its own mean.
struct SplitChains {
  std::size_t chains = 0, length = 0;
  std::vector<double> centred;  // [chains, length]
  double within = 0;            // W: mean of the chains' variances
  double between = 0;           // B / n: variance of the chains' means

  // (n - 1) / n W + B / n, which estimates the variance from above until the chains agree.
  double variance() const {
    const auto n = static_cast<double>(length);
    return (n - 1) / n * within + between;
  }

  // Mean over the chains of the biased autocovariance.
  double autocovariance(std::size_t lag) const {
    double sum = 0;
    for (std::size_t c = 0; c < chains; ++c) {
      const double* x = centred.data() + c * length;
      for (std::size_t t = lag; t < length; ++t) sum += x[t] * x[t - lag];
    }
    return sum / (static_cast<double>(chains) * static_cast<double>(length));
  }
};

void require_trajectory(const std::vector<Matrix>& trajectory) {
  require(trajectory.size() >= 4, "trajectory", trajectory.size(), "must hold at least 4 kept steps");
  const Matrix& first = trajectory.front();
  require(first.rows() >= 1 && first.cols() >= 1, "trajectory", fmt::format("{} x {}", first.rows(), first.cols()),
          "every step must hold at least one chain");
  for (std::size_t t = 0; t < trajectory.size(); ++t) {
    const Matrix& step = trajectory[t];
    require(step.rows() == first.rows() && step.cols() == first.cols(), "trajectory",
            fmt::format("{} x {}", step.rows(), step.cols()),
            fmt::format("step {} must have the shape of the first, {} x {}", t, first.rows(), first.cols()));
    for (const float v : step.values()) {
      require(std::isfinite(v), "trajectory", v, fmt::format("every value must be finite (step {})", t));
    }
  }
}

// Of distances to the first value, so that equal values have exactly that mean and no variance.
double mean_of(std::span<const double> values) {
  double sum = 0;
  for (const double v : values) sum += v - values.front();
  return values.front() + sum / static_cast<double>(values.size());
}

SplitChains split(const std::vector<Matrix>& trajectory, std::size_t dimension) {
  SplitChains result;
  result.length = trajectory.size() / 2;
  result.chains = 2 * trajectory.front().rows();
  result.centred.resize(result.chains * result.length);
  std::vector<double> means(result.chains);
  const auto n = static_cast<double>(result.length), m = static_cast<double>(result.chains);
  for (std::size_t c = 0; c < result.chains; ++c) {
    double* x = result.centred.data() + c * result.length;
    const std::size_t begin = c % 2 == 0 ? 0 : trajectory.size() - result.length;
    for (std::size_t t = 0; t < result.length; ++t) x[t] = static_cast<double>(trajectory[begin + t](c / 2, dimension));
    const double mean = mean_of({x, result.length});
    double square = 0;
    for (std::size_t t = 0; t < result.length; ++t) {
      x[t] -= mean;
      square += x[t] * x[t];
    }
    means[c] = mean;
    result.within += square / ((n - 1) * m);
  }
  const double grand = mean_of(means);
  for (const double mean : means) result.between += (mean - grand) * (mean - grand) / (m - 1);
  return result;
}

double effective_size(const SplitChains& chains) {
  const double variance = chains.variance();
  if (!(variance > 0)) return std::numeric_limits<double>::quiet_NaN();
  const double total = static_cast<double>(chains.chains) * static_cast<double>(chains.length);
  // Geyer 1992: sums of neighbouring autocorrelations are positive and fall; noise ends the sum where one is not.
  double tau = -1, previous = std::numeric_limits<double>::infinity();
  const auto correlation = [&](std::size_t lag) { return 1 - (chains.within - chains.autocovariance(lag)) / variance; };
  for (std::size_t lag = 0; lag + 1 < chains.length; lag += 2) {
    const double pair = (lag == 0 ? 1 : correlation(lag)) + correlation(lag + 1);
    if (!(pair > 0)) break;
    previous = std::min(previous, pair);
    tau += 2 * previous;
  }
  return total / std::max(tau, 1 / std::log10(total));
}

}  // namespace

std::vector<double> effective_sample_size(const std::vector<Matrix>& trajectory) {
  require_trajectory(trajectory);
  std::vector<double> result(trajectory.front().cols());
  for (std::size_t d = 0; d < result.size(); ++d) result[d] = effective_size(split(trajectory, d));
  return result;
}

std::vector<double> split_rhat(const std::vector<Matrix>& trajectory) {
  require_trajectory(trajectory);
  std::vector<double> result(trajectory.front().cols());
  for (std::size_t d = 0; d < result.size(); ++d) {
    const SplitChains chains = split(trajectory, d);
    result[d] = std::sqrt(chains.variance() / chains.within);
  }
  return result;
}

}  // namespace ebm
