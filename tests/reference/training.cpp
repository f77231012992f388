#include "reference/training.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <set>
#include <utility>

namespace ref {
namespace {

// One flag per parameter: true for weights, false for biases.
std::vector<bool> is_weight(const Network& network) {
  std::vector<bool> flags;
  int in = network.dim;
  for (std::size_t l = 0; l <= network.widths.size(); ++l) {
    const int out = l < network.widths.size() ? network.widths[l] : network.outputs;
    flags.insert(flags.end(), static_cast<std::size_t>(in) * static_cast<std::size_t>(out), true);
    flags.insert(flags.end(), static_cast<std::size_t>(out), false);
    in = out;
  }
  return flags;
}

}  // namespace

Objective objective(const Network& network, const std::vector<Vector>& data, const std::vector<int>& labels,
                    const std::vector<Vector>& samples, double energy_reg) {
  Objective result;
  result.gradient.assign(network.parameters.size(), 0.0);
  const auto add = [&](const std::vector<Vector>& points, double sign, double* mean_energy) {
    const double n = static_cast<double>(points.size());
    for (const Vector& x : points) {
      const double e = evaluate(network, x).energy;
      *mean_energy += e / n;
      result.value += (sign * e + energy_reg * e * e) / n;
      add_energy_gradient(network, x, (sign + 2 * energy_reg * e) / n, &result.gradient);
    }
  };
  add(data, 1, &result.energy_data);
  add(samples, -1, &result.energy_samples);
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const double n = static_cast<double>(labels.size());
    const Vector f = evaluate(network, data[i]).outputs;
    result.cross_entropy += cross_entropy(f, labels[i]) / n;
    Vector df = cross_entropy_derivative(f, labels[i]);
    for (double& v : df) v /= n;
    add_parameter_gradient(network, data[i], df, &result.gradient);
  }
  result.value += result.cross_entropy;
  return result;
}

double learning_rate(const AdamSettings& adam, std::int64_t t, std::int64_t n) {
  if (t < adam.warmup) return adam.learning_rate * static_cast<double>(t + 1) / (adam.warmup + 1);
  const double share =
      n > adam.warmup ? static_cast<double>(t - adam.warmup) / static_cast<double>(n - adam.warmup) : 0;
  switch (adam.decay) {
    case AdamSettings::Decay::constant:
      return adam.learning_rate;
    case AdamSettings::Decay::cosine:
      return adam.learning_rate * (share < 1 ? (1 + std::cos(std::numbers::pi * share)) / 2 : 0);
    case AdamSettings::Decay::linear:
      return adam.learning_rate * std::max(1 - share, 0.0);
  }
  return 0;
}

Training::Training(Plan p, Network n, std::vector<Vector> points, std::vector<int> classes)
    : plan(std::move(p)), network(std::move(n)), data(std::move(points)), labels(std::move(classes)) {
  adam_m.assign(network.parameters.size(), 0.0);
  adam_v = adam_m;
  ema = network.parameters;
  step_size = plan.kernel.step_size;
  plan.kernel.points = data;
  for (std::uint64_t slot = 0; slot < plan.capacity; ++slot) {
    buffer.push_back(uniform_start(plan.kernel, plan.seed, slot, 0, network.dim));
    buffer_steps.push_back(0);
    hot_buffer.emplace_back();
    for (std::uint64_t r = 1; r < plan.ladder.size(); ++r) {
      hot_buffer.back().push_back(uniform_start(plan.kernel, plan.seed, slot + (r << 46), 0, network.dim));
    }
  }
}

