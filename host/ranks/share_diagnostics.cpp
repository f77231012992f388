#include "ebmcuda/diagnostics.hpp"

#include <algorithm>

#include "ebmcuda/share.hpp"
#include "host/core/check.hpp"

namespace ebm {
namespace {

// judge() of a trajectory takes one dimension after the other, so each is gathered where it is judged.
std::vector<double> by_dimension(const std::vector<Matrix>& share, const Communicator& ranks,
                                 std::vector<double> (*judge)(const std::vector<Matrix>&)) {
  if (ranks.size() == 1) return judge(share);
  require(share.size() >= 4, "trajectory", share.size(), "must hold at least 4 kept steps");
  const std::size_t kept = share.size(), dim = share.front().cols(), rows = share.front().rows();
  for (const Matrix& step : share) {
    require(step.rows() == rows && step.cols() == dim, "trajectory", fmt::format("{} x {}", step.rows(), step.cols()),
            fmt::format("every step must have the shape of the first, {} x {}", rows, dim));
  }
  std::vector<double> mine;
  for (std::size_t d = 0; d < dim; ++d) {
    std::vector<float> column;  // [rows, kept]
    for (std::size_t i = 0; i < rows; ++i) {
      for (const Matrix& step : share) column.push_back(step(i, d));
    }
    const int judged_by = static_cast<int>(d % static_cast<std::size_t>(ranks.size()));
    std::vector<std::vector<float>> parts(static_cast<std::size_t>(ranks.size()));
    ranks.exchange("a dimension of the trajectory", std::as_bytes(std::span<const float>(column)), judged_by,
                   [&](int from, std::size_t bytes) {
                     auto& part = parts[static_cast<std::size_t>(from)];
                     part.resize(bytes / sizeof(float));
                     return std::as_writable_bytes(std::span(part));
                   });
    if (judged_by != ranks.rank()) continue;
    std::vector<float> all;
    for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
    const std::size_t chains = all.size() / kept;
    std::vector<Matrix> trajectory(kept, Matrix(chains, 1));
    for (std::size_t i = 0; i < chains; ++i) {
      for (std::size_t t = 0; t < kept; ++t) trajectory[t](i, 0) = all[i * kept + t];
    }
    mine.push_back(judge(trajectory).front());
  }
  const auto parts = ranks.gather("diagnostics", std::span<const double>(mine));
  std::vector<double> result;
  for (std::size_t d = 0; d < dim; ++d) result.push_back(parts[d % parts.size()][d / parts.size()]);
  return result;
}

}  // namespace

std::vector<double> effective_sample_size(const std::vector<Matrix>& share, const Communicator& ranks) {
  return by_dimension(share, ranks, effective_sample_size);
}

std::vector<double> split_rhat(const std::vector<Matrix>& share, const Communicator& ranks) {
  return by_dimension(share, ranks, split_rhat);
}

}  // namespace ebm
