#include "ebmcuda/transform.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "ebmcuda/dataset.hpp"
#include "host/core/check.hpp"
#include "host/core/names.hpp"
#include "host/core/points.hpp"
#include "host/data/standardize.hpp"
#include "host/data/transform_parts.hpp"

namespace ebm {
namespace {

constexpr Name<TransformKind> kKinds[] = {{TransformKind::none, "none"},
                                          {TransformKind::standardize, "standardize"},
                                          {TransformKind::whiten, "whiten"},
                                          {TransformKind::marginals, "marginals"},
                                          {TransformKind::marginals_whiten, "marginals+whiten"}};

constexpr std::size_t kMostWhitened = 4096;
constexpr std::size_t kRowsPerCell = 8;    // fewer make a histogram that is noise
constexpr std::size_t kNoiseReplicas = 8;  // of each row, where a covariance of dequantised marginals is taken

// The value of a bound for column d.
double bound(const std::vector<float>& bounds, std::size_t d, double unbounded) {
  if (bounds.empty()) return unbounded;
  return static_cast<double>(bounds.size() == 1 ? bounds[0] : bounds[d]);
}

void validate(MatrixView data, const TransformOptions& options) {
  require(data.rows >= 1 && data.cols >= 1, "data", fmt::format("{} x {}", data.rows, data.cols),
          "must hold at least one point");
  require_points("data", data, static_cast<int>(data.cols));
  require_non_negative("dequantize", options.dequantize);
  for (const auto& [name, bounds] : {std::pair("lower", &options.lower), std::pair("upper", &options.upper)}) {
    require(bounds->size() <= 1 || bounds->size() == data.cols, name, bounds->size(),
            fmt::format("must hold 1 or {} values", data.cols));
    for (const float b : *bounds) require(std::isfinite(b), name, b, "must be finite");
  }
  const auto width = static_cast<double>(options.dequantize);
  for (std::size_t d = 0; d < data.cols; ++d) {
    const double lower = bound(options.lower, d, -MarginalColumn::kUnbounded);
    const double upper = bound(options.upper, d, MarginalColumn::kUnbounded);
    require(lower < upper, "lower", lower, fmt::format("must be below upper = {} (column {})", upper, d));
    for (std::size_t i = 0; i < data.rows; ++i) {
      const auto v = static_cast<double>(data.row(i)[d]);
      require(v >= lower, "lower", lower, fmt::format("row {}, column {} holds {}", i, d, v));
      require(v + width <= upper, "upper", upper,
              fmt::format("row {}, column {} holds {}{}", i, d, v, width > 0 ? " before dequantisation" : ""));
    }
  }
}

struct Range {
  double lowest, highest;  // of the values
  bool whole;              // all are multiples of the width
};

Range range_of(const std::vector<double>& values, double width) {
  Range range{values.front(), values.front(), width > 0};
  for (const double v : values) {
    range.lowest = std::min(range.lowest, v);
    range.highest = std::max(range.highest, v);
    range.whole = range.whole && v / width == std::round(v / width);
  }
  return range;
}

std::vector<double> column_of(MatrixView data, std::size_t d) {
  std::vector<double> values(data.rows);
  for (std::size_t i = 0; i < data.rows; ++i) values[i] = static_cast<double>(data.row(i)[d]);
  return values;
}

std::vector<MarginalColumn> fit_marginals(MatrixView data, const TransformOptions& options) {
  const auto width = static_cast<double>(options.dequantize);
  std::vector<Range> ranges;
  for (std::size_t d = 0; d < data.cols; ++d) ranges.push_back(range_of(column_of(data, d), width));
  Range all = ranges.front();
  for (const Range& r : ranges) {
    all = {std::min(all.lowest, r.lowest), std::max(all.highest, r.highest), all.whole && r.whole};
  }
  std::vector<MarginalColumn> columns;
  for (std::size_t d = 0; d < data.cols; ++d) {
    double lower = bound(options.lower, d, -MarginalColumn::kUnbounded);
    double upper = bound(options.upper, d, MarginalColumn::kUnbounded);
    std::vector<double> values = column_of(data, d);
    if (ranges[d].whole) {
      Range own = all.whole ? all : ranges[d];
      if (!all.whole) {
        const double more = width * std::ceil((own.highest - own.lowest) / width / 8 + 1);
        own = {own.lowest >= 0 ? std::max(0.0, own.lowest - more) : own.lowest - more, own.highest + more, true};
      }
      lower = std::max(lower, own.lowest);
      upper = std::min(upper, own.highest + width);
      const double cells = std::round((upper - lower) / width);
      if (cells * static_cast<double>(kRowsPerCell) <= static_cast<double>(data.rows)) {
        columns.push_back(fit_cells(values, width, lower, static_cast<std::size_t>(cells)));
        continue;
      }
    }
    if (width > 0) {
      // Where the noise will put them: spread evenly over [0, width).
      for (std::size_t i = 0; i < values.size(); ++i) {
        const double golden = static_cast<double>(i) * 0.6180339887498949;
        values[i] += width * (golden - std::floor(golden));
      }
    }
    columns.push_back(fit_smooth(std::move(values), lower, upper));
  }
  return columns;
}

// Marginal scores of the rows, with noise where there is some.
Matrix scores(MatrixView data, const std::vector<MarginalColumn>& columns, const TransformOptions& options) {
  const std::size_t replicas = options.dequantize > 0 ? kNoiseReplicas : 1;
  Matrix u(data.rows * replicas, data.cols);
  for (std::size_t r = 0; r < replicas; ++r) {
    const Matrix noisy = dequantized(data, options.dequantize, options.seed + r);
    for (std::size_t i = 0; i < data.rows; ++i) {
      for (std::size_t d = 0; d < data.cols; ++d) {
        u(r * data.rows + i, d) = static_cast<float>(columns[d].forward(static_cast<double>(noisy(i, d))));
      }
    }
  }
  return u;
}

// task(row in double, number) over the rows of `from`, each then rounded into `to`.
template <class Task>
void each_row(std::span<const float> from, std::size_t dim, const Task& task) {
  std::vector<double> row(dim);
  for (std::size_t i = 0; i * dim < from.size(); ++i) {
    for (std::size_t d = 0; d < dim; ++d) row[d] = static_cast<double>(from[i * dim + d]);
    task(row, i);
  }
}

void store(const std::vector<double>& row, std::size_t i, std::span<float> to) {
  for (std::size_t d = 0; d < row.size(); ++d) to[i * row.size() + d] = static_cast<float>(row[d]);
}

double log_slopes(const std::vector<MarginalColumn>& columns, const std::vector<double>& x) {
  double sum = 0;
  for (std::size_t d = 0; d < columns.size(); ++d) sum += columns[d].log_slope(x[d]);
  return sum;
}

}  // namespace

std::string_view to_string(TransformKind kind) { return name_of<TransformKind>(kKinds, kind); }
TransformKind parse_transform_kind(std::string_view name, std::string_view field) {
  return parse_name<TransformKind>(kKinds, name, field);
}

Transform::Transform() = default;

Transform::Transform(Standardization standardization) : kind_(TransformKind::standardize) {
  require(standardization.std.size() == standardization.mean.size(), "data.std", standardization.std.size(),
          fmt::format("must hold {} values, as data.mean", standardization.mean.size()));
  for (const float mean : standardization.mean) {
    require(std::isfinite(mean), "data.mean", mean, "every value must be finite");
  }
  for (const float std : standardization.std) require_positive("data.std", std);
  for (const float std : standardization.std) log_volume_ += std::log(static_cast<double>(std));
  standardization_ = std::move(standardization);
}

Transform::Transform(TransformKind kind, std::shared_ptr<const Parts> parts) : kind_(kind), parts_(std::move(parts)) {
  if (affine()) log_volume_ = parts_->whitening.log_volume();
}

Transform Transform::fit(TransformKind kind, MatrixView data, const TransformOptions& options) {
  require(to_string(kind) != "?", "transform", static_cast<int>(kind), "is not a TransformKind");
  validate(data, options);
  require(!has_whitening(kind) || data.cols <= kMostWhitened, "transform", to_string(kind),
          fmt::format("whitening serves D <= {}; the data have {}", kMostWhitened, data.cols));
  if (kind == TransformKind::none) return {};
  if (kind == TransformKind::standardize) return Transform(standardization_of(data, options.dequantize));
  Parts parts;
  if (kind == TransformKind::whiten) {
    const auto width = static_cast<double>(options.dequantize);
    parts.whitening = fit_whitening(data, width / 2, width * width / 12);
  } else {
    parts.marginals = fit_marginals(data, options);
    if (has_whitening(kind)) {
      const Matrix u = scores(data, parts.marginals, options);
      parts.whitening = fit_whitening(u);
    }
  }
  return Transform(kind, std::make_shared<const Parts>(std::move(parts)));
}

std::size_t Transform::dim() const noexcept {
  if (standardization_) return standardization_->mean.size();
  if (!parts_) return 0;
  return parts_->marginals.empty() ? parts_->whitening.mean.size() : parts_->marginals.size();
}

bool Transform::affine() const noexcept { return !has_marginals(kind_); }
bool Transform::separable() const noexcept { return !has_whitening(kind_); }

bool Transform::has_cells() const noexcept {
  return parts_ && std::ranges::any_of(parts_->marginals, [](const MarginalColumn& c) { return c.cells; });
}

std::string Transform::describe() const {
  std::string text(to_string(kind_));
  if (!parts_) return text;
  if (!parts_->marginals.empty()) {
    const auto cells = std::ranges::count_if(parts_->marginals, [](const MarginalColumn& c) { return c.cells; });
    const auto columns = static_cast<std::ptrdiff_t>(dim());
    text += cells == columns ? fmt::format(" ({} columns of cells", cells)
            : cells == 0     ? fmt::format(" ({} smooth columns", columns)
                             : fmt::format(" ({} columns of cells, {} smooth", cells, columns - cells);
    text += ")";
  }
  if (parts_->whitening.shrinkage > 0) {
    text += fmt::format(", singular correlations shrunk by {:.2g}", parts_->whitening.shrinkage);
  }
  return text;
}

void Transform::forward(std::span<const float> x, std::span<float> z) const {
  if (standardization_) {
    to_model_space(*standardization_, x, z);
  } else if (!parts_) {
    if (z.data() != x.data()) std::ranges::copy(x, z.begin());
  } else {
    each_row(x, dim(), [&](std::vector<double>& row, std::size_t i) {
      for (std::size_t d = 0; d < parts_->marginals.size(); ++d) row[d] = parts_->marginals[d].forward(row[d]);
      if (!parts_->whitening.empty()) parts_->whitening.forward(row);
      store(row, i, z);
    });
  }
}

void Transform::inverse(std::span<const float> z, std::span<float> x) const {
  if (standardization_) {
    to_data_units(*standardization_, z, x);
  } else if (!parts_) {
    if (z.data() != x.data()) std::ranges::copy(z, x.begin());
  } else {
    each_row(z, dim(), [&](std::vector<double>& row, std::size_t i) {
      if (!parts_->whitening.empty()) parts_->whitening.inverse(row);
      for (std::size_t d = 0; d < parts_->marginals.size(); ++d) row[d] = parts_->marginals[d].inverse(row[d]);
      store(row, i, x);
    });
  }
}

void Transform::log_jacobian(std::span<const float> x, std::span<double> result) const {
  if (affine()) {
    std::ranges::fill(result, -log_volume_);
    return;
  }
  const double whitening = parts_->whitening.empty() ? 0 : parts_->whitening.log_volume();
  each_row(x, dim(), [&](const std::vector<double>& row, std::size_t i) {
    result[i] = log_slopes(parts_->marginals, row) - whitening;
  });
}

void Transform::log_jacobian_at(std::span<const float> z, std::span<double> result) const {
  if (affine()) {
    std::ranges::fill(result, -log_volume_);
    return;
  }
  const double whitening = parts_->whitening.empty() ? 0 : parts_->whitening.log_volume();
  each_row(z, dim(), [&](std::vector<double>& row, std::size_t i) {
    if (!parts_->whitening.empty()) parts_->whitening.inverse(row);
    for (std::size_t d = 0; d < row.size(); ++d) row[d] = parts_->marginals[d].inverse(row[d]);
    result[i] = log_slopes(parts_->marginals, row) - whitening;
  });
}

void Transform::pull_back(std::span<const float> x, std::span<float> gradient) const {
  const std::size_t dim = this->dim();
  if (standardization_) {
    for (std::size_t i = 0; i < gradient.size(); i += dim) {
      for (std::size_t d = 0; d < dim; ++d) gradient[i + d] /= standardization_->std[d];
    }
    return;
  }
  if (!parts_) return;
  each_row(gradient, dim, [&](std::vector<double>& row, std::size_t i) {
    if (!parts_->whitening.empty()) parts_->whitening.pull_back(row);
    for (std::size_t d = 0; d < parts_->marginals.size(); ++d) {
      row[d] *= std::exp(parts_->marginals[d].log_slope(static_cast<double>(x[i * dim + d])));
    }
    store(row, i, gradient);
  });
}

void Transform::log_jacobian_gradient(std::span<const float> x, std::span<float> gradient) const {
  if (affine()) {
    std::ranges::fill(gradient, 0.0f);
    return;
  }
  each_row(x, dim(), [&](std::vector<double>& row, std::size_t i) {
    for (std::size_t d = 0; d < row.size(); ++d) row[d] = parts_->marginals[d].log_slope_gradient(row[d]);
    store(row, i, gradient);
  });
}

}  // namespace ebm
