#include "tools/fix_options.hpp"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "ebmcuda/error.hpp"
#include "ebmcuda/table.hpp"
#include "tools/inputs.hpp"

namespace ebm::tools {
namespace {

constexpr const char* kOption = "--fix";

// What precedes the first =; empty: all columns.
std::string columns_in(const std::string& text) {
  const std::size_t at = text.find('=');
  return at == std::string::npos ? std::string() : text.substr(0, at);
}

}  // namespace

void FixOptions::add(CommandLine& line) {
  line.add(kOption, given, "[COLUMNS=]FILE",
           "hold these columns at the values of each row of FILE and run the others; without COLUMNS, all that are not "
           "missing");
}

std::filesystem::path FixOptions::file() const {
  const std::size_t at = given->find('=');
  return at == std::string::npos ? *given : given->substr(at + 1);
}

Matrix FixOptions::rows(const Console& console, std::size_t dim) const {
  const std::string columns = columns_in(*given);
  if (given->find('=') != std::string::npos && columns.empty()) {
    throw ConfigError(kOption, *given, "must be FILE, or COLUMNS=FILE with columns such as 0:32 or 0:3,5, or names");
  }
  const Matrix all = read_points_with_gaps(console, file(), {});
  Matrix fixed(all.rows(), dim, std::vector<float>(all.rows() * dim, std::numeric_limits<float>::quiet_NaN()));
  const auto require_width = [&](bool right, const std::string& allowed) {
    if (!right) {
      throw ConfigError(kOption, *given, fmt::format("the file has {} columns; it must hold {}", all.cols(), allowed));
    }
  };
  std::vector<std::size_t> to(dim);  // columns of the model
  std::iota(to.begin(), to.end(), std::size_t{0});
  std::vector<std::size_t> from = to;  // the file's
  try {
    if (columns.empty()) {
      require_width(all.cols() == dim, fmt::format("the model's {}, or name those it holds: COLUMNS=FILE", dim));
    } else if (all.cols() == dim) {
      // Names are the file's.
      static_cast<void>(read_points_with_gaps(Console(true), file(), columns, &to));
      from = to;
    } else {
      to = columns_of(columns, dim);
      require_width(all.cols() == to.size(), fmt::format("the model's {}, or the {} that are fixed", dim, to.size()));
    }
  } catch (const ConfigError& error) {
    throw ConfigError(kOption, *given, error.allowed());
  }
  bool any = false;
  for (std::size_t i = 0; i < all.rows(); ++i) {
    for (std::size_t k = 0; k < to.size(); ++k) {
      const float value = all(i, from[k]);
      if (std::isinf(value)) {
        throw ConfigError(kOption, *given,
                          fmt::format("every value must be finite or missing (row {}, column {})", i, from[k]));
      }
      any = any || !std::isnan(value);
      fixed(i, to[k]) = value;
    }
  }
  if (!any) throw ConfigError(kOption, *given, "holds no value");
  return fixed;
}

Matrix repeated_rows(const Matrix& x, std::int64_t n) {
  if (n < 1) throw ConfigError("--chains", fmt::format("{}", n), "must be >= 1 for each row of --fix");
  std::size_t rows = 0, values = 0;
  if (__builtin_mul_overflow(x.rows(), static_cast<std::size_t>(n), &rows) ||
      __builtin_mul_overflow(rows, x.cols() * sizeof(float), &values) || values > (std::size_t{1} << 46)) {
    throw ConfigError("--chains", fmt::format("{}", n), "is too many for each row of --fix");
  }
  Matrix result(rows, x.cols());
  for (std::size_t i = 0; i < rows; ++i) {
    const auto row = x.row(i / static_cast<std::size_t>(n));
    for (std::size_t d = 0; d < x.cols(); ++d) result(i, d) = row[d];
  }
  return result;
}

}  // namespace ebm::tools
