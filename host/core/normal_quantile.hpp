// The distribution function of N(0, 1) and its inverse, in double.
#pragma once

namespace ebm {

double normal_cdf(double z);
double log_normal_pdf(double z);
// z with normal_cdf(z) = t. Relative error below 1e-14 (Wichura 1988, AS 241, PPND16); +-infinity at 0 and 1.
double normal_quantile(double t);

}  // namespace ebm
