#include "host/data/transform_parts.hpp"

#include <cmath>

#include "host/core/check.hpp"

namespace ebm {
namespace {

void require_size(std::string_view name, std::size_t size, std::size_t expected) {
  require(size == expected, name, size, fmt::format("must hold {} values", expected));
}

void require_finite(std::string_view name, const std::vector<double>& values) {
  for (const double v : values) require(std::isfinite(v), name, v, "every value must be finite");
}

Whitening whitening_of(std::size_t dim, const TransformArrays& a) {
  require_size("data.whiten.mean", a.whiten_mean.size(), dim);
  require_size("data.whiten.root", a.whiten_root.size(), dim * dim);
  require_finite("data.whiten.mean", a.whiten_mean);
  require_finite("data.whiten.root", a.whiten_root);
  for (std::size_t i = 0; i < dim; ++i) {
    for (std::size_t j = i; j < dim; ++j) {
      const double v = a.whiten_root[i * dim + j];
      require(i == j ? v > 0 : v == 0, "data.whiten.root", v,
              fmt::format("must be lower triangular, > 0 on the diagonal (row {}, column {})", i, j));
    }
  }
  return {a.whiten_mean, a.whiten_root};
}

void require_ascending(std::string_view name, std::size_t column, const std::vector<double>& values) {
  for (std::size_t k = 1; k < values.size(); ++k) {
    require(values[k] > values[k - 1], name, values[k], fmt::format("must ascend (column {})", column));
  }
}

void require_column(std::size_t d, const MarginalColumn& c) {
  require_ascending("data.marginals.x", d, c.x);
  require_ascending("data.marginals.y", d, c.y);
  if (c.cells) {
    require(c.y.front() == 0 && c.y.back() == 1, "data.marginals.y", c.y.back(),
            fmt::format("must go from 0 to 1 in cells (column {})", d));
    return;
  }
  for (const double s : c.slope) require(s > 0, "data.marginals.slope", s, fmt::format("must be > 0 (column {})", d));
  require(c.lower < c.x.front(), "data.marginals.lower", c.lower,
          fmt::format("must be below the first knot (column {})", d));
  require(c.upper > c.x.back(), "data.marginals.upper", c.upper,
          fmt::format("must be above the last knot (column {})", d));
}

std::vector<MarginalColumn> marginals_of(std::size_t dim, const TransformArrays& a) {
  require_size("data.marginals.knots", a.knots.size(), dim);
  require_size("data.marginals.cells", a.cells.size(), dim);
  require_size("data.marginals.lower", a.lower.size(), dim);
  require_size("data.marginals.upper", a.upper.size(), dim);
  require_finite("data.marginals.x", a.x);
  require_finite("data.marginals.y", a.y);
  require_finite("data.marginals.slope", a.slope);
  std::uint64_t total = 0;
  for (const std::uint64_t n : a.knots) {
    require(n >= 2 && n <= a.x.size(), "data.marginals.knots", n, "must be in 2 .. the number of knots");
    total += n;
  }
  require_size("data.marginals.x", a.x.size(), total);
  require_size("data.marginals.y", a.y.size(), total);
  require_size("data.marginals.slope", a.slope.size(), total);
  std::vector<MarginalColumn> columns(dim);
  std::ptrdiff_t begin = 0;
  for (std::size_t d = 0; d < dim; ++d) {
    const auto end = begin + static_cast<std::ptrdiff_t>(a.knots[d]);
    const auto part = [&](const std::vector<double>& v) {
      return std::vector<double>(v.begin() + begin, v.begin() + end);
    };
    require(a.cells[d] <= 1, "data.marginals.cells", a.cells[d], "must be 0 or 1");
    columns[d] = {a.cells[d] == 1, part(a.x), part(a.y), part(a.slope), a.lower[d], a.upper[d]};
    if (columns[d].cells) columns[d].slope.clear();
    require_column(d, columns[d]);
    begin = end;
  }
  return columns;
}

}  // namespace

bool has_marginals(TransformKind kind) {
  return kind == TransformKind::marginals || kind == TransformKind::marginals_whiten;
}
bool has_whitening(TransformKind kind) {
  return kind == TransformKind::whiten || kind == TransformKind::marginals_whiten;
}

TransformArrays arrays_of(const Transform& transform) {
  TransformArrays a;
  const Transform::Parts* parts = transform.parts();
  if (parts == nullptr) return a;
  a.whiten_mean = parts->whitening.mean;
  a.whiten_root = parts->whitening.root;
  for (const MarginalColumn& c : parts->marginals) {
    a.knots.push_back(c.x.size());
    a.cells.push_back(c.cells ? 1 : 0);
    a.x.insert(a.x.end(), c.x.begin(), c.x.end());
    a.y.insert(a.y.end(), c.y.begin(), c.y.end());
    a.slope.insert(a.slope.end(), c.slope.begin(), c.slope.end());
    a.slope.resize(a.x.size(), 0.0);
    a.lower.push_back(c.lower);
    a.upper.push_back(c.upper);
  }
  return a;
}

Transform transform_of(TransformKind kind, std::size_t dim, const TransformArrays& arrays) {
  Transform::Parts parts;
  if (has_marginals(kind)) parts.marginals = marginals_of(dim, arrays);
  if (has_whitening(kind)) parts.whitening = whitening_of(dim, arrays);
  return Transform(kind, std::make_shared<const Transform::Parts>(std::move(parts)));
}

}  // namespace ebm
