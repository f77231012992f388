#include "ebmcuda/sampler.hpp"

#include <chrono>
#include <cmath>
#include <numeric>

#include "host/core/check.hpp"
#include "host/engine/engine.hpp"
#include "host/sampling/transition.hpp"

namespace ebm {
namespace {

constexpr std::uint64_t kChainLimit = std::uint64_t{1} << 56;
constexpr std::uint64_t kStepLimit = std::uint64_t{1} << 48;

void validate_limits(const std::optional<float>& grad_clip, const std::optional<Box>& clamp, int dim) {
  if (grad_clip) require_positive("grad_clip", *grad_clip);
  if (clamp) require_box("clamp", *clamp, dim);
}

void resolve_box(const std::optional<Box>& clamp, const Mlp& model, Transition* transition) {
  if (!clamp) return;
  Box box = to_model_space(*clamp, model);
  transition->clamp_lo = std::move(box.lo);
  transition->clamp_hi = std::move(box.hi);
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

float LangevinDynamics::effective_noise_scale() const { return noise_scale.value_or(std::sqrt(2.0f * step_size)); }

double LangevinDynamics::temperature() const {
  const double noise =
      noise_scale ? static_cast<double>(*noise_scale) : std::sqrt(2.0 * static_cast<double>(step_size));
  return noise * noise / (2.0 * static_cast<double>(step_size));
}

void LangevinDynamics::validate(int dim) const {
  require_positive("step_size", step_size);
  if (noise_scale) require_non_negative("noise_scale", *noise_scale);
  validate_limits(grad_clip, clamp, dim);
}

LangevinDynamics LangevinDynamics::jem() {
  return {.step_size = 1.0f, .noise_scale = 0.01f, .grad_clip = {}, .clamp = {}};
}

LangevinDynamics LangevinDynamics::igebm() {
  return {.step_size = 10.0f, .noise_scale = 0.005f, .grad_clip = 0.01f, .clamp = Box{{0.0f}, {1.0f}}};
}

LangevinDynamics LangevinDynamics::uvadlc() {
  return {.step_size = 10.0f, .noise_scale = 0.005f, .grad_clip = 0.03f, .clamp = Box{{-1.0f}, {1.0f}}};
}

LangevinDynamics LangevinDynamics::from_half_step(float epsilon) {
  require_positive("epsilon", epsilon);
  return {.step_size = epsilon / 2, .noise_scale = {}, .grad_clip = {}, .clamp = {}};
}

LangevinDynamics LangevinDynamics::from_half_square(float epsilon) {
  require_positive("epsilon", epsilon);
  return {.step_size = epsilon * epsilon / 2, .noise_scale = {}, .grad_clip = {}, .clamp = {}};
}

LangevinDynamics LangevinDynamics::from_decoupled(float a, float s) {
  require_positive("a", a);
  require_non_negative("s", s);
  return {.step_size = a, .noise_scale = s, .grad_clip = {}, .clamp = {}};
}

void Mala::validate(int dim) const {
  require_positive("step_size", step_size);
  require_probability("jump_prob", jump_prob);
  validate_limits(grad_clip, clamp, dim);
}

std::string describe(const Sampler& sampler) {
  if (const auto* langevin = std::get_if<LangevinDynamics>(&sampler)) {
    return fmt::format("langevin dynamics, step_size {:.4g}, noise_scale {:.4g} (temperature {:.4g})",
                       langevin->step_size, langevin->effective_noise_scale(), langevin->temperature());
  }
  const auto& mala = std::get<Mala>(sampler);
  return fmt::format("metropolis-adjusted langevin (mala), step_size {:.4g}, jump_prob {:.4g} (temperature 1)",
                     mala.step_size, mala.jump_prob);
}

ChainStats& ChainStats::operator+=(const ChainStats& other) {
  steps += other.steps;
  restarts += other.restarts;
  reinitialized += other.reinitialized;
  proposed += other.proposed;
  accepted += other.accepted;
  jumps_proposed += other.jumps_proposed;
  jumps_accepted += other.jumps_accepted;
  differences_proposed += other.differences_proposed;
  differences_accepted += other.differences_accepted;
  return *this;
}

Transition resolve(const Sampler& sampler, const Mlp& model) {
  Transition transition;
  if (const auto* langevin = std::get_if<LangevinDynamics>(&sampler)) {
    langevin->validate(model.dim());
    transition.kind = Transition::Kind::langevin;
    transition.step_size = langevin->step_size;
    transition.noise_scale = langevin->effective_noise_scale();
    if (langevin->grad_clip) transition.grad_clip = *langevin->grad_clip;
    resolve_box(langevin->clamp, model, &transition);
  } else {
    const auto& mala = std::get<Mala>(sampler);
    mala.validate(model.dim());
    transition.kind = Transition::Kind::mala;
    transition.step_size = mala.step_size;
    transition.jump_prob = mala.jump_prob;
    if (mala.grad_clip) transition.grad_clip = *mala.grad_clip;
    resolve_box(mala.clamp, model, &transition);
  }
  return transition;
}

Sampler with_step_size(Sampler sampler, float step_size) {
  std::visit([&](auto& s) { s.step_size = step_size; }, sampler);
  return sampler;
}

float step_size_of(const Sampler& sampler) {
  return std::visit([](const auto& s) { return s.step_size; }, sampler);
}

void require_points(std::string_view field, MatrixView x, int dim) {
  require(x.cols == static_cast<std::size_t>(dim), field, fmt::format("{} x {}", x.rows, x.cols),
          fmt::format("the model has D = {}, so rows must hold {} values", dim, dim));
  const auto values = x.values();
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) {
      reject(field, values[i], fmt::format("every value must be finite (row {}, column {})", i / x.cols, i % x.cols));
    }
  }
}

void require_box(std::string_view field, const Box& box, int dim) {
  const auto fits = [&](const std::vector<float>& side) {
    return side.size() == 1 || side.size() == static_cast<std::size_t>(dim);
  };
  require(fits(box.lo), fmt::format("{}.lo", field), box.lo.size(), fmt::format("must hold 1 or {} values", dim));
  require(fits(box.hi), fmt::format("{}.hi", field), box.hi.size(), fmt::format("must hold 1 or {} values", dim));
  for (int d = 0; d < dim; ++d) {
    const float lo = box.lo.size() == 1 ? box.lo[0] : box.lo[static_cast<std::size_t>(d)];
    const float hi = box.hi.size() == 1 ? box.hi[0] : box.hi[static_cast<std::size_t>(d)];
    require(std::isfinite(lo) && std::isfinite(hi) && lo < hi, field, fmt::format("{},{}", lo, hi),
            fmt::format("must be finite with lo < hi (dimension {})", d));
  }
}

Box to_model_space(const Box& box, const Mlp& model) {
  const auto side = [&](const std::vector<float>& values) {
    Matrix row(1, static_cast<std::size_t>(model.dim()));
    for (std::size_t d = 0; d < row.cols(); ++d) row(0, d) = values.size() == 1 ? values[0] : values[d];
    const Matrix mapped = model.to_model_space(row);
    return std::vector<float>(mapped.values().begin(), mapped.values().end());
  };
  return {side(box.lo), side(box.hi)};
}

SampleResult sample(const Mlp& model, const Sampler& sampler, const SampleOptions& options, const Device& device) {
  const Transition transition = resolve(sampler, model);
  if (options.init) {
    require(options.init->rows() > 0, "init", "0 rows", "must hold at least one chain");
    require_points("init", *options.init, model.dim());
  } else {
    require(options.n_chains >= 1, "n_chains", options.n_chains, "must be >= 1");
  }
  const std::uint64_t n = options.init ? options.init->rows() : static_cast<std::uint64_t>(options.n_chains);
  const auto dim = static_cast<std::size_t>(model.dim());
  require(n <= (std::uint64_t{1} << 40) / dim, "n_chains", n,
          fmt::format("must be <= 2^40 / D = {}", (std::uint64_t{1} << 40) / dim));
  require(options.n_steps >= 0, "n_steps", options.n_steps, "must be >= 0");
  require(options.first_chain < kChainLimit && n <= kChainLimit - options.first_chain, "first_chain",
          options.first_chain, "first_chain + n_chains must be <= 2^56");
  require(
      options.first_step < kStepLimit && static_cast<std::uint64_t>(options.n_steps) <= kStepLimit - options.first_step,
      "first_step", options.first_step, "first_step + n_steps must be <= 2^48");
  require(options.thin >= 0, "thin", options.thin, "must be >= 0 (0: keep no trajectory)");

  const auto start = std::chrono::steady_clock::now();
  const auto engine = make_engine(device);
  const auto function = engine->load(model);
  std::vector<std::uint64_t> ids(n);
  std::iota(ids.begin(), ids.end(), options.first_chain);
  const auto chains = function->chains(options.seed, std::move(ids), std::vector<std::uint64_t>(n, options.first_step));
  if (options.init) {
    chains->set_positions(model.to_model_space(*options.init).values());
  } else {
    chains->start_uniform();
  }

  SampleResult result;
  const auto positions = [&] {
    Matrix x(n, dim);
    chains->positions(x.values());
    return model.to_data_units(std::move(x));
  };
  // Calls of about a fifth of a second keep progress alive; how the steps are split changes no bit.
  std::int64_t chunk = options.progress ? 16 : options.n_steps;
  while (result.n_steps < options.n_steps) {
    std::int64_t next = std::min(result.n_steps + std::max<std::int64_t>(chunk, 1), options.n_steps);
    if (options.thin > 0) next = std::min(next, (result.n_steps / options.thin + 1) * options.thin);
    const double before = seconds_since(start);
    result.stats += chains->run(transition, next - result.n_steps);
    result.n_steps = next;
    if (options.thin > 0 && next % options.thin == 0) result.trajectory.push_back(positions());
    if (!options.progress) continue;
    const double now = seconds_since(start);
    if (!options.progress({result.n_steps, options.n_steps, now})) break;
    chunk = now - before > 0.2 ? std::max<std::int64_t>(chunk / 2, 1) : std::min(chunk * 2, options.n_steps);
  }
  result.x = positions();
  result.energy.resize(n);
  chains->energies(result.energy);
  result.restarted.resize(n);
  chains->restarted(result.restarted);
  result.engine = fmt::format("{}: {}", engine->description(), function->path());  // knows now what was compiled
  result.seconds = seconds_since(start);
  return result;
}

Matrix uniform_start(const Mlp& model, std::int64_t n, std::uint64_t seed, std::uint64_t first_chain,
                     std::uint64_t step) {
  require(n >= 1, "n", n, "must be >= 1");
  require(first_chain < kChainLimit && static_cast<std::uint64_t>(n) <= kChainLimit - first_chain, "first_chain",
          first_chain, "first_chain + n must be <= 2^56");
  require(step < kStepLimit, "step", step, "must be < 2^48");
  const auto function = make_engine(Device::cpu(1))->load(model);
  std::vector<std::uint64_t> ids(static_cast<std::size_t>(n));
  std::iota(ids.begin(), ids.end(), first_chain);
  const auto chains =
      function->chains(seed, std::move(ids), std::vector<std::uint64_t>(static_cast<std::size_t>(n), step));
  chains->start_uniform();
  Matrix x(static_cast<std::size_t>(n), static_cast<std::size_t>(model.dim()));
  chains->positions(x.values());
  return model.to_data_units(std::move(x));
}

}  // namespace ebm
