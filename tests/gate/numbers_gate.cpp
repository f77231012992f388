// Every input there is: all 2^32 words through the logarithm and the normals, every finite float through every
// activation, against double precision and the bounds that the sources state; and 10^9 normals of chains, neighbouring
// chains, steps, seeds and purposes against their law. The CPU engine's vector code, which runs the chains.
//
//   gate_numbers words | activations | normals
//
// Prints one line a check with its figure; exit status 1 when one is out of bounds.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <mutex>
#include <string_view>
#include <thread>
#include <vector>

#include "ebmcuda/mlp.hpp"
#include "host/cpu/kernels.hpp"
#include "kernels/math/philox.hpp"
#include "support/exact_functions.hpp"
#include "support/statistics.hpp"

namespace {

bool all_good = true;

void check(bool good, const std::string& what) {
  fmt::print("{} {}\n", good ? "ok    " : "FAILED", what);
  std::fflush(stdout);
  all_good = all_good && good;
}

// task(first, n) over blocks of [0, 2^32), on all cores.
constexpr std::uint64_t kBlock = 1 << 16;
void each_block(std::uint64_t blocks, const std::function<void(std::uint64_t)>& task) {
  std::vector<std::thread> threads;
  const unsigned count = std::max(1u, std::thread::hardware_concurrency());
  for (unsigned t = 0; t < count; ++t) {
    threads.emplace_back([&, t] {
      for (std::uint64_t block = t; block < blocks; block += count) task(block);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

class Worst {
 public:
  void add(double value) {
    const std::scoped_lock lock(mutex_);
    value_ = std::isnan(value) ? std::numeric_limits<double>::infinity() : std::max(value_, value);
  }
  double value() const { return value_; }

 private:
  std::mutex mutex_;
  double value_ = 0;
};

double ulp(double value) {
  const float v = std::abs(static_cast<float>(value));
  return static_cast<double>(std::nextafter(v, std::numeric_limits<float>::infinity()) - v);
}

void words() {
  Worst log_error, normal_error, largest;
  each_block((1ull << 32) / kBlock, [&](std::uint64_t block) {
    std::vector<std::uint32_t> a(kBlock), b(kBlock);
    std::vector<float> log(kBlock), n_a(kBlock), n_b(kBlock);
    for (std::uint64_t i = 0; i < kBlock; ++i) {
      a[i] = static_cast<std::uint32_t>(block * kBlock + i);
      b[i] = support::other_word(a[i]);
    }
    ebm::cpu::log_units(a.data(), kBlock, log.data());
    ebm::cpu::normal_pairs(a.data(), b.data(), kBlock, n_a.data(), n_b.data());
    double log_worst = 0, normal_worst = 0, size = 0;
    for (std::uint64_t i = 0; i < kBlock; ++i) {
      const double exact = support::exact_log(a[i]);
      log_worst = std::max(log_worst, std::abs(static_cast<double>(log[i]) - exact) / ulp(exact));
      const support::ExactNormals normals = support::exact_normals(a[i], b[i]);
      const double error_a = std::abs(static_cast<double>(n_a[i]) - normals.a);
      const double error_b = std::abs(static_cast<double>(n_b[i]) - normals.b);
      if (!(error_a <= normal_worst)) normal_worst = error_a;
      if (!(error_b <= normal_worst)) normal_worst = error_b;
      size = std::max({size, std::abs(static_cast<double>(n_a[i])), std::abs(static_cast<double>(n_b[i]))});
    }
    log_error.add(log_worst);
    normal_error.add(normal_worst);
    largest.add(size);
  });
  check(log_error.value() <= 4, fmt::format("ln u of all 2^32 words: {:.3f} ulp (bound 4)", log_error.value()));
  check(normal_error.value() <= 1e-6,
        fmt::format("normals of 2^32 pairs, each word once in each place: error {:.3g} (bound 1e-6)",
                    normal_error.value()));
  check(largest.value() <= 6.77, fmt::format("largest normal {:.4f} (bound 6.77)", largest.value()));
}

void activations() {
  using ebm::Activation;
  for (const Activation activation : {Activation::silu, Activation::softplus, Activation::tanh, Activation::gelu,
                                      Activation::elu, Activation::relu}) {
    Worst value_error, derivative_error;
    each_block((1ull << 32) / kBlock, [&](std::uint64_t block) {
      std::vector<float> z;
      for (std::uint64_t i = 0; i < kBlock; ++i) {
        const float v = std::bit_cast<float>(static_cast<std::uint32_t>(block * kBlock + i));
        if (std::isfinite(v)) z.push_back(v);
      }
      if (z.empty()) return;
      std::vector<float> value(z.size()), derivative(z.size());
      ebm::cpu::activation_values(activation, z.data(), z.size(), value.data(), derivative.data());
      double worst = 0, slope = 0;
      for (std::size_t i = 0; i < z.size(); ++i) {
        const support::Exact e =
            support::exact_activation(static_cast<ebm::ActivationKind>(activation), static_cast<double>(z[i]));
        const double error = std::abs(static_cast<double>(value[i]) - e.value) / std::max(1.0, std::abs(e.value));
        if (!(error <= worst)) worst = error;
        const double off = std::abs(static_cast<double>(derivative[i]) - e.derivative);
        if (!(off <= slope)) slope = off;
      }
      value_error.add(worst);
      derivative_error.add(slope);
    });
    check(
        value_error.value() <= 4e-7 && derivative_error.value() <= 2e-6,
        fmt::format("{} of every finite float: error {:.3g} of max(1, |value|) (bound 4e-7), derivative {:.3g} (2e-6)",
                    ebm::to_string(activation), value_error.value(), derivative_error.value()));
  }
}

// Four normals of a block of four dimensions, as chains draw them.
struct Stream {
  std::uint64_t seed;
  ebm::Purpose purpose;
  std::uint64_t chain_shift, step_shift;
};

void fill(const Stream& s, std::uint64_t block, std::vector<float>* normals) {
  constexpr std::uint64_t kCounters = kBlock / 4;
  std::vector<std::uint32_t> a(2 * kCounters), b(2 * kCounters);
  for (std::uint64_t i = 0; i < kCounters; ++i) {
    const ebm::PhiloxWords w = ebm::philox(s.seed, s.purpose, block + s.chain_shift, i + s.step_shift, 0);
    a[2 * i] = w.r0, b[2 * i] = w.r1, a[2 * i + 1] = w.r2, b[2 * i + 1] = w.r3;
  }
  normals->resize(kBlock);
  ebm::cpu::normal_pairs(a.data(), b.data(), 2 * kCounters, normals->data(), normals->data() + 2 * kCounters);
}

void normals() {
  constexpr std::uint64_t kBlocks = 15259;  // of 65,536: 10^9
  constexpr int kBins = 1000;
  const ebm::Purpose noise = ebm::Purpose::langevin_noise;
  // What each normal is compared with: the same place of another stream, or a few places on.
  const std::vector<std::pair<const char*, Stream>> others = {
      {"next seed", {8, noise, 0, 0}},
      {"next chain", {7, noise, 1, 0}},
      {"next step", {7, noise, 0, 1}},
      {"other purpose", {7, ebm::Purpose::momentum, 0, 0}},
  };
  std::vector<double> edges;
  for (int i = 1; i < kBins; ++i) edges.push_back(support::normal_quantile(static_cast<double>(i) / kBins));
  std::mutex mutex;
  std::vector<double> counts(kBins), products(others.size()), lags(8);
  double moments[4] = {};
  each_block(kBlocks, [&](std::uint64_t block) {
    std::vector<float> n, other;
    fill({7, noise, 0, 0}, block, &n);
    std::vector<double> own_counts(kBins), own_products(others.size()), own_lags(8);
    double own[4] = {};
    for (std::size_t i = 0; i < n.size(); ++i) {
      const auto v = static_cast<double>(n[i]);
      double power = 1;
      for (double& m : own) m += power *= v;
      own_counts[static_cast<std::size_t>(std::upper_bound(edges.begin(), edges.end(), v) - edges.begin())] += 1;
      for (std::size_t lag = 1; lag <= 8 && lag <= i; ++lag) own_lags[lag - 1] += v * static_cast<double>(n[i - lag]);
    }
    for (std::size_t k = 0; k < others.size(); ++k) {
      fill(others[k].second, block, &other);
      for (std::size_t i = 0; i < n.size(); ++i)
        own_products[k] += static_cast<double>(n[i]) * static_cast<double>(other[i]);
    }
    const std::scoped_lock lock(mutex);
    for (int i = 0; i < 4; ++i) moments[i] += own[i];
    for (int i = 0; i < kBins; ++i) counts[static_cast<std::size_t>(i)] += own_counts[static_cast<std::size_t>(i)];
    for (std::size_t k = 0; k < products.size(); ++k) products[k] += own_products[k];
    for (std::size_t k = 0; k < lags.size(); ++k) lags[k] += own_lags[k];
  });
  const double n = static_cast<double>(kBlocks * kBlock);
  // Means and variances of x, x^2, x^3, x^4 under N(0, 1).
  const double mean[4] = {0, 1, 0, 3}, variance[4] = {1, 2, 15, 96};
  for (int k = 0; k < 4; ++k) {
    const double z = (moments[k] - n * mean[k]) / std::sqrt(n * variance[k]);
    check(std::abs(z) < 5, fmt::format("moment {} of {:.0f} normals: {:+.2f} standard errors", k + 1, n, z));
  }
  const double p = support::uniformity_p_value(counts);
  check(p > support::kAlpha, fmt::format("chi-squared on {} equally likely bins: p = {:.3g}", kBins, p));
  for (std::size_t k = 0; k < lags.size(); ++k) {
    const double pairs = n - static_cast<double>(kBlocks * (k + 1));
    const double z = lags[k] / std::sqrt(pairs);
    check(std::abs(z) < 5, fmt::format("correlation at lag {}: {:+.2f} standard errors", k + 1, z));
  }
  for (std::size_t k = 0; k < products.size(); ++k) {
    const double z = products[k] / std::sqrt(n);
    check(std::abs(z) < 5, fmt::format("correlation with the {}: {:+.2f} standard errors", others[k].first, z));
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view what = argc == 2 ? argv[1] : "";
  if (what == "words") {
    words();
  } else if (what == "activations") {
    activations();
  } else if (what == "normals") {
    normals();
  } else {
    fmt::print(stderr, "usage: gate_numbers words | activations | normals\n");
    return 2;
  }
  return all_good ? 0 : 1;
}
