// Goodness-of-fit tests at one significance level. With fixed seeds a test passes or fails for good; kAlpha says how
// often a correct program would be called wrong on a fresh seed.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace support {

constexpr double kAlpha = 1e-6;

// A sweep over fresh seeds (scripts/gate.sh seeds): EBMCUDA_TEST_SEED=k, k > 0, in the environment gives every
// statistical test other seeds. How often a correct program then fails is kAlpha whatever the size of the samples, so
// they are smaller; what they would still find out is not asked.
//
// A test's seed: as written, or in a sweep another.
std::uint64_t fresh_seed(std::uint64_t seed);
// A test's number of independent draws: as written, or in a sweep a fiftieth.
std::size_t fresh_size(std::size_t n);
// What the p-value of something wrong has to be below: kAlpha, or in a sweep anything.
double wrong_alpha();

double normal_cdf(double z);
// The z with normal_cdf(z) = p, 0 < p < 1.
double normal_quantile(double p);
// P(chi^2 with k degrees of freedom > x).
double chi_squared_upper(double x, double k);
// Pearson's statistic of `counts` against equal probabilities, as an upper-tail probability.
double uniformity_p_value(std::span<const double> counts);

// Kolmogorov-Smirnov: P(D >= observed) for independent draws with the continuous distribution function `cdf`
// (Stephens' finite-sample form of Kolmogorov's limit). Sorts a copy.
double ks_p_value(std::span<const float> draws, const std::function<double(double)>& cdf);
// Two samples of independent draws.
double ks_two_sample_p_value(std::vector<double> a, std::vector<double> b);
// P(|Z| >= |z|).
double two_sided_p_value(double z);

// Draws [n, D] of what should be independent N(mean, variance) values in every dimension: the smallest p-value over
// means, variances, covariances of neighbouring dimensions and KS tests, times their number (Bonferroni), at most 1.
double gaussian_p_value(std::span<const float> draws, int dim, const std::function<double(int)>& mean,
                        const std::function<double(int)>& variance);

}  // namespace support
