// One column to a standard Gaussian: u = Phi^-1(F(x)), monotone, with its inverse and the logarithm of its slope.
#pragma once

#include <limits>
#include <span>
#include <vector>

namespace ebm {

struct MarginalColumn {
  static constexpr double kUnbounded = std::numeric_limits<double>::infinity();

  bool cells = false;                              // a histogram's F; else a smooth map between knots
  std::vector<double> x;                           // edges of the cells or knots, ascending, at least two
  std::vector<double> y;                           // cells: F at the edges, 0 .. 1; smooth: u at the knots, ascending
  std::vector<double> slope;                       // smooth: du/dx at the knots, > 0; empty for cells
  double lower = -kUnbounded, upper = kUnbounded;  // smooth: the support

  double forward(double at) const;
  double inverse(double u) const;
  double log_slope(double at) const;           // log du/dx; -infinity outside the support
  double log_slope_gradient(double at) const;  // its derivative in x; 0 outside
  bool operator==(const MarginalColumn&) const = default;
};

// Cells of `width` from `lower` on for values that are whole multiples of it; one count in all is spread evenly.
MarginalColumn fit_cells(std::span<const double> values, double width, double lower, std::size_t n_cells);
// A kernel density estimate of the values (Gaussian kernels of Silverman's width, mirrored at the bounds) by its
// quantiles. Values that do not vary get u = x - value.
MarginalColumn fit_smooth(std::vector<double> values, double lower, double upper);

}  // namespace ebm
