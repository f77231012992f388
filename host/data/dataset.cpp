#include "ebmcuda/dataset.hpp"

#include <algorithm>

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

}  // namespace ebm
