// How many points of an exact density there are to draw: a point's number is a Philox chain.
#pragma once

#include <cstdint>

#include "host/core/check.hpp"

namespace ebm {

// ConfigError unless points first .. first + n - 1 exist.
inline void require_draws(std::int64_t n, std::uint64_t first) {
  constexpr std::uint64_t kPointLimit = std::uint64_t{1} << 56;
  require(n >= 1 && n <= std::int64_t{1} << 40, "n", n, "must be in 1 .. 2^40");
  require(first < kPointLimit && static_cast<std::uint64_t>(n) <= kPointLimit - first, "first", first,
          "first + n must be <= 2^56");
}

}  // namespace ebm
