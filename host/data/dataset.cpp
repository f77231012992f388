#include "ebmcuda/dataset.hpp"

#include <algorithm>
#include <cmath>

#include "ebmcuda/table.hpp"
#include "host/core/check.hpp"
#include "kernels/math/permutation.hpp"
#include "kernels/math/philox.hpp"

namespace ebm {

std::vector<std::size_t> shuffled_order(std::size_t n, std::uint64_t seed) {
  std::vector<std::size_t> order(n);
  if (n == 0) return order;
  const auto permutation = Permutation::make(seed, Purpose::data_split, 0, n);
  for (std::size_t i = 0; i < n; ++i) order[i] = static_cast<std::size_t>(permutation(i));
  return order;
}

Matrix select_rows(MatrixView x, const std::vector<std::size_t>& order, std::size_t begin, std::size_t end) {
  require(begin <= end && end <= order.size(), "rows", fmt::format("{}:{}", begin, end),
          fmt::format("must lie in 0:{}", order.size()));
  Matrix chosen(end - begin, x.cols);
  for (std::size_t i = begin; i < end; ++i) {
    require(order[i] < x.rows, "rows", order[i], fmt::format("the table has {} rows", x.rows));
    std::ranges::copy(x.row(order[i]), chosen.row(i - begin).begin());
  }
  return chosen;
}

Matrix dequantized(MatrixView x, float width, std::uint64_t seed) {
  require_non_negative("dequantize", width);
  Matrix noisy(x.rows, x.cols);
  for (std::size_t i = 0; i < x.rows; ++i) {
    for (std::size_t block = 0; 4 * block < x.cols; ++block) {
      const PhiloxWords words = philox(seed, Purpose::dequantization, i, 0, static_cast<std::uint32_t>(block));
      const std::uint32_t bits[4] = {words.r0, words.r1, words.r2, words.r3};
      for (std::size_t d = 4 * block; d < std::min(4 * block + 4, x.cols); ++d) {
        noisy(i, d) = x.row(i)[d] + width * unit_float(bits[d - 4 * block]);
      }
    }
  }
  return noisy;
}

Standardization standardization_of(const Table& table, float dequantize) {
  require_non_negative("dequantize", dequantize);
  const double width = static_cast<double>(dequantize);
  Standardization result;
  for (std::size_t d = 0; d < table.mean.size(); ++d) {
    // In double: the square of a float's standard deviation may lie beyond the floats.
    const auto std = static_cast<float>(std::hypot(table.std[d], width / std::sqrt(12.0)));
    result.mean.push_back(static_cast<float>(table.mean[d] + width / 2));
    result.std.push_back(std > 0 && std::isfinite(std) ? std : 1.0f);
  }
  return result;
}

std::vector<int> empty_classes(const std::vector<int>& labels, int outputs) {
  std::vector<bool> seen(static_cast<std::size_t>(std::max(outputs, 0)), false);
  for (const int label : labels) {
    if (label >= 0 && label < outputs) seen[static_cast<std::size_t>(label)] = true;
  }
  std::vector<int> empty;
  for (int c = 0; c < outputs; ++c) {
    if (!seen[static_cast<std::size_t>(c)]) empty.push_back(c);
  }
  return empty;
}

}  // namespace ebm