void Training::step() {
  const auto n = static_cast<std::uint64_t>(data.size());
  const auto batch = static_cast<std::uint64_t>(plan.batch_size);
  const auto t = static_cast<std::uint64_t>(iteration);

  std::vector<Vector> batch_data;
  std::vector<int> batch_labels;
  for (std::uint64_t i = 0; i < batch; ++i) {
    const std::uint64_t position = t * batch + i;
    const std::uint64_t row = permute(plan.seed, Purpose::data_order, position / n, n, position % n);
    Vector x = data[row];
    if (!plan.dequantize.empty()) {
      const Vector u = uniforms(plan.seed, Purpose::data_noise, position, 0, network.dim);
      for (std::size_t d = 0; d < x.size(); ++d) x[d] += plan.dequantize[d] * u[d];
    }
    const Vector noise = normals(plan.seed, position, 0, network.dim, Purpose::data_smoothing);
    for (std::size_t d = 0; d < x.size(); ++d) x[d] += plan.data_noise * noise[d];
    batch_data.push_back(x);
    if (!labels.empty()) batch_labels.push_back(labels[row]);
  }

  Kernel kernel = plan.kernel;
  kernel.step_size = step_size;
  counts = {};
  swaps = {};
  reinitialized = 0;
  const Target target{network, 1, {}, {}};
  std::vector<Vector> samples;
  for (std::uint64_t i = 0; i < batch; ++i) {
    Chain chain;
    std::uint64_t slot = 0;
    bool afresh = plan.start == Start::fresh;
    switch (plan.start) {
      case Start::persistent:
        slot = permute(plan.seed, Purpose::replay_slot, t, plan.capacity, i);
        chain.id = slot;
        chain.step = buffer_steps[slot];
        chain.x = buffer[slot];
        if (uniform(words(plan.seed, Purpose::reinitialization, slot, chain.step, 0)[0]) < plan.reinit_prob) {
          chain.x = uniform_start(plan.kernel, plan.seed, slot, chain.step, network.dim);
          afresh = true;
          ++reinitialized;
        }
        break;
      case Start::data:
        chain.id = t * batch + i;
        chain.x = batch_data[i];
        break;
      case Start::fresh:
        chain.id = t * batch + i;
        chain.x = uniform_start(plan.kernel, plan.seed, chain.id, 0, network.dim);
        break;
    }
    if (plan.ladder.empty()) {
      run(target, kernel, plan.seed, plan.n_steps, &chain, &counts);
    } else {
      std::vector<Chain> replicas(plan.ladder.size(), chain);
      for (std::uint64_t r = 1; r < replicas.size(); ++r) {
        if (afresh) {
          replicas[r].x = uniform_start(plan.kernel, plan.seed, chain.id + (r << 46), chain.step, network.dim);
        } else if (plan.start == Start::persistent) {
          replicas[r].x = hot_buffer[slot][r - 1];
        }
      }
      std::vector<Counts> pairs;
      run_tempered(target, kernel, plan.seed, plan.ladder, plan.swap_every, plan.n_steps, &replicas, &pairs,
                   &decision_margin, &counts);
      for (const Counts& pair : pairs) {
        swaps.proposed += pair.proposed;
        swaps.accepted += pair.accepted;
      }
      for (const Chain& replica : replicas) decision_margin = std::min(decision_margin, replica.decision_margin);
      for (std::size_t r = 1; r < replicas.size() && plan.start == Start::persistent; ++r) {
        hot_buffer[slot][r - 1] = replicas[r].x;
      }
      chain = replicas[0];
    }
    if (plan.start == Start::persistent) {
      buffer[slot] = chain.x;
      buffer_steps[slot] = chain.step;
    }
    decision_margin = std::min(decision_margin, chain.decision_margin);
    samples.push_back(chain.x);
  }

  objective = ref::objective(network, batch_data, batch_labels, samples, plan.energy_reg);
  double square = 0;
  for (const double g : objective.gradient) square += g * g;
  gradient_norm = std::sqrt(square);
  const double clip = plan.adam.grad_norm_clip;
  const double scale = clip > 0 && gradient_norm > clip ? clip / gradient_norm : 1;

  const double rate = learning_rate(plan.adam, iteration, plan.iterations);
  const double correction1 = 1 - std::pow(plan.adam.beta1, static_cast<double>(t + 1));
  const double correction2 = 1 - std::pow(plan.adam.beta2, static_cast<double>(t + 1));
  const double keep = std::min(plan.ema, static_cast<double>(t + 1) / static_cast<double>(t + 10));
  const std::vector<bool> decays = is_weight(network);
  for (std::size_t k = 0; k < network.parameters.size(); ++k) {
    const double g = scale * objective.gradient[k];
    adam_m[k] = plan.adam.beta1 * adam_m[k] + (1 - plan.adam.beta1) * g;
    adam_v[k] = plan.adam.beta2 * adam_v[k] + (1 - plan.adam.beta2) * g * g;
    double& theta = network.parameters[k];
    const double before = theta;
    theta -= rate * (adam_m[k] / correction1) / (std::sqrt(adam_v[k] / correction2) + plan.adam.epsilon);
    if (decays[k]) theta -= rate * plan.adam.weight_decay * before;
    ema[k] = keep * ema[k] + (1 - keep) * theta;
  }

  if (kernel.mala && plan.target_acceptance && counts.proposed > 0) {
    const double rate_seen = static_cast<double>(counts.accepted) / static_cast<double>(counts.proposed);
    step_size = std::clamp(step_size * std::exp(0.1 * (rate_seen - *plan.target_acceptance)), 1e-6, 1e2);
  }
  ++iteration;
}

}  // namespace ref
