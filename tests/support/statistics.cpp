#include "support/statistics.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <numbers>

namespace support {
namespace {

// Kolmogorov's limit: P(sqrt(n) D > lambda).
double kolmogorov_upper(double lambda) {
  if (lambda < 0.2) return 1;
  double sum = 0;
  for (int k = 1; k <= 100; ++k) {
    const double term = std::exp(-2.0 * k * k * lambda * lambda);
    sum += k % 2 == 1 ? term : -term;
    if (term < 1e-18) break;
  }
  return std::min(1.0, 2 * sum);
}

double stephens(double d, double n) { return kolmogorov_upper(d * (std::sqrt(n) + 0.12 + 0.11 / std::sqrt(n))); }

std::uint64_t sweep() {
  const char* const k = std::getenv("EBMCUDA_TEST_SEED");
  return k == nullptr ? 0 : std::strtoull(k, nullptr, 10);
}

}  // namespace

// An odd factor: no two sweeps give a seed the same value.
std::uint64_t fresh_seed(std::uint64_t seed) { return seed + sweep() * 0x9E3779B97F4A7C15u; }
std::size_t fresh_size(std::size_t n) { return sweep() == 0 ? n : std::max<std::size_t>(n / 50, 1); }
double wrong_alpha() { return sweep() == 0 ? kAlpha : 2; }

double normal_cdf(double z) { return 0.5 * std::erfc(-z / std::numbers::sqrt2); }

double normal_quantile(double p) {
  double lo = -40, hi = 40;  // bisection: exact to the last bits and obviously right
  for (int i = 0; i < 200; ++i) {
    const double mid = (lo + hi) / 2;
    (normal_cdf(mid) < p ? lo : hi) = mid;
  }
  return (lo + hi) / 2;
}

// Upper regularised incomplete gamma function Q(k/2, x/2): series below the mean, continued fraction (Lentz) above.
double chi_squared_upper(double x, double k) {
  const double a = k / 2, t = x / 2;
  if (t <= 0) return 1;
  const double front = std::exp(a * std::log(t) - t - std::lgamma(a));
  if (t < a + 1) {
    double term = 1 / a, sum = term;
    for (int i = 1; i < 10000 && term > sum * 1e-16; ++i) {
      term *= t / (a + i);
      sum += term;
    }
    return 1 - front * sum;
  }
  double b = t + 1 - a, c = 1e300, d = 1 / b, h = d;
  for (int i = 1; i < 10000; ++i) {
    const double an = -i * (i - a);
    b += 2;
    d = 1 / (an * d + b);
    c = b + an / c;
    h *= d * c;
    if (std::abs(d * c - 1) < 1e-15) break;
  }
  return front * h;
}

double uniformity_p_value(std::span<const double> counts) {
  double total = 0, statistic = 0;
  for (const double c : counts) total += c;
  const double expected = total / static_cast<double>(counts.size());
  for (const double c : counts) statistic += (c - expected) * (c - expected) / expected;
  return chi_squared_upper(statistic, static_cast<double>(counts.size()) - 1);
}

double ks_p_value(std::span<const float> draws, const std::function<double(double)>& cdf) {
  std::vector<float> sorted(draws.begin(), draws.end());
  std::sort(sorted.begin(), sorted.end());
  const double n = static_cast<double>(sorted.size());
  double d = 0;
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    const double f = cdf(static_cast<double>(sorted[i]));
    d = std::max({d, f - static_cast<double>(i) / n, static_cast<double>(i + 1) / n - f});
  }
  return stephens(d, n);
}

double ks_two_sample_p_value(std::vector<double> a, std::vector<double> b) {
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  const double na = static_cast<double>(a.size()), nb = static_cast<double>(b.size());
  double d = 0;
  std::size_t i = 0, j = 0;
  while (i < a.size() && j < b.size()) {
    const double x = std::min(a[i], b[j]);
    while (i < a.size() && a[i] <= x) ++i;
    while (j < b.size() && b[j] <= x) ++j;
    d = std::max(d, std::abs(static_cast<double>(i) / na - static_cast<double>(j) / nb));
  }
  return stephens(d, na * nb / (na + nb));
}

double two_sided_p_value(double z) { return std::erfc(std::abs(z) / std::numbers::sqrt2); }

double gaussian_p_value(std::span<const float> draws, int dim, const std::function<double(int)>& mean,
                        const std::function<double(int)>& variance) {
  const std::size_t width = static_cast<std::size_t>(dim), n = draws.size() / width;
  const double count = static_cast<double>(n);
  double smallest = 1;
  int tests = 0;
  // NaN must fail the test, and std::min would drop it.
  const auto note = [&](double p) {
    smallest = p >= smallest ? smallest : std::isnan(p) ? 0 : p;
    ++tests;
  };
  std::vector<float> column(n);
  for (int d = 0; d < dim; ++d) {
    const double m = mean(d), s = std::sqrt(variance(d));
    const bool pair = d + 1 < dim;
    const double m_next = pair ? mean(d + 1) : 0, s_next = pair ? std::sqrt(variance(d + 1)) : 1;
    double sum = 0, square = 0, cross = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const std::size_t at = i * width + static_cast<std::size_t>(d);
      column[i] = draws[at];
      const double z = (static_cast<double>(draws[at]) - m) / s;
      sum += z;
      square += z * z;
      if (pair) cross += z * (static_cast<double>(draws[at + 1]) - m_next) / s_next;
    }
    note(two_sided_p_value(sum / std::sqrt(count)));
    note(two_sided_p_value((square - count) / std::sqrt(2 * count)));
    if (pair) note(two_sided_p_value(cross / std::sqrt(count)));
    note(ks_p_value(column, [&](double x) { return normal_cdf((x - m) / s); }));
  }
  return std::min(1.0, smallest * tests);
}

}  // namespace support
