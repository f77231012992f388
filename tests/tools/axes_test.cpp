// What an axis says about its numbers, and what range it shows.
#include "tools/plot/axes.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

namespace ebm::tools {
namespace {

TEST(Ticks, ThatDifferReadDifferently) {
  for (const double offset : {0.0, 1.0, -3.0, 1e3, 1e6, -1e6, 123456.789, 1e9, 1e12, 1e-6, 1e30}) {
    for (const double span : {1e-30, 1e-12, 1e-6, 1e-3, 0.7, 1.0, 12.0, 1e3, 1e6, 1e9, 1e30}) {
      if (std::fabs(offset) > 1e12 * span) continue;  // beyond what the numbers themselves can tell apart
      for (const int target : {2, 5, 12}) {
        const Range range{offset - span / 3, offset + span};
        const Ticks ticks = linear_ticks(range, target);
        ASSERT_GE(ticks.at.size(), 2u) << offset << " " << span << " " << target;
        std::set<std::string> labels;
        for (const Tick& tick : ticks.at) {
          labels.insert(tick.label);
          EXPECT_LE(tick.label.size(), 8u) << tick.label << " of " << offset << " " << span;
          // The label says what the axis' name promises.
          EXPECT_NEAR(std::stod(tick.label) * ticks.unit + ticks.offset, tick.value, 1e-6 * span);
          EXPECT_GE(tick.value, range.lo - 1e-6 * span);
          EXPECT_LE(tick.value, range.hi + 1e-6 * span);
        }
        EXPECT_EQ(labels.size(), ticks.at.size()) << offset << " " << span << " " << target;
      }
    }
  }
}

TEST(Ticks, NameWhatTheyCount) {
  EXPECT_EQ(linear_ticks({-2, 3}, 5).name("x1"), "x1");
  EXPECT_EQ(linear_ticks({1e6 - 2, 1e6 + 3}, 5).name("x1"), "x1 - 1000000");
  EXPECT_EQ(linear_ticks({-1e6 - 2, -1e6 + 3}, 5).name("x1"), "x1 + 1000000");
  EXPECT_EQ(linear_ticks({0, 3e9}, 5).name("x1"), "x1 / 1e+09");
  EXPECT_EQ(linear_ticks({1 - 2e-7, 1 + 3e-7}, 5).name("x1"), "(x1 - 1) / 1e-07");
}

TEST(Ticks, OfARangeWithoutWidthAreNone) {
  EXPECT_TRUE(linear_ticks({1, 1}, 5).at.empty());
  EXPECT_TRUE(linear_ticks({0, std::nan("")}, 5).at.empty());
  EXPECT_TRUE(log_ticks({2, 2}).at.empty());
}

TEST(Ticks, OfALogarithmicAxisAreFewAndAtLeastTwo) {
  for (const Range range : {Range{1, 1.3}, Range{0.9, 12}, Range{1e-3, 1e4}, Range{1e-30, 1e30}}) {
    const Ticks ticks = log_ticks(range);
    EXPECT_GE(ticks.at.size(), 2u) << range.hi;
    EXPECT_LE(ticks.at.size(), 16u) << range.hi;
    std::set<std::string> labels;
    for (const Tick& tick : ticks.at) labels.insert(tick.label);
    EXPECT_EQ(labels.size(), ticks.at.size());
  }
}

TEST(RangeWithoutOutliers, KeepsThePointsAndCutsTheOutlier) {
  std::vector<double> values;
  for (int i = 0; i <= 100; ++i) values.push_back(0.01 * i);
  EXPECT_EQ(range_without_outliers(values).lo, 0.0);
  EXPECT_EQ(range_without_outliers(values).hi, 1.0);
  values.push_back(1e9);
  values.push_back(-1e9);
  values.push_back(INFINITY);
  EXPECT_EQ(range_without_outliers(values).lo, 0.0);
  EXPECT_EQ(range_without_outliers(values).hi, 1.0);
  // Power: what lies a few quartile distances out is no outlier.
  values.push_back(3);
  EXPECT_EQ(range_without_outliers(values).hi, 3.0);
}

TEST(RangeWithoutOutliers, ConstantsGetRoom) {
  for (const double value : {0.0, 1.0, -5.0, 1e30, 1e-30}) {
    const Range range = with_margin(range_without_outliers({value, value, value}), 0.1);
    EXPECT_LT(range.lo, value);
    EXPECT_GT(range.hi, value);
  }
  const Range none = range_without_outliers({});
  EXPECT_GT(none.lo, none.hi);
}

}  // namespace
}  // namespace ebm::tools
