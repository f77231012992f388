#include "host/sampling/sample_reordered.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "host/sampling/sample_parts.hpp"

namespace ebm {
namespace {

bool same_columns(std::span<const float> a, std::span<const float> b) {
  return std::ranges::equal(a, b, [](float u, float v) { return std::isnan(u) == std::isnan(v); });
}

// The fixed columns, then the free ones.
std::vector<std::size_t> fixed_first(std::span<const float> row) {
  std::vector<std::size_t> order(row.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_partition(order.begin(), order.end(), [&](std::size_t d) { return !std::isnan(row[d]); });
  return order;
}

// Rows first .. first + count - 1 of x with columns in this order.
Matrix reordered(MatrixView x, std::size_t first, std::size_t count, const std::vector<std::size_t>& order) {
  Matrix result(count, x.cols);
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t j = 0; j < x.cols; ++j) result(i, j) = x.row(first + i)[order[j]];
  }
  return result;
}

}  // namespace

SampleResult sample_reordered(const Mlp& model, const Sampler& sampler, const SampleOptions& options,
                              const Device& device) {
  const Matrix& fixed = *options.fixed;
  const std::size_t n = fixed.rows(), dim = fixed.cols();
  SampleParts whole(options, n, dim);
  for (std::size_t first = 0, count = 0; first < n; first += count) {
    count = 1;
    while (first + count < n && same_columns(fixed.row(first), fixed.row(first + count))) ++count;
    const std::vector<std::size_t> order = fixed_first(fixed.row(first));
    SampleOptions part = whole.options_of({first, count, n});
    part.first_chain += first;
    part.fixed = reordered(fixed, first, count, order);
    if (options.init) part.init = reordered(*options.init, first, count, order);
    SampleResult done = sample(reorder_columns(model, order), sampler, part, device);
    if (options.tempering) {
      ReplicaStats& replicas = whole.replicas();
      if (first == 0) {
        replicas = std::move(done.replicas);
      } else {
        for (std::size_t r = 0; r < done.replicas.swaps.size(); ++r) replicas.swaps[r] += done.replicas.swaps[r];
        replicas.round_trips += done.replicas.round_trips;
      }
    }
    whole.add(
        std::move(done), [&](std::size_t i) { return first + i; }, [&](std::size_t j) { return order[j]; });
  }
  return whole.take();
}

}  // namespace ebm
