// Data transforms: maps there and back, their Jacobians against finite differences, densities that integrate to one.
#include "ebmcuda/transform.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <random>

#include "ebmcuda/dataset.hpp"
#include "ebmcuda/error.hpp"
#include "host/core/normal_quantile.hpp"
#include "host/data/marginals.hpp"
#include "support/errors.hpp"

namespace ebm {
namespace {

constexpr TransformKind kKinds[] = {TransformKind::none, TransformKind::standardize, TransformKind::whiten,
                                    TransformKind::marginals, TransformKind::marginals_whiten};

// Columns of different kinds: a bimodal one, a skewed one, one that follows the first with noise.
Matrix mixed_table(std::size_t n, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  Matrix x(n, 3);
  for (std::size_t i = 0; i < n; ++i) {
    const double a = (i % 2 == 0 ? -2 : 3) + 0.4 * normal(random);
    x(i, 0) = static_cast<float>(a);
    x(i, 1) = static_cast<float>(std::exp(normal(random)));
    x(i, 2) = static_cast<float>(100 + a + 0.3 * normal(random));
  }
  return x;
}

// Whole numbers 0 .. 4 in columns of different laws; the last is 0 throughout.
Matrix whole_table(std::size_t n, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  Matrix x(n, 3);
  for (std::size_t i = 0; i < n; ++i) {
    const int a = std::min(4, static_cast<int>(std::geometric_distribution<int>(0.4)(random)));
    x(i, 0) = static_cast<float>(a);
    x(i, 1) = static_cast<float>(std::min(4, a + std::bernoulli_distribution(0.3)(random)));
    x(i, 2) = 0;
  }
  return x;
}

struct Case {
  const char* name;
  Matrix data;    // to fit to
  Matrix points;  // to look at, inside the support
  float dequantize = 0;
  // What half an ulp of z moves x by, at most: the slope dx/dz is large in a rare cell.
  double round_trip = 0;
};

Case continuous() { return {"continuous", mixed_table(400, 1), mixed_table(60, 2), 0.0f, 2e-5}; }
Case whole() {
  const Matrix fresh = whole_table(60, 4);
  return {"whole numbers", whole_table(400, 3), dequantized(fresh, 1.0f, 9), 1.0f, 1e-3};
}

Matrix forward(const Transform& t, const Matrix& x) {
  Matrix z(x.rows(), x.cols());
  t.forward(x.values(), z.values());
  return z;
}
Matrix inverse(const Transform& t, const Matrix& z) {
  Matrix x(z.rows(), z.cols());
  t.inverse(z.values(), x.values());
  return x;
}
std::vector<double> log_jacobian(const Transform& t, const Matrix& x) {
  std::vector<double> result(x.rows());
  t.log_jacobian(x.values(), result);
  return result;
}

TEST(NormalQuantile, InvertsTheDistributionFunction) {
  for (double z = -8; z <= 8; z += 0.0625) {
    const double t = normal_cdf(-std::abs(z));  // the small tail, which a double holds in full
    EXPECT_NEAR(normal_quantile(t), -std::abs(z), 1e-13 * std::max(1.0, std::abs(z))) << z;
  }
  EXPECT_EQ(normal_quantile(0.5), 0);
  EXPECT_EQ(normal_quantile(0), -std::numeric_limits<double>::infinity());
  EXPECT_EQ(normal_quantile(1), std::numeric_limits<double>::infinity());
}

TEST(Transform, GoesThereAndBack) {
  for (const Case& c : {continuous(), whole()}) {
    for (const TransformKind kind : kKinds) {
      const Transform t = Transform::fit(kind, c.data, {.dequantize = c.dequantize});
      EXPECT_EQ(t.kind(), kind);
      const Matrix z = forward(t, c.points), back = inverse(t, z);
      for (std::size_t i = 0; i < c.points.rows(); ++i) {
        for (std::size_t d = 0; d < 3; ++d) {
          EXPECT_NEAR(back(i, d), c.points(i, d), c.round_trip * std::max(1.0f, std::abs(c.points(i, d))))
              << c.name << ", " << t.describe() << ", row " << i << ", column " << d;
        }
      }
    }
  }
}

// log|det J| by central differences of the map, in double through the columns' own functions where the map is smooth:
// here of the float map, with steps wide enough for it.
TEST(Transform, JacobianIsThatOfTheMap) {
  const Case c = continuous();
  for (const TransformKind kind : kKinds) {
    const Transform t = Transform::fit(kind, c.data);
    const std::vector<double> expected = log_jacobian(t, c.points);
    for (std::size_t i = 0; i < 20; ++i) {
      double j[3][3];
      for (std::size_t d = 0; d < 3; ++d) {
        Matrix pair(2, 3);
        const float h = 2e-3f * std::max(0.3f, std::min(std::abs(c.points(i, d)), 1.0f));
        for (std::size_t e = 0; e < 3; ++e) pair(0, e) = pair(1, e) = c.points(i, e);
        pair(0, d) -= h;
        pair(1, d) += h;
        const double width = static_cast<double>(pair(1, d)) - static_cast<double>(pair(0, d));
        const Matrix z = forward(t, pair);
        for (std::size_t e = 0; e < 3; ++e) {
          j[e][d] = (static_cast<double>(z(1, e)) - static_cast<double>(z(0, e))) / width;
        }
      }
      const double det = j[0][0] * (j[1][1] * j[2][2] - j[1][2] * j[2][1]) -
                         j[0][1] * (j[1][0] * j[2][2] - j[1][2] * j[2][0]) +
                         j[0][2] * (j[1][0] * j[2][1] - j[1][1] * j[2][0]);
      EXPECT_NEAR(std::log(det), expected[i], 0.02) << to_string(kind) << ", row " << i;
    }
  }
}

// d/dx of w . z(x) and of log|det J|, by differences.
TEST(Transform, VectorJacobianProducts) {
  for (const Case& c : {continuous(), whole()}) {
    for (const TransformKind kind : kKinds) {
      const Transform t = Transform::fit(kind, c.data, {.dequantize = c.dequantize});
      const std::vector<double> w = {0.7, -1.3, 0.4};
      for (std::size_t i = 0; i < 20; ++i) {
        std::vector<float> x(c.points.row(i).begin(), c.points.row(i).end());
        if (c.dequantize > 0) {
          for (float& v : x) v = std::floor(v) + 0.25f + 0.5f * (v - std::floor(v));  // away from the edges
        }
        std::vector<float> product(w.begin(), w.end()), volume(3);
        t.pull_back(x, product);
        t.log_jacobian_gradient(x, volume);
        for (std::size_t d = 0; d < 3; ++d) {
          const float h = 2e-3f * std::max(0.3f, std::min(std::abs(x[d]), 1.0f));
          auto low = x, high = x;
          low[d] -= h;
          high[d] += h;
          const double width = static_cast<double>(high[d]) - static_cast<double>(low[d]);
          std::vector<float> z_low(3), z_high(3);
          t.forward(low, z_low);
          t.forward(high, z_high);
          double change = 0;
          for (std::size_t e = 0; e < 3; ++e) {
            change += w[e] * (static_cast<double>(z_high[e]) - static_cast<double>(z_low[e]));
          }
          EXPECT_NEAR(change / width, product[d], 0.02 * (1 + std::abs(product[d])))
              << c.name << ", " << to_string(kind) << ", row " << i << ", column " << d;
          std::vector<double> j_low(1), j_high(1);
          t.log_jacobian(low, j_low);
          t.log_jacobian(high, j_high);
          EXPECT_NEAR((j_high[0] - j_low[0]) / width, volume[d], 0.05 * (1 + std::abs(volume[d])))
              << c.name << ", " << to_string(kind) << ", row " << i << ", column " << d;
        }
      }
    }
  }
}

TEST(Transform, JacobianAtAPointOfModelSpaceIsThatOfItsImage) {
  const Case c = continuous();
  for (const TransformKind kind : kKinds) {
    const Transform t = Transform::fit(kind, c.data);
    const Matrix z = forward(t, c.points);
    const auto expected = log_jacobian(t, c.points);
    std::vector<double> at(z.rows());
    t.log_jacobian_at(z.values(), at);
    for (std::size_t i = 0; i < at.size(); ++i) EXPECT_NEAR(at[i], expected[i], 1e-3) << to_string(kind);
  }
}

// N(0, 1) pulled back to data units, summed over the axis: by Simpson's rule of thirds on a grid fine enough for the
// narrowest cell, over where all but 1e-6 of the mass lies.
double mass(const MarginalColumn& column) {
  const double low = column.inverse(-5.2), high = column.inverse(5.2);
  const double parts = 4e6, step = (high - low) / parts;
  double sum = 0;
  for (double i = 0.5; i < parts; ++i) {
    const double x = low + i * step, u = column.forward(x);
    sum += std::exp(log_normal_pdf(u) + column.log_slope(x)) * step;
  }
  return sum;
}

TEST(Marginals, DensityIntegratesToOne) {
  const Matrix table = mixed_table(300, 5);
  std::vector<double> bimodal, skewed;
  for (std::size_t i = 0; i < table.rows(); ++i) {
    bimodal.push_back(static_cast<double>(table(i, 0)));
    skewed.push_back(static_cast<double>(table(i, 1)));
  }
  constexpr double kFree = MarginalColumn::kUnbounded;
  EXPECT_NEAR(mass(fit_smooth(bimodal, -kFree, kFree)), 1, 1e-5);
  EXPECT_NEAR(mass(fit_smooth(skewed, 0, kFree)), 1, 1e-5);
  EXPECT_NEAR(mass(fit_smooth(skewed, 0, 1e3)), 1, 1e-5);
  EXPECT_NEAR(mass(fit_cells(std::vector<double>{0, 0, 2, 2, 2, 3}, 1, 0, 5)), 1, 1e-5);
  EXPECT_NEAR(mass(fit_smooth({1, 1, 1}, -kFree, kFree)), 1, 1e-5) << "a constant column";
  EXPECT_NEAR(mass(fit_smooth({0, 0, 0, 0, 0, 0, 0, 0, 0, 1e-3}, -kFree, kFree)), 1, 1e-5) << "nearly constant";
}

TEST(Marginals, CellsAreTheHistogramWithOneCountSpreadOverAll) {
  const MarginalColumn column = fit_cells(std::vector<double>{0, 0, 2, 2, 2, 3}, 1, 0, 5);
  const double share[] = {2.2, 0.2, 3.2, 1.2, 0.2};
  for (std::size_t k = 0; k < 5; ++k) {
    for (const double at : {0.1, 0.5, 0.9}) {
      const double x = static_cast<double>(k) + at;
      EXPECT_NEAR(log_normal_pdf(column.forward(x)) + column.log_slope(x), std::log(share[k] / 7), 1e-9);
    }
  }
  EXPECT_EQ(column.log_slope(-0.5), -MarginalColumn::kUnbounded);
  EXPECT_EQ(column.log_slope(5.5), -MarginalColumn::kUnbounded);
}

TEST(Marginals, SmoothMapIsMonotoneAndSlopesMeetAtTheKnots) {
  std::vector<double> values;
  std::mt19937_64 random(8);
  std::normal_distribution<double> normal;
  for (int i = 0; i < 500; ++i) values.push_back(i % 5 == 0 ? 0.0 : std::exp(normal(random)));  // a fifth are ties
  for (const double lower : {-MarginalColumn::kUnbounded, -0.5}) {
    const MarginalColumn column = fit_smooth(values, lower, MarginalColumn::kUnbounded);
    for (std::size_t k = 0; k < column.x.size(); ++k) {
      const double h = 1e-7 * (column.x.back() - column.x.front());
      EXPECT_NEAR(column.log_slope(column.x[k] - h), column.log_slope(column.x[k] + h), 1e-3) << "knot " << k;
      EXPECT_NEAR(column.forward(column.x[k]), column.y[k], 1e-6);
    }
    double before = column.forward(-0.49);
    for (double x = -0.48; x < 30; x += 0.01) {
      const double now = column.forward(x);
      EXPECT_GT(now, before) << x;
      EXPECT_NEAR(column.inverse(now), x, 1e-9 * (1 + std::abs(x)));
      before = now;
    }
  }
}

// A point a hundred standard deviations out is unlikely; a Gaussian tail would call it impossible (5,000 nats).
TEST(Marginals, TailsAreHeavy) {
  std::vector<double> values;
  for (int i = 0; i < 200; ++i) values.push_back(normal_quantile((i + 0.5) / 200));
  const MarginalColumn column = fit_smooth(values, -MarginalColumn::kUnbounded, MarginalColumn::kUnbounded);
  for (const double x : {-100.0, 100.0}) {
    const double log_p = log_normal_pdf(column.forward(x)) + column.log_slope(x);
    EXPECT_GT(log_p, -60);
    EXPECT_LT(log_p, -15);
  }
}

TEST(Transform, BoundsAreRespected) {
  const Matrix table = mixed_table(300, 6);
  Matrix skewed(300, 1), z(801, 1);
  for (std::size_t i = 0; i < 300; ++i) skewed(i, 0) = table(i, 1);
  for (std::size_t i = 0; i < 801; ++i) z(i, 0) = static_cast<float>(i) / 50 - 8;
  const Transform bounded = Transform::fit(TransformKind::marginals, skewed, {.lower = {0}, .upper = {200}});
  const Matrix whole = whole_table(300, 7);
  Matrix wide(801, 3);
  for (std::size_t i = 0; i < 801; ++i) wide(i, 0) = wide(i, 1) = wide(i, 2) = z(i, 0);
  const Transform cells = Transform::fit(TransformKind::marginals, whole, {.dequantize = 1});
  const Matrix inside = inverse(bounded, z), counts = inverse(cells, wide);
  for (const float x : inside.values()) {
    EXPECT_GE(x, 0);
    EXPECT_LE(x, 200);
  }
  EXPECT_TRUE(cells.has_cells());
  for (const float x : counts.values()) {
    EXPECT_GE(x, 0);
    EXPECT_LT(x, 5) << "floor(x) is a whole number of the data's";
  }
  // A column that is dark throughout may be bright elsewhere, as far as the others are.
  Matrix bright(1, 3);
  bright(0, 2) = 4.5f;
  EXPECT_TRUE(std::isfinite(log_jacobian(cells, bright)[0]));
  bright(0, 2) = 5.5f;
  EXPECT_EQ(log_jacobian(cells, bright)[0], -std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isfinite(forward(cells, bright)(0, 2)));
}

// Columns in other units and with other offsets: the same model space, and a density that knows the unit.
TEST(Transform, UnitsAndOffsetsChangeNothingElse) {
  const Matrix x = mixed_table(400, 10);
  Matrix other = x;
  const float unit[] = {1024.0f, 0.0078125f, 4.0f};  // powers of two: no rounding of their own
  for (std::size_t i = 0; i < x.rows(); ++i) {
    for (std::size_t d = 0; d < 3; ++d) other(i, d) = unit[d] * x(i, d) + (d == 0 ? 512.0f : 0.0f);
  }
  for (const TransformKind kind : kKinds) {
    if (kind == TransformKind::none) continue;
    const Transform t = Transform::fit(kind, x), s = Transform::fit(kind, other);
    const Matrix z = forward(t, x), w = forward(s, other);
    const auto jacobian = log_jacobian(t, x), scaled = log_jacobian(s, other);
    const double volume = std::log(1024.0 * 0.0078125 * 4);
    for (std::size_t i = 0; i < x.rows(); ++i) {
      for (std::size_t d = 0; d < 3; ++d) EXPECT_NEAR(z(i, d), w(i, d), 1e-3) << to_string(kind);
      EXPECT_NEAR(jacobian[i] - volume, scaled[i], 1e-3) << to_string(kind);
    }
  }
}

TEST(Transform, WhitenedColumnsAreUncorrelated) {
  for (const auto& [kind, tolerance] :
       {std::pair(TransformKind::whiten, 1e-4), std::pair(TransformKind::marginals_whiten, 1e-4)}) {
    const Matrix x = mixed_table(400, 11);
    const Transform t = Transform::fit(kind, x);
    const Matrix z = forward(t, x);
    for (std::size_t a = 0; a < 3; ++a) {
      for (std::size_t b = 0; b <= a; ++b) {
        double sum = 0;
        for (std::size_t i = 0; i < z.rows(); ++i) sum += static_cast<double>(z(i, a)) * static_cast<double>(z(i, b));
        EXPECT_NEAR(sum / 400, a == b ? 1 : 0, tolerance) << to_string(kind);
      }
    }
  }
}

// Fewer rows than columns, a column twice, a constant one: finite, invertible, and said.
TEST(Transform, SingularCorrelationsAreShrunk) {
  std::mt19937_64 random(12);
  std::normal_distribution<float> normal;
  Matrix x(6, 9);
  for (float& v : x.values()) v = normal(random);
  for (std::size_t i = 0; i < 6; ++i) {
    x(i, 3) = x(i, 2);
    x(i, 4) = 7;
  }
  for (const TransformKind kind : {TransformKind::whiten, TransformKind::marginals_whiten}) {
    const Transform t = Transform::fit(kind, x);
    EXPECT_NE(t.describe().find("shrunk"), std::string::npos) << t.describe();
    const Matrix back = inverse(t, forward(t, x));
    for (std::size_t k = 0; k < x.values().size(); ++k) EXPECT_NEAR(back.values()[k], x.values()[k], 1e-4);
    EXPECT_TRUE(std::isfinite(log_jacobian(t, x)[0]));
  }
}

TEST(Transform, BadRequestsNameTheField) {
  const Matrix x = mixed_table(20, 13);
  Matrix with_nan = x;
  with_nan(3, 1) = std::nanf("");
  const Matrix empty(0, 3);
  const auto fit = [](const Matrix& data, const TransformOptions& options) {
    return [&data, options] { Transform::fit(TransformKind::marginals, data, options); };
  };
  EXPECT_EQ(support::field_of(fit(with_nan, {})), "data");
  EXPECT_EQ(support::field_of(fit(empty, {})), "data");
  EXPECT_EQ(support::field_of(fit(x, {.dequantize = -1})), "dequantize");
  EXPECT_EQ(support::field_of(fit(x, {.lower = {0}})), "lower") << "column 0 goes below";
  EXPECT_EQ(support::field_of(fit(x, {.upper = {0}})), "upper");
  EXPECT_EQ(support::field_of(fit(x, {.lower = {-9, -9}})), "lower") << "two bounds for three columns";
  EXPECT_EQ(support::field_of([] { Transform(Standardization{{0, 0}, {1, 0}}); }), "data.std");
  EXPECT_EQ(support::field_of([] { parse_transform_kind("pca"); }), "transform");
}

}  // namespace
}  // namespace ebm
