#include "ebmcuda/chains.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <numeric>
#include <utility>

#include "ebmcuda/share.hpp"
#include "host/core/check.hpp"
#include "host/core/points.hpp"
#include "host/ranks/counts.hpp"
#include "host/ranks/same.hpp"
#include "host/sampling/fixed_coordinates.hpp"
#include "host/sampling/loaded_energy.hpp"
#include "host/sampling/sample_reordered.hpp"
#include "host/sampling/tempering.hpp"
#include "host/sampling/transition.hpp"

namespace ebm {
namespace {

std::uint64_t transitions_left(std::uint64_t step, const Transition& transition) {
  return (kStepLimit - step) / static_cast<std::uint64_t>(transition.evaluations);
}

void require_base(const GaussianEnergy& base, std::size_t dim) {
  require(base.mean.size() == dim, "base.mean", base.mean.size(), fmt::format("must hold D = {} values", dim));
  require(base.root.rows() == dim && base.root.cols() == dim, "base.root",
          fmt::format("{} x {}", base.root.rows(), base.root.cols()), fmt::format("must be {} x {}", dim, dim));
  for (const float m : base.mean) require(std::isfinite(m), "base.mean", m, "every value must be finite");
  for (std::size_t i = 0; i < dim; ++i) {
    for (std::size_t j = 0; j < dim; ++j) {
      const float r = base.root(i, j);
      const bool good = i > j ? r == 0 : i == j ? r > 0 : true;
      require(good && std::isfinite(r), "base.root", r,
              fmt::format("must be finite and upper triangular, > 0 on the diagonal (row {}, column {})", i, j));
    }
  }
}

void require_suits_base(const Sampler& sampler, bool has_base) {
  require(!has_base || is_metropolis(kind_of(sampler)), "sampler", to_string(kind_of(sampler)),
          "chains with a base need a Metropolis-adjusted sampler");
}

void require_beta(float beta, bool has_base) {
  require_probability("beta", static_cast<double>(beta));
  require(has_base || beta == 1, "beta", beta, "must be 1 without a base");
}

// Of ChainsOptions or SampleOptions; negative numbers of chains count as none.
template <class Options>
std::size_t chains_of(const Options& options) {
  if (options.init) return options.init->rows();
  if (options.fixed) return options.fixed->rows();
  return static_cast<std::size_t>(std::max<std::int64_t>(options.n_chains, 0));
}

// Everything about a new set of chains that can be wrong, and the transition that it begins with.
Transition check(const Mlp& model, const Sampler& sampler, const ChainsOptions& options) {
  Transition transition = resolve(sampler, model);
  const auto dim = static_cast<std::size_t>(model.dim());
  if (options.init) {
    require(options.init->rows() > 0, "init", "0 rows", "must hold at least one chain");
    require_points("init", *options.init, model.dim());
    require_inside("init", *options.init, model, transition);
  } else if (!options.fixed) {
    require(options.n_chains >= 1, "n_chains", options.n_chains, "must be >= 1");
  }
  const std::uint64_t n = chains_of(options);
  require(n <= (std::uint64_t{1} << 40) / dim, "n_chains", n,
          fmt::format("must be <= 2^40 / D = {}", (std::uint64_t{1} << 40) / dim));
  const std::uint64_t limit = options.tempering ? kTemperedChainLimit : kChainLimit;
  require(options.first_chain < limit && n <= limit - options.first_chain, "first_chain", options.first_chain,
          fmt::format("first_chain + n_chains must be <= 2^{}", options.tempering ? 46 : 56));
  if (options.fixed) {
    require(options.fixed->rows() == n, "fixed", options.fixed->rows(),
            fmt::format("must hold one row for each of the {} chains of init", n));
    static_cast<void>(FixedCoordinates(*options.fixed, model, transition));
  }
  require(options.first_step < kStepLimit, "first_step", options.first_step, "must be below 2^48");
  require_suits_base(sampler, options.base.has_value());
  require_beta(options.beta, options.base.has_value());
  if (options.base) {
    const TransformKind kind = model.transform().kind();
    require(kind == TransformKind::none || kind == TransformKind::standardize, "base", "given",
            fmt::format("a Gaussian of this form in data units is none in the model's space ({})", to_string(kind)));
    require_base(*options.base, dim);
  }
  if (options.tempering) {
    options.tempering->validate();
    require(!options.base, "tempering", "given", "chains with a base have no replicas");
    require_can_be_tempered(transition);
  }
  return transition;
}

GaussianBase to_model_space(const GaussianEnergy& base, const Mlp& model) {
  const auto values = base.root.values();
  GaussianBase result{base.mean, {values.begin(), values.end()}};
  const auto& standardization = model.standardization();
  if (!standardization) return result;
  model.transform().forward(base.mean, result.mean);
  const std::size_t dim = base.mean.size();
  for (std::size_t i = 0; i < result.root.size(); ++i) result.root[i] *= standardization->std[i % dim];
  return result;
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

struct Chains::State {
  Energy energy;
  Sampler sampler;
  Transition transition;
  float beta;
  bool has_base, tempered;
  std::size_t n;
  std::uint64_t first_step;
  std::uint64_t version;  // of the energy's parameters that the set knows
  std::unique_ptr<ChainSet> set;
  std::optional<FixedCoordinates> fixed;
  Matrix seen;  // what callbacks look at

  const Mlp& model() const { return energy.model(); }
  const Energy::Loaded& loaded() const { return *energy.loaded_; }

  std::uint64_t step() const { return first_step + set->advanced(); }  // of every chain
  // The set, knowing the present parameters.
  ChainSet& fresh() {
    energy.loaded_->settle();
    const std::uint64_t now = loaded().version;
    if (version != now) set->forget();
    version = now;
    return *set;
  }
  void set_positions(MatrixView given) {
    MatrixView x = given;
    Matrix held;
    if (fixed) {
      held = copy_of(given);
      fixed->put(held.values());
      x = held;
    }
    if (model().transform().kind() != TransformKind::none) {
      const Matrix points = model().to_model_space(x);
      set->set_positions(points.values());
    } else {
      set->set_positions(x.values());
    }
  }
  void check_run(std::int64_t transitions) const {
    require(transitions >= 0, "n", transitions, "must be >= 0");
    const std::uint64_t left = transitions_left(step(), transition);
    require(static_cast<std::uint64_t>(transitions) <= left, "n", transitions,
            fmt::format("must be <= {}: step numbers end at 2^48", left));
  }
  void run(std::int64_t transitions) {
    if (transitions == 0) return;
    fresh().run(transition, transitions, beta);
  }
  float* device_positions(void* stream) {
    require(!tempered, "tempering", "given", "the positions of replicas are not handed out");
    const DeviceQueue& queue = loaded().queue();
    queue.precede(stream);
    return set->device_positions();
  }
};

Chains::Chains(Energy energy, Sampler sampler, ChainsOptions options) {
  const Mlp& model = energy.model();
  Transition transition = check(model, sampler, options);
  std::optional<FixedCoordinates> fixed;
  if (options.fixed) fixed.emplace(*options.fixed, model, transition);
  const std::size_t n = chains_of(options);
  std::vector<std::uint64_t> ids(n);
  std::iota(ids.begin(), ids.end(), options.first_chain);
  std::optional<GaussianBase> base;
  if (options.base) base = to_model_space(*options.base, model);
  energy.loaded_->settle();
  const EnergyFunction& function = *energy.loaded_->function;
  std::vector<std::uint64_t> steps(n, options.first_step);
  std::unique_ptr<ChainSet> set;
  if (options.tempering) {
    Tempering tempering = *options.tempering;
    tempering.inverse_temperatures = ladder_of(function, model.dim(), transition, tempering, options.seed);
    set = make_tempered_chains(function, model.dim(), options.seed, ids, steps, tempering);
  } else {
    set = function.chains(options.seed, std::move(ids), std::move(steps), std::move(base));
  }
  if (fixed) {
    set->fix(fixed->mask());
    set->set_positions(fixed->positions().values());
  }
  const std::uint64_t version = energy.loaded_->version;
  state_ = std::unique_ptr<State>(new State{std::move(energy), std::move(sampler), std::move(transition), options.beta,
                                            options.base.has_value(), options.tempering.has_value(), n,
                                            options.first_step, version, std::move(set), std::move(fixed), Matrix()});
  if (options.init) {
    state_->set_positions(*options.init);
  } else {
    start_uniform();
  }
}

Chains::~Chains() = default;
Chains::Chains(Chains&&) noexcept = default;
Chains& Chains::operator=(Chains&&) noexcept = default;

std::size_t Chains::size() const noexcept { return state_->n; }
const Energy& Chains::energy() const noexcept { return state_->energy; }
const Sampler& Chains::sampler() const noexcept { return state_->sampler; }
std::uint64_t Chains::step() const noexcept { return state_->step(); }

void Chains::set_sampler(Sampler sampler) {
  Transition transition = resolve(sampler, state_->model());
  require_suits_base(sampler, state_->has_base);
  if (state_->tempered) require_can_be_tempered(transition);
  if (state_->fixed) state_->fixed->require_inside(transition);
  state_->transition = std::move(transition);
  state_->sampler = std::move(sampler);
}

void Chains::set_step_size(float step_size) {
  require_positive("step_size", static_cast<double>(step_size));
  set_sampler(with_step_size(state_->sampler, step_size));
}

void Chains::set_beta(float beta) {
  require_beta(beta, state_->has_base);
  state_->beta = beta;
}

void Chains::start_uniform() { state_->set->start_uniform(state_->transition); }

void Chains::set_positions(MatrixView x) {
  require(x.rows == state_->n, "x", x.rows, fmt::format("must hold one row for each of the {} chains", state_->n));
  require_points("x", x, state_->model().dim());
  require_inside("x", x, state_->model(), state_->transition);
  state_->set_positions(x);
}

void Chains::run(std::int64_t n) {
  state_->check_run(n);
  state_->run(n);
}

void Chains::run(std::int64_t n, void* stream) {
  const DeviceQueue& queue = state_->loaded().queue();
  state_->check_run(n);
  queue.follow(stream);
  state_->run(n);
  queue.precede(stream);
}

std::int64_t Chains::run(std::int64_t n, std::int64_t every,
                         const std::function<bool(const ChainsProgress&)>& callback) {
  require(every >= 1, "every", every, "must be >= 1");
  require(static_cast<bool>(callback), "callback", "empty", "must be a function");
  state_->check_run(n);
  Matrix& seen = state_->seen;
  if (seen.rows() != state_->n) seen = Matrix(state_->n, static_cast<std::size_t>(state_->model().dim()));
  std::int64_t done = 0;
  while (done < n) {
    const std::int64_t piece = std::min(every, n - done);
    state_->run(piece);
    done += piece;
    if (piece < every) break;
    positions(seen.values());
    if (!callback({done, seen})) break;
  }
  return done;
}

void Chains::wait() const {
  if (const DeviceQueue* queue = state_->loaded().function->queue()) queue->wait();
}

Matrix Chains::positions() const {
  Matrix x(state_->n, static_cast<std::size_t>(state_->model().dim()));
  positions(x.values());
  return x;
}

void Chains::positions(std::span<float> x) const {
  const auto dim = static_cast<std::size_t>(state_->model().dim());
  require(x.size() == state_->n * dim, "x", x.size(), fmt::format("must hold {} x {} values", state_->n, dim));
  state_->set->positions(x);
  if (state_->model().transform().kind() != TransformKind::none) state_->model().transform().inverse(x, x);
  if (state_->fixed) state_->fixed->put(x);
}

std::vector<float> Chains::energies() const {
  std::vector<float> energy(state_->n);
  energies(energy);
  return energy;
}

void Chains::energies(std::span<float> energy) const {
  require(energy.size() == state_->n, "energy", energy.size(),
          fmt::format("must hold one value for each of the {} chains", state_->n));
  state_->fresh().energies(energy);
  const Transform& transform = state_->model().transform();
  if (transform.affine()) return;
  std::vector<float> z(energy.size() * static_cast<std::size_t>(state_->model().dim()));
  state_->set->positions(z);
  std::vector<double> log_jacobian(energy.size());
  transform.log_jacobian_at(z, log_jacobian);
  subtract_log_jacobian(log_jacobian, energy);
}

std::vector<float> Chains::base_energies() const {
  require(state_->has_base, "base", "none", "the chains were made without one");
  std::vector<float> energy(state_->n), base(state_->n);
  state_->fresh().energies(energy, base);
  return base;
}

std::vector<std::uint8_t> Chains::restarted() const {
  std::vector<std::uint8_t> flags(state_->n);
  state_->set->restarted(flags);
  return flags;
}

ChainStats Chains::stats() const { return state_->set->stats(); }
void Chains::clear_stats() { state_->set->clear_stats(); }

ReplicaStats Chains::replicas() const {
  require(state_->tempered, "tempering", "none", "the chains were made without it");
  return state_->set->replica_stats();
}

DeviceMatrixView Chains::device_positions(void* stream) const {
  return {state_->device_positions(stream), state_->n, static_cast<std::size_t>(state_->model().dim())};
}

float* Chains::write_positions(void* stream) {
  require(!state_->fixed, "fixed", "given", "positions with fixed coordinates are not written to");
  float* const positions = state_->device_positions(stream);
  state_->set->forget();
  return positions;
}

namespace {

// The chains that a request of sample() is about. Throws ConfigError for whatever is wrong with it.
ChainsOptions check_request(const Mlp& model, const Sampler& sampler, const SampleOptions& options) {
  ChainsOptions chains_options;
  chains_options.n_chains = options.n_chains;
  chains_options.seed = options.seed;
  chains_options.first_chain = options.first_chain;
  chains_options.first_step = options.first_step;
  chains_options.init = options.init;
  // Others are fixed in parts, each in an order of columns of its own.
  const bool as_they_are = !options.fixed || FixedCoordinates::can_fix(*options.fixed, model);
  if (as_they_are) chains_options.fixed = options.fixed;
  chains_options.tempering = options.tempering;
  if (!as_they_are) {
    FixedCoordinates::require_values(*options.fixed, model);
    chains_options.n_chains = static_cast<std::int64_t>(options.fixed->rows());
    require(!options.init || options.init->rows() == options.fixed->rows(), "fixed", options.fixed->rows(),
            "must hold one row for each of the chains of init");
    require(!options.tempering || options.tempering->inverse_temperatures, "tempering", "a fitted ladder",
            fmt::format("needs inverse_temperatures where the model's space mixes the fixed columns with others ({})",
                        to_string(model.transform().kind())));
  }
  const Transition transition = check(model, sampler, chains_options);
  require(options.n_steps >= 0, "n_steps", options.n_steps, "must be >= 0");
  const std::uint64_t left = transitions_left(options.first_step, transition);
  require(static_cast<std::uint64_t>(options.n_steps) <= left, "n_steps", options.n_steps,
          fmt::format("must be <= {}: step numbers go from first_step = {} to 2^48", left, options.first_step));
  require(options.thin >= 0, "thin", options.thin, "must be >= 0 (0: keep no trajectory)");
  return chains_options;
}

}  // namespace

SampleResult sample(const Mlp& model, const Sampler& sampler, const SampleOptions& options, const Device& device) {
  ChainsOptions chains_options = check_request(model, sampler, options);
  if (options.fixed && !chains_options.fixed) return sample_reordered(model, sampler, options, device);
  const auto start = std::chrono::steady_clock::now();
  Chains chains(Energy(model, device), sampler, std::move(chains_options));
  SampleResult result;
  // Calls of about a fifth of a second keep progress alive; how the steps are split changes no bit. (Ranks look at one
  // another between them.)
  const bool watched = options.progress || device.ranks().size() > 1;
  std::int64_t chunk = watched ? 16 : options.n_steps;
  while (result.n_steps < options.n_steps) {
    std::int64_t next = std::min(result.n_steps + std::max<std::int64_t>(chunk, 1), options.n_steps);
    if (options.thin > 0) next = std::min(next, (result.n_steps / options.thin + 1) * options.thin);
    const double before = seconds_since(start);
    chains.run(next - result.n_steps);
    result.n_steps = next;
    if (options.thin > 0 && next % options.thin == 0) result.trajectory.push_back(chains.positions());
    if (!watched) continue;
    chains.wait();  // what is timed is work done, not work queued
    const double now = seconds_since(start);
    if (options.progress && !options.progress({result.n_steps, options.n_steps, now})) break;
    chunk = now - before > 0.2 ? std::max<std::int64_t>(chunk / 2, 1) : std::min(chunk * 2, options.n_steps);
  }
  result.x = chains.positions();
  result.energy = chains.energies();
  result.restarted = chains.restarted();
  result.stats = chains.stats();
  if (options.tempering) result.replicas = chains.replicas();
  result.engine = chains.energy().description();  // knows now what was compiled
  result.seconds = seconds_since(start);
  return result;
}

namespace {

void require_same(const Communicator& ranks, const Mlp& model, const Sampler& sampler, const SampleOptions& options) {
  SameFields same;
  same.add_model(model);
  std::map<std::string, std::string> parameters;
  note_sampler(sampler, &parameters);
  for (const auto& [name, value] : parameters) same.add(name, value);
  if (options.tempering) {
    same.add("replicas", options.tempering->replicas);
    same.add("swap_every", options.tempering->swap_every);
  }
  same.add("n_chains", chains_of(options));
  same.add("n_steps", options.n_steps);
  same.add("seed", options.seed);
  same.add("first_chain", options.first_chain);
  same.add("first_step", options.first_step);
  same.add("thin", options.thin);
  if (options.init) same.add_values("init", options.init->view().values());
  if (options.fixed) same.add_values("fixed", options.fixed->view().values());
  same.require(ranks);
}

}  // namespace

SampleResult sample_share(const Mlp& model, const Sampler& sampler, const SampleOptions& options,
                          const Device& device) {
  const Communicator& ranks = device.ranks();
  if (ranks.size() == 1) return sample(model, sampler, options, device);
  check_request(model, sampler, options);
  const std::size_t n = chains_of(options);
  require_same(ranks, model, sampler, options);
  const RowShare share = row_share(n, ranks);
  SampleOptions mine = options;
  mine.first_chain += share.first;
  mine.n_chains = static_cast<std::int64_t>(share.count);
  for (std::optional<Matrix>* rows : {&mine.init, &mine.fixed}) {
    if (!*rows || share.count == 0) continue;
    *rows = copy_of((*rows)->view().slice(share.first, share.first + share.count));
  }
  mine.progress = [&](const SampleProgress& progress) {
    ranks.alive();
    return !options.progress || options.progress(progress);
  };
  SampleResult result;
  if (share.count > 0) {
    result = sample(model, sampler, mine, device.over({}));
  } else {
    const auto dim = static_cast<std::size_t>(model.dim());
    result.x = Matrix(0, dim);
    result.n_steps = options.n_steps;
    if (options.thin > 0) result.trajectory.assign(static_cast<std::size_t>(options.n_steps / options.thin), result.x);
  }
  result.stats = sum_over(ranks, result.stats);
  if (options.tempering) result.replicas = sum_over(ranks, result.replicas);
  result.seconds = std::ranges::max(ranks.gather_value("seconds", result.seconds));
  result.engine =
      fmt::format("{} on each of {} ranks", ranks.gather_text("engine", result.engine).front(), ranks.size());
  return result;
}

}  // namespace ebm
