#include "reference/chains.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

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

bool stays(const Chain& chain, std::size_t d) { return !chain.fixed.empty() && chain.fixed[d]; }

// The uniform start of the coordinates that move.
Vector start_of(const Target& target, const Kernel& kernel, std::uint64_t seed, const Chain& chain) {
  Vector x = uniform_start(kernel, seed, chain.id, chain.step, target.network.dim);
  for (std::size_t d = 0; d < x.size(); ++d) x[d] = stays(chain, d) ? chain.x[d] : x[d];
  return x;
}

// Momenta and noises of the coordinates that move.
Vector free_part(const Chain& chain, Vector v) {
  for (std::size_t d = 0; d < v.size(); ++d) v[d] = stays(chain, d) ? 0 : v[d];
  return v;
}

bool outside(const Kernel& kernel, const Vector& x) {
  for (std::size_t d = 0; d < kernel.lo.size(); ++d) {
    if (x[d] < kernel.lo[d] || x[d] > kernel.hi[d]) return true;
  }
  return false;
}

void restart(const Target& target, const Kernel& kernel, std::uint64_t seed, Chain* chain, Counts* counts) {
  chain->x = start_of(target, kernel, seed, *chain);
  chain->restarted = true;
  ++counts->restarts;
}

void langevin_step(const Target& target, const Kernel& kernel, std::uint64_t seed, Chain* chain, Counts* counts) {
  const Evaluation here = target.evaluate(chain->x);
  chain->kink_distance = std::min(chain->kink_distance, here.kink_distance);
  const Vector g = clipped(here.gradient, kernel.grad_clip);
  const Vector n = normals(seed, chain->id, chain->step, target.network.dim);
  Vector y = chain->x;
  for (std::size_t d = 0; d < y.size(); ++d) {
    if (!stays(*chain, d)) y[d] += kernel.noise_scale * n[d] - kernel.step_size * g[d];
  }
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

double square(const Vector& v) {
  double sum = 0;
  for (const double x : v) sum += x * x;
  return sum;
}

// The local moves: from `chain` (with E and g) to y; returns E and g there and what is added to E(x) - E(y).
struct Local {
  Vector y;
  Evaluation there;
  double log_ratio = 0;
};

Local mala_move(const Target& target, const Kernel& kernel, std::uint64_t seed, const Evaluation& here,
                const Chain& chain) {
  const double h = kernel.step_size;
  const Vector g = free_part(chain, clipped(here.gradient, kernel.grad_clip));
  const Vector n = free_part(chain, normals(seed, chain.id, chain.step, target.network.dim));
  Local move{chain.x, {}};
  for (std::size_t d = 0; d < g.size(); ++d) move.y[d] += std::sqrt(2 * h) * n[d] - h * g[d];
  move.there = target.evaluate(move.y);
  const Vector g_back = free_part(chain, clipped(move.there.gradient, kernel.grad_clip));
  move.log_ratio = (proposal_square(move.y, chain.x, g, h) - proposal_square(chain.x, move.y, g_back, h)) / (4 * h);
  return move;
}

void leapfrog(const Target& target, const Kernel& kernel, const Chain& chain, double h, Vector* p, Local* move) {
  const auto kick = [&] {
    const Vector g = free_part(chain, clipped(move->there.gradient, kernel.grad_clip));
    for (std::size_t d = 0; d < p->size(); ++d) (*p)[d] -= h / 2 * g[d];
  };
  kick();
  for (std::size_t d = 0; d < p->size(); ++d) move->y[d] += h * (*p)[d];
  const double kink = move->there.kink_distance;
  move->there = target.evaluate(move->y);
  move->there.kink_distance = std::min(move->there.kink_distance, kink);
  kick();
}

Local hmc_move(const Target& target, const Kernel& kernel, std::uint64_t seed, const Evaluation& here,
               const Chain& chain) {
  const double u = uniform(words(seed, Purpose::move, chain.id, chain.step, 0)[2]);
  const double h = kernel.step_size * (1 + kernel.jitter * (2 * u - 1));
  Vector p = free_part(chain, normals(seed, chain.id, chain.step, target.network.dim, Purpose::momentum));
  Local move{chain.x, here};
  move.log_ratio = square(p) / 2;
  for (int l = 0; l < kernel.leapfrog_steps; ++l) leapfrog(target, kernel, chain, h, &p, &move);
  move.log_ratio -= square(p) / 2;
  return move;
}

Local malt_move(const Target& target, const Kernel& kernel, std::uint64_t seed, const Evaluation& here,
                const Chain& chain) {
  const double h = kernel.step_size, kept = std::exp(-kernel.friction * h / 2);
  const int dim = target.network.dim;
  Vector p = free_part(chain, normals(seed, chain.id, chain.step, dim, Purpose::momentum));
  const auto refresh = [&](Purpose purpose, std::uint64_t step) {
    const Vector xi = free_part(chain, normals(seed, chain.id, step, dim, purpose));
    for (std::size_t d = 0; d < p.size(); ++d) p[d] = kept * p[d] + std::sqrt(1 - kept * kept) * xi[d];
  };
  Local move{chain.x, here};
  for (int l = 0; l < kernel.leapfrog_steps; ++l) {
    const std::uint64_t step = chain.step + static_cast<std::uint64_t>(l);
    refresh(Purpose::langevin_noise, step);
    move.log_ratio += square(p) / 2;
    leapfrog(target, kernel, chain, h, &p, &move);
    move.log_ratio -= square(p) / 2;
    refresh(Purpose::second_half_noise, step);
  }
  return move;
}

void metropolis_step(const Target& target, const Kernel& kernel, std::uint64_t seed, Evaluation* here, Chain* chain,
                     Counts* counts) {
  const Words draw = words(seed, Purpose::move, chain->id, chain->step, 0);
  const bool jump = uniform(draw[0]) < kernel.jump_prob;
  const bool difference = !jump && uniform(draw[1]) < kernel.difference_prob;

  Local move{chain->x, {}};
  if (jump) {
    move.y = start_of(target, kernel, seed, *chain);
    move.there = target.evaluate(move.y);
  } else if (difference) {
    const Words pick = words(seed, Purpose::difference, chain->id, chain->step, 0);
    const std::uint64_t n = kernel.points.size();
    const Vector& a = kernel.points[pick[0] * n >> 32];
    const Vector& b = kernel.points[pick[1] * n >> 32];
    for (std::size_t d = 0; d < move.y.size(); ++d) move.y[d] += a[d] - b[d];
    move.there = target.evaluate(move.y);
  } else {
    const auto local = kernel.hmc ? hmc_move : kernel.malt ? malt_move : mala_move;
    move = local(target, kernel, seed, *here, *chain);
  }
  const Evaluation& there = move.there;
  double log_a = here->energy - there.energy + move.log_ratio;
  if (jump) {
    for (std::size_t d = 0; d < chain->x.size(); ++d) {
      const double v = chain->x[d];
      const bool inside =
          kernel.start_lo.empty() ? std::abs(v) <= 3 : v >= kernel.start_lo[d] && v <= kernel.start_hi[d];
      if (!inside && !stays(*chain, d)) log_a = -std::numeric_limits<double>::infinity();
    }
  }
  const bool allowed = finite(there) && !outside(kernel, move.y);
  const double log_u = std::log(uniform(words(seed, Purpose::accept, chain->id, chain->step, 0)[0]));
  const bool accepted = allowed && log_u < log_a;
  if (allowed) chain->decision_margin = std::min(chain->decision_margin, std::abs(log_u - log_a));
  chain->kink_distance = std::min({chain->kink_distance, here->kink_distance, there.kink_distance});

  (jump ? counts->jumps_proposed : difference ? counts->differences_proposed : counts->proposed) += 1;
  if (!accepted) return;
  (jump ? counts->jumps_accepted : difference ? counts->differences_accepted : counts->accepted) += 1;
  chain->x = move.y;
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
  e.energy *= inverse_temperature;
  for (double& g : e.gradient) g *= inverse_temperature;
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
  const bool adjusted = kernel.mala || kernel.hmc || kernel.malt;
  if (adjusted && n_steps > 0) {
    here = target.evaluate(chain->x);
    if (!finite(here)) {
      restart(target, kernel, seed, chain, counts);
      here = target.evaluate(chain->x);
    }
  }
  for (int k = 0; k < n_steps; ++k) {
    if (adjusted) {
      metropolis_step(target, kernel, seed, &here, chain, counts);
    } else {
      langevin_step(target, kernel, seed, chain, counts);
    }
    chain->step += static_cast<std::uint64_t>(kernel.leapfrog_steps);
  }
}

void run_tempered(const Target& target, const Kernel& kernel, std::uint64_t seed, const Vector& ladder, int swap_every,
                  int n_transitions, std::vector<Chain>* replicas, std::vector<Counts>* swaps, double* margin,
                  Counts* moves) {
  const std::uint64_t id = replicas->front().id;
  swaps->resize(ladder.size() - 1);
  Counts unread;
  if (moves == nullptr) moves = &unread;
  for (int t = 0; t < n_transitions; ++t) {
    for (std::size_t r = 0; r < ladder.size(); ++r) {
      Target hot = target;
      hot.inverse_temperature = ladder[r];
      Kernel local = kernel;
      local.step_size = kernel.mala ? kernel.step_size / ladder[r] : kernel.step_size / std::sqrt(ladder[r]);
      local.friction = kernel.friction * std::sqrt(ladder[r]);
      Chain& chain = (*replicas)[r];
      chain.id = id + (std::uint64_t{r} << 46);
      run(hot, local, seed, 1, &chain, moves);
    }
    const std::uint64_t step = replicas->front().step;
    const auto period = static_cast<std::uint64_t>(swap_every * kernel.leapfrog_steps);
    if (step % period != 0) continue;
    for (std::size_t r = step / period % 2; r + 1 < ladder.size(); r += 2) {
      Chain &a = (*replicas)[r], &b = (*replicas)[r + 1];
      const double e_a = target.evaluate(a.x).energy, e_b = target.evaluate(b.x).energy;
      const double log_a = (ladder[r] - ladder[r + 1]) * (e_a - e_b);
      const Words w = words(seed, Purpose::replica_swap, id, step, static_cast<std::uint32_t>(r / 4));
      const double log_u = std::log(uniform(w[r % 4]));
      *margin = std::min(*margin, std::abs(log_u - log_a));
      ++(*swaps)[r].proposed;
      if (log_u >= log_a) continue;
      ++(*swaps)[r].accepted;
      std::swap(a.x, b.x);
    }
  }
  replicas->front().id = id;
}

}  // namespace ref
