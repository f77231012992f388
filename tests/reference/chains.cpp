#include "reference/chains.hpp"

#include <algorithm>
#include <cmath>

namespace ref {
namespace {

bool all_finite(const Vector& v) {
  return std::all_of(v.begin(), v.end(), [](double x) { return std::isfinite(x); });
}

bool finite(const Evaluation& e) { return std::isfinite(e.energy) && all_finite(e.gradient); }

Vector clipped(Vector g, double limit) {
  for (double& v : g) v = std::min(std::max(v, -limit), limit);
  return g;
}

bool outside(const Kernel& kernel, const Vector& x) {
  for (std::size_t d = 0; d < kernel.lo.size(); ++d) {
    if (x[d] < kernel.lo[d] || x[d] > kernel.hi[d]) return true;
  }
  return false;
}

void restart(const Target& target, const Kernel& kernel, std::uint64_t seed, Chain* chain, Counts* counts) {
  chain->x = uniform_start(kernel, seed, chain->id, chain->step, target.network.dim);
  chain->restarted = true;
  ++counts->restarts;
}

void langevin_step(const Target& target, const Kernel& kernel, std::uint64_t seed, Chain* chain, Counts* counts) {
  const Evaluation here = target.evaluate(chain->x);
  chain->kink_distance = std::min(chain->kink_distance, here.kink_distance);
  const Vector g = clipped(here.gradient, kernel.grad_clip);
  const Vector n = normals(seed, chain->id, chain->step, target.network.dim);
  Vector y = chain->x;
  for (std::size_t d = 0; d < y.size(); ++d) y[d] += kernel.noise_scale * n[d] - kernel.step_size * g[d];
  if (!finite(here) || !all_finite(y)) {
    restart(target, kernel, seed, chain, counts);
    return;
  }
  for (std::size_t d = 0; d < kernel.lo.size(); ++d) y[d] = std::min(std::max(y[d], kernel.lo[d]), kernel.hi[d]);
  chain->x = y;
}

// |to - from + h g(from)|^2
double proposal_square(const Vector& to, const Vector& from, const Vector& g, double h) {
  double sum = 0;
  for (std::size_t d = 0; d < to.size(); ++d) {
    const double r = to[d] - from[d] + h * g[d];
    sum += r * r;
  }
  return sum;
}

void mala_step(const Target& target, const Kernel& kernel, std::uint64_t seed, Evaluation* here, Chain* chain,
               Counts* counts) {
  const double h = kernel.step_size;
  const Words move = words(seed, Purpose::move, chain->id, chain->step, 0);
  const bool jump = uniform(move[0]) < kernel.jump_prob;
  const bool difference = !jump && uniform(move[1]) < kernel.difference_prob;
  const Vector g = clipped(here->gradient, kernel.grad_clip);

  Vector y = chain->x;
  if (jump) {
    y = uniform_start(kernel, seed, chain->id, chain->step, target.network.dim);
  } else if (difference) {
    const Words pick = words(seed, Purpose::difference, chain->id, chain->step, 0);
    const std::uint64_t n = kernel.points.size();
    const Vector& a = kernel.points[pick[0] * n >> 32];
    const Vector& b = kernel.points[pick[1] * n >> 32];
    for (std::size_t d = 0; d < y.size(); ++d) y[d] += a[d] - b[d];
  } else {
    const Vector n = normals(seed, chain->id, chain->step, target.network.dim);
    for (std::size_t d = 0; d < y.size(); ++d) y[d] += std::sqrt(2 * h) * n[d] - h * g[d];
  }

  const Evaluation there = target.evaluate(y);
  double log_a = here->energy - there.energy;
  if (jump) {
    for (std::size_t d = 0; d < chain->x.size(); ++d) {
      const double v = chain->x[d];
      const bool inside =
          kernel.start_lo.empty() ? std::abs(v) <= 3 : v >= kernel.start_lo[d] && v <= kernel.start_hi[d];
      if (!inside) log_a = -std::numeric_limits<double>::infinity();
    }
  } else if (!difference) {
    const Vector g_back = clipped(there.gradient, kernel.grad_clip);
    log_a += (proposal_square(y, chain->x, g, h) - proposal_square(chain->x, y, g_back, h)) / (4 * h);
  }
  const bool allowed = finite(there) && !outside(kernel, y);
  const double log_u = std::log(uniform(words(seed, Purpose::accept, chain->id, chain->step, 0)[0]));
  const bool accepted = allowed && log_u < log_a;
  if (allowed) chain->decision_margin = std::min(chain->decision_margin, std::abs(log_u - log_a));
  chain->kink_distance = std::min({chain->kink_distance, here->kink_distance, there.kink_distance});

  (jump ? counts->jumps_proposed : difference ? counts->differences_proposed : counts->proposed) += 1;
  if (!accepted) return;
  (jump ? counts->jumps_accepted : difference ? counts->differences_accepted : counts->accepted) += 1;
  chain->x = y;
  *here = there;
}

}  // namespace

double Target::base_energy(const Vector& x) const {
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    double r = 0;
    for (std::size_t j = 0; j < x.size(); ++j) r += base_root[i * x.size() + j] * (x[j] - base_mean[j]);
    sum += r * r;
  }
  return sum / 2;
}

Evaluation Target::evaluate(const Vector& x) const {
  Evaluation e = ref::evaluate(network, x);
  if (base_mean.empty() || beta == 1) return e;
  e.energy = beta * e.energy + (1 - beta) * base_energy(x);
  for (double& g : e.gradient) g *= beta;
  for (std::size_t i = 0; i < x.size(); ++i) {
    double r = 0;
    for (std::size_t j = 0; j < x.size(); ++j) r += base_root[i * x.size() + j] * (x[j] - base_mean[j]);
    for (std::size_t j = 0; j < x.size(); ++j) e.gradient[j] += (1 - beta) * base_root[i * x.size() + j] * r;
  }
  return e;
}

Vector uniform_start(std::uint64_t seed, std::uint64_t chain, std::uint64_t step, int dim) {
  Vector x = uniforms(seed, Purpose::initial_position, chain, step, dim);
  for (double& v : x) v = (2 * v - 1) * 3;
  return x;
}

Vector uniform_start(const Kernel& kernel, std::uint64_t seed, std::uint64_t chain, std::uint64_t step, int dim) {
  Vector x = uniform_start(seed, chain, step, dim);
  if (kernel.start_lo.empty()) return x;
  for (std::size_t d = 0; d < x.size(); ++d) {
    x[d] = kernel.start_lo[d] + (kernel.start_hi[d] - kernel.start_lo[d]) * (x[d] / 6 + 0.5);
  }
  return x;
}

void run(const Target& target, const Kernel& kernel, std::uint64_t seed, int n_steps, Chain* chain, Counts* counts) {
  Evaluation here;
  if (kernel.mala && n_steps > 0) {
    here = target.evaluate(chain->x);
    if (!finite(here)) {
      restart(target, kernel, seed, chain, counts);
      here = target.evaluate(chain->x);
    }
  }
  for (int k = 0; k < n_steps; ++k) {
    if (kernel.mala) {
      mala_step(target, kernel, seed, &here, chain, counts);
    } else {
      langevin_step(target, kernel, seed, chain, counts);
    }
    ++chain->step;
  }
}

}  // namespace ref
