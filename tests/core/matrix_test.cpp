#include "ebmcuda/matrix.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <concepts>
#include <limits>
#include <utility>

#include "tests/files/support.hpp"

namespace ebm {
namespace {

using test::contains;
using test::message_of;

// A view of a temporary would outlive it: none of these compiles.
template <class T>
concept GivesViews = requires(T&& x) {
  std::forward<T>(x).values();
  std::forward<T>(x).row(0);
  std::forward<T>(x).data();
  std::forward<T>(x).view();
};
template <class T>
concept GivesSomeView = requires(T&& x) {
  std::forward<T>(x).values();
}
|| requires(T&& x) { std::forward<T>(x).row(0); }
|| requires(T&& x) { std::forward<T>(x).data(); }
|| requires(T&& x) { std::forward<T>(x).view(); };
static_assert(GivesViews<Matrix&> && GivesViews<const Matrix&>);
static_assert(!GivesSomeView<Matrix> && !GivesSomeView<const Matrix>);
static_assert(std::convertible_to<Matrix&, MatrixView> && std::convertible_to<const Matrix&, MatrixView>);
static_assert(!std::convertible_to<Matrix, MatrixView> && !std::convertible_to<const Matrix, MatrixView>);

TEST(Matrix, CountMustBeRowsTimesColumns) {
  EXPECT_EQ(Matrix(2, 2, {1, 2, 3, 4})(1, 0), 3.0f);
  EXPECT_TRUE(contains(message_of<ConfigError>([] {
                         Matrix(2, 2, {1, 2, 3});
                       }),
                       "values = 3: must hold rows * cols = 2 * 2 numbers"));
  // 2^63 * 2 wraps to 0.
  EXPECT_THROW(Matrix(std::size_t{1} << 63, 2, {}), ConfigError);
}

TEST(Matrix, SelectColumns) {
  const Matrix x(2, 3, {1, 2, 3, 4, 5, 6});
  EXPECT_EQ(select_columns(x, 0, 2), Matrix(2, 2, {1, 2, 4, 5}));
  EXPECT_EQ(select_columns(x, 2, 3), Matrix(2, 1, {3, 6}));
  EXPECT_EQ(select_columns(x, 0, 3), x);
  EXPECT_EQ(select_columns(x, 1, 1).cols(), 0u);
  EXPECT_TRUE(contains(message_of<ConfigError>([&] { select_columns(x, 0, 4); }), "columns = 0:4: must be begin:end"));
  EXPECT_THROW(select_columns(x, 2, 1), ConfigError);
}

TEST(Matrix, LabelsFromColumn) {
  const Matrix x(3, 2, {0.5f, 0, 0.5f, 9, 0.5f, 16777215});
  EXPECT_EQ(labels_from_column(x, 1), (std::vector<int>{0, 9, 16777215}));
  EXPECT_TRUE(contains(message_of<ConfigError>([&] { labels_from_column(x, 0); }),
                       "labels = 0.5: must be a whole number in 0 .. 2^24 - 1 (row 0, column 0)"));
  EXPECT_TRUE(contains(message_of<ConfigError>([&] { labels_from_column(x, 2); }), "column = 2"));
  for (const float bad : {-1.0f, 16777216.0f, INFINITY, std::numeric_limits<float>::quiet_NaN()}) {
    const Matrix column(1, 1, {bad});
    EXPECT_THROW(labels_from_column(column, 0), ConfigError) << bad;
  }
}

}  // namespace
}  // namespace ebm
