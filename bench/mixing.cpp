// How well the samplers mix, which no clock can tell: docs/mixing.md is its output.
//
//   mixing gaussians                    effective samples per gradient evaluation, Gaussians in 64 dimensions
//   mixing model FILE                   the same for a trained network, from the file's own chains
//   mixing modes FILE DENSITY           error of the mode masses of a network trained on a mixture in the plane
//
// Every sampler gets its step size by bisection on the acceptance rate that theory advises (mala 0.574: Roberts and
// Rosenthal 1998; trajectories 0.65: Beskos et al. 2013), unadjusted Langevin the step that mala accepts 95 % of.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <numbers>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ebmcuda/ebmcuda.hpp"

namespace {

using ebm::Matrix;

constexpr int kDim = 64, kChains = 64;

// E(x) = sum_d precision_d x_d^2 / 2 as a network of two units a dimension: silu(z) + silu(-z) = z tanh(z/2) is
// z^2/2 (1 - z^2/12 + ...), and z = x_d sqrt(precision_d) / 10 keeps the second term below 1 % within 3 sigma.
ebm::Mlp gaussian(const std::vector<double>& precision) {
  const int dim = static_cast<int>(precision.size());
  constexpr double kScale = 0.1;
  ebm::Mlp model({.dim = dim, .hidden = {2 * dim}});
  for (int d = 0; d < dim; ++d) {
    for (int sign = 0; sign < 2; ++sign) {
      const auto unit = static_cast<std::size_t>(2 * d + sign);
      const double weight = kScale * std::sqrt(precision[static_cast<std::size_t>(d)]) * (sign == 0 ? 1 : -1);
      model.weight(0)[unit * static_cast<std::size_t>(dim) + static_cast<std::size_t>(d)] = static_cast<float>(weight);
      model.weight(1)[unit] = static_cast<float>(1 / (kScale * kScale));
    }
  }
  return model;
}

// What all samplers are tried on.
struct Target {
  std::string name;
  ebm::Energy energy;
  Matrix start;              // [kChains, D], in equilibrium
  std::int64_t evaluations;  // a run, per chain
  std::optional<double> smallest_variance{};
};

struct Run {
  std::vector<Matrix> states;
  double acceptance;
  std::uint64_t gradients;
};

// At most 2,000 states are kept.
Run run(const Target& target, const ebm::Sampler& sampler, std::int64_t evaluations, std::uint64_t seed) {
  ebm::Chains chains(target.energy, sampler, {.seed = seed, .init = target.start});
  const std::int64_t each = std::visit([](const auto& s) { return s.evaluations(); }, sampler);
  const std::int64_t transitions = std::max<std::int64_t>(evaluations / each, 8);
  const std::int64_t every = (transitions + 1999) / 2000;
  Run result;
  chains.run(transitions / every * every, every, [&](const ebm::ChainsProgress& now) {
    result.states.emplace_back(now.positions.rows, now.positions.cols,
                               std::vector<float>(now.positions.values().begin(), now.positions.values().end()));
    return true;
  });
  const ebm::ChainStats stats = chains.stats();
  result.acceptance = stats.acceptance();
  result.gradients = stats.steps;
  return result;
}

// The worst coordinate's, of x_d and of (x_d - mean)^2: a trajectory may be antithetic in the one and slow in the
// other.
double worst_effective_sample_size(const std::vector<Matrix>& states) {
  const std::size_t dim = states.front().cols();
  std::vector<double> mean(dim);
  for (const Matrix& x : states) {
    for (std::size_t i = 0; i < x.rows(); ++i) {
      for (std::size_t d = 0; d < dim; ++d) mean[d] += static_cast<double>(x(i, d));
    }
  }
  for (double& m : mean) m /= static_cast<double>(states.size() * states.front().rows());
  std::vector<Matrix> squares = states;
  for (Matrix& x : squares) {
    for (std::size_t i = 0; i < x.rows(); ++i) {
      for (std::size_t d = 0; d < dim; ++d) {
        x(i, d) = static_cast<float>(std::pow(static_cast<double>(x(i, d)) - mean[d], 2));
      }
    }
  }
  double worst = std::numeric_limits<double>::infinity();
  for (const auto& values : {ebm::effective_sample_size(states), ebm::effective_sample_size(squares)}) {
    for (const double v : values) worst = std::min(worst, std::isnan(v) ? 0.0 : v);
  }
  return worst;
}

// The step size with the acceptance rate asked for, by bisection of its logarithm over short runs.
ebm::Sampler with_acceptance(const Target& target, const std::function<ebm::Sampler(float)>& make, double acceptance) {
  double low = std::log(1e-7), high = std::log(4.0);
  for (int i = 0; i < 16; ++i) {
    const double middle = (low + high) / 2;
    const ebm::Sampler tried = make(static_cast<float>(std::exp(middle)));
    const std::int64_t each = std::visit([](const auto& s) { return s.evaluations(); }, tried);
    (run(target, tried, 40 * each, 100).acceptance > acceptance ? low : high) = middle;
  }
  return make(static_cast<float>(std::exp(low)));
}

void print_row(const Target& target, const ebm::Sampler& sampler, std::int64_t evaluations, std::uint64_t seed) {
  const Run r = run(target, sampler, evaluations, seed);
  const double ess = worst_effective_sample_size(r.states);
  double rhat = 0;
  for (const double v : ebm::split_rhat(r.states)) rhat = std::max(rhat, v);
  const std::string reliable = ess < 100 || rhat > 1.05 ? " (not settled)" : "";
  fmt::print("| {} | {} | {:.2f} | {:.3g}{} | {:.3f} |\n", target.name, ebm::describe(sampler), r.acceptance,
             1000 * ess / static_cast<double>(r.gradients), reliable, rhat);
  std::fflush(stdout);
}

struct Choice {
  ebm::Sampler sampler;
  double rate = -1;
};

// The best of each kind on one seed, reported on another.
void compare(const Target& target) {
  const auto consider = [&](Choice* best, const ebm::Sampler& sampler) {
    const Run r = run(target, sampler, target.evaluations, 102);
    const double rate = worst_effective_sample_size(r.states) / static_cast<double>(r.gradients);
    if (rate > best->rate) *best = {sampler, rate};
  };
  const auto mala = [](float h) { return ebm::Mala{.step_size = h}; };
  const float accepted = std::get<ebm::Mala>(with_acceptance(target, mala, 0.95)).step_size;
  print_row(target, ebm::LangevinDynamics{.step_size = accepted}, target.evaluations, 103);
  if (target.smallest_variance) {
    // docs/sampling.md: the stationary variance is s^2 / (1 - h / (2 s^2)).
    const double share = static_cast<double>(accepted) / (2 * *target.smallest_variance);
    fmt::print("| | its smallest variance is {:.0f} % too large | | | |\n", 100 * (1 / (1 - share) - 1));
  }
  print_row(target, with_acceptance(target, mala, 0.574), target.evaluations, 103);
  Choice hmc, malt;
  for (const std::int64_t length : {5, 10, 20, 40, 80}) {
    consider(&hmc, with_acceptance(
                       target, [&](float h) { return ebm::Hmc{.step_size = h, .leapfrog_steps = length}; }, 0.65));
    for (const float friction : {0.3f, 1.0f}) {
      consider(&malt,
               with_acceptance(
                   target,
                   [&](float h) { return ebm::Malt{.step_size = h, .leapfrog_steps = length, .friction = friction}; },
                   0.65));
    }
  }
  print_row(target, hmc.sampler, target.evaluations, 103);
  print_row(target, malt.sampler, target.evaluations, 103);
}

void print_header() {
  fmt::print("| target | sampler | acceptance | effective samples per 1,000 gradient evaluations | split R-hat |\n");
  fmt::print("|---|---|---|---|---|\n");
}

void gaussians() {
  print_header();
  for (const double condition : {1.0, 100.0, 10000.0}) {
    std::vector<double> precision, variance;
    for (int d = 0; d < kDim; ++d) {
      precision.push_back(std::pow(condition, d / (kDim - 1.0)));
      variance.push_back(1 / precision.back());
    }
    Target target{fmt::format("Gaussian, condition {:.0f}", condition),
                  ebm::Energy(gaussian(precision)),
                  {},
                  condition > 1000 ? 50000 : 10000,
                  variance.back()};
    // Exact draws: the chains of a standard normal, scaled.
    const ebm::Energy standard(gaussian(std::vector<double>(kDim, 1.0)));
    ebm::Chains draws(standard, ebm::Hmc{.step_size = 0.3f}, {.n_chains = kChains, .seed = 7});
    draws.run(200);
    target.start = draws.positions();
    for (std::size_t i = 0; i < target.start.rows(); ++i) {
      for (std::size_t d = 0; d < kDim; ++d) target.start(i, d) *= static_cast<float>(std::sqrt(variance[d]));
    }
    compare(target);
  }
}

void trained(const std::string& file) {
  print_header();
  const ebm::Mlp model = ebm::Mlp::load(file);
  Target target{"trained network", ebm::Energy(model), {}, 20000};
  ebm::Chains chains(target.energy, ebm::Hmc{.step_size = 0.1f}, {.n_chains = kChains, .seed = 7});
  chains.run(20000);
  target.start = chains.positions();
  compare(target);
}

// ------------------------------------------------------------------------------------------------------------ modes
struct Centre {
  double x, y;
};

std::vector<Centre> centres(ebm::Density2d density) {
  std::vector<Centre> all;
  if (density == ebm::Density2d::eight_gaussians) {
    for (int k = 0; k < 8; ++k) {
      all.push_back({2 * std::cos(k * std::numbers::pi / 4), 2 * std::sin(k * std::numbers::pi / 4)});
    }
  } else if (density == ebm::Density2d::twenty_five_gaussians) {
    for (int i = -2; i <= 2; ++i) {
      for (int j = -2; j <= 2; ++j) all.push_back({static_cast<double>(i), static_cast<double>(j)});
    }
  } else {
    throw ebm::ConfigError("density", std::string(ebm::to_string(density)), "must be a mixture of Gaussians");
  }
  return all;
}

std::size_t nearest(const std::vector<Centre>& all, double x, double y) {
  const auto square = [&](const Centre& c) { return (c.x - x) * (c.x - x) + (c.y - y) * (c.y - y); };
  return static_cast<std::size_t>(
      std::min_element(all.begin(), all.end(),
                       [&](const Centre& a, const Centre& b) { return square(a) < square(b); }) -
      all.begin());
}

// The network's own masses, by a grid of 0.01: what an exact sampler gives, whatever the training did.
std::vector<double> masses(const ebm::Energy& energy, const std::vector<Centre>& all) {
  constexpr int kCells = 800;
  constexpr double kHalf = 4;
  std::vector<double> log_weight, result(all.size());
  std::vector<std::size_t> mode;
  for (int i = 0; i < kCells; ++i) {
    Matrix row(kCells, 2);
    for (int j = 0; j < kCells; ++j) {
      row(static_cast<std::size_t>(j), 0) = static_cast<float>(-kHalf + 2 * kHalf * (i + 0.5) / kCells);
      row(static_cast<std::size_t>(j), 1) = static_cast<float>(-kHalf + 2 * kHalf * (j + 0.5) / kCells);
      mode.push_back(nearest(all, static_cast<double>(row(static_cast<std::size_t>(j), 0)),
                             static_cast<double>(row(static_cast<std::size_t>(j), 1))));
    }
    for (const float e : energy.values(row)) log_weight.push_back(-static_cast<double>(e));
  }
  const double highest = *std::max_element(log_weight.begin(), log_weight.end());
  double total = 0;
  for (std::size_t i = 0; i < log_weight.size(); ++i) {
    const double w = std::exp(log_weight[i] - highest);
    result[mode[i]] += w;
    total += w;
  }
  for (double& m : result) m /= total;
  return result;
}

void modes(const std::string& file, ebm::Density2d density) {
  constexpr std::int64_t kMany = 2048;
  const std::vector<Centre> all = centres(density);
  const ebm::Energy energy(ebm::Mlp::load(file));
  const std::vector<double> exact = masses(energy, all);
  double floor = 0;  // of independent draws: half the sum of E|p^ - p|
  for (const double p : exact) {
    floor += 0.5 * std::sqrt(2 * p * (1 - p) / (std::numbers::pi * static_cast<double>(kMany)));
  }
  const std::vector<std::int64_t> budgets = {100, 1000, 10000};

  fmt::print(
      "\n{}: error of the mode masses (total variation) after gradient evaluations a chain; {} chains, for which "
      "independent draws have {:.3f}\n\n",
      ebm::to_string(density), kMany, floor);
  fmt::print("| sampler | start |");
  for (const auto b : budgets) fmt::print(" {} |", b);
  fmt::print(" replicas |\n|---|---|---|");
  for (std::size_t i = 0; i < budgets.size(); ++i) fmt::print("---|");
  fmt::print("\n");

  const auto row = [&](const std::string& name, const ebm::Sampler& sampler, std::optional<ebm::Tempering> tempering,
                       bool one_mode) {
    ebm::ChainsOptions options{.n_chains = kMany, .seed = 11};
    if (one_mode) {
      Matrix start(static_cast<std::size_t>(kMany), 2);
      for (std::size_t i = 0; i < start.rows(); ++i) {
        start(i, 0) = static_cast<float>(all.front().x);
        start(i, 1) = static_cast<float>(all.front().y);
      }
      options.init = start;
    }
    options.tempering = tempering;
    ebm::Chains chains(energy, sampler, options);
    const std::int64_t replicas = tempering ? tempering->replicas : 1;
    fmt::print("| {} | {} |", name, one_mode ? "one mode" : "uniform");
    std::int64_t done = 0;
    for (const auto budget : budgets) {
      chains.run(budget / replicas - done);
      done = budget / replicas;
      const Matrix x = chains.positions();
      std::vector<double> share(all.size());
      for (std::size_t i = 0; i < x.rows(); ++i) {
        share[nearest(all, static_cast<double>(x(i, 0)), static_cast<double>(x(i, 1)))] +=
            1.0 / static_cast<double>(kMany);
      }
      double error = 0;
      for (std::size_t k = 0; k < all.size(); ++k) error += std::abs(share[k] - exact[k]) / 2;
      fmt::print(" {:.3f} |", error);
      std::fflush(stdout);
    }
    if (tempering) {
      const ebm::ReplicaStats stats = chains.replicas();
      fmt::print(" barrier {:.2f}, {} round trips |", stats.barrier(), stats.round_trips);
    } else {
      fmt::print(" |");
    }
    fmt::print("\n");
  };
  Target target{"", energy, ebm::draw(density, kChains, 3), 0};
  const ebm::Sampler mala = with_acceptance(
      target, [](float h) { return ebm::Mala{.step_size = h}; }, 0.574);
  const float h = std::get<ebm::Mala>(mala).step_size;
  for (const bool one_mode : {true, false}) {
    row(ebm::describe(mala), mala, {}, one_mode);
    for (const float jump : {0.05f, 0.2f}) {
      const ebm::Mala jumping{.step_size = h, .jump_prob = jump};
      row(ebm::describe(jumping), jumping, {}, one_mode);
    }
    for (const auto& [replicas, hottest] : {std::pair<std::int64_t, float>{4, 0.1f}, {8, 0.1f}, {8, 0.02f}}) {
      row(fmt::format("tempering, {} replicas to {}, mala", replicas, hottest), mala,
          ebm::Tempering{.replicas = replicas, .hottest = hottest}, one_mode);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  try {
    if (arguments.size() == 1 && arguments[0] == "gaussians") {
      gaussians();
    } else if (arguments.size() == 2 && arguments[0] == "model") {
      trained(arguments[1]);
    } else if (arguments.size() == 3 && arguments[0] == "modes") {
      modes(arguments[1], ebm::parse_density_2d(arguments[2]));
    } else {
      fmt::print(stderr, "usage: mixing gaussians | mixing model FILE | mixing modes FILE DENSITY\n");
      return 2;
    }
  } catch (const ebm::Error& error) {
    fmt::print(stderr, "mixing: {}\n", error.what());
    return 1;
  }
  return 0;
}
