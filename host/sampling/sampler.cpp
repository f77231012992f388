#include "ebmcuda/sampler.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "host/core/check.hpp"
#include "host/engine/engine.hpp"
#include "host/sampling/transition.hpp"
#include "kernels/math/normal.hpp"

namespace ebm {
namespace {

// A uniform start is uniform over [-3, 3] in model space, as far as the box has a part there, else over the box: so
// that no chain ever begins outside, and a jump's region is known on both sides of the move.
void resolve_box(const std::optional<Box>& clamp, const Mlp& model, Transition* transition) {
  if (!clamp) return;
  require_separable("clamp", model);
  Box box = to_model_space(*clamp, model);
  for (std::size_t d = 0; d < box.lo.size(); ++d) {
    const float lo = std::max(box.lo[d], -kStartRadius), hi = std::min(box.hi[d], kStartRadius);
    transition->start_lo.push_back(lo < hi ? lo : box.lo[d]);
    transition->start_hi.push_back(lo < hi ? hi : box.hi[d]);
  }
  transition->clamp_lo = std::move(box.lo);
  transition->clamp_hi = std::move(box.hi);
}

struct Validate {
  int dim;
  void number(const Parameter& p, double value) const {
    require(p.range.contains(value), p.name, value, p.range.text());
  }
  void operator()(const Parameter& p, float value) const { number(p, static_cast<double>(value)); }
  void operator()(const Parameter& p, std::int64_t value) const {
    require(p.range.contains(static_cast<double>(value)), p.name, value, p.range.text());
  }
  void operator()(const Parameter& p, const std::optional<float>& value) const {
    if (value) number(p, static_cast<double>(*value));
  }
  void operator()(const Parameter& p, const std::optional<std::vector<float>>& values) const {
    if (!values) return;
    for (const float value : *values) number(p, static_cast<double>(value));
  }
  void operator()(const Parameter& p, const std::optional<Box>& box) const {
    if (box) require_box(p.name, *box, dim);
  }
};

struct Describe {
  std::string text;
  template <class Number>
  void add(const Parameter& p, const Number& value) {
    text += fmt::format(", {} {:.4g}", p.name, static_cast<double>(value));
  }
  void operator()(const Parameter& p, float value) { add(p, value); }
  void operator()(const Parameter& p, std::int64_t value) { add(p, value); }
  void operator()(const Parameter& p, const std::optional<float>& value) {
    if (value) add(p, *value);
  }
  void operator()(const Parameter& p, const std::optional<Box>& box) {
    if (box) text += fmt::format(", {} given", p.name);
  }
};

}  // namespace

float LangevinDynamics::effective_noise_scale() const { return noise_scale.value_or(std::sqrt(2.0f * step_size)); }

double LangevinDynamics::temperature() const {
  const double noise =
      noise_scale ? static_cast<double>(*noise_scale) : std::sqrt(2.0 * static_cast<double>(step_size));
  return noise * noise / (2.0 * static_cast<double>(step_size));
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

bool Range::contains(double value) const {
  return std::isfinite(value) && value <= highest && (lowest_allowed ? value >= lowest : value > lowest);
}

std::string Range::text() const {
  const bool below = std::isfinite(lowest), above = std::isfinite(highest);
  if (below && above) return fmt::format("must be in {}{}, {}]", lowest_allowed ? '[' : '(', lowest, highest);
  if (below) return fmt::format("must be finite and {} {}", lowest_allowed ? ">=" : ">", lowest);
  return above ? fmt::format("must be finite and <= {}", highest) : "must be finite";
}

#define EBM_VALIDATE(name, type)       \
  void type::validate(int dim) const { \
    const Validate check{dim};         \
    parameters(*this, check);          \
  }
EBM_SAMPLERS(EBM_VALIDATE)
#undef EBM_VALIDATE

void Tempering::validate() const {
  parameters(*this, Validate{0});
  require(hottest < 1, "hottest", hottest, "must be below 1, the temperature of the chain itself");
  if (!inverse_temperatures) return;
  const std::vector<float>& ladder = *inverse_temperatures;
  require(ladder.size() == static_cast<std::size_t>(replicas), "inverse_temperatures", ladder.size(),
          fmt::format("must hold one value for each of the {} replicas", replicas));
  for (std::size_t r = 0; r < ladder.size(); ++r) {
    require(r == 0 ? ladder[r] == 1.0f : ladder[r] < ladder[r - 1], "inverse_temperatures", ladder[r],
            "must begin at 1 and fall towards 0 without reaching it");
  }
}

std::vector<float> Tempering::geometric_ladder() const {
  std::vector<float> ladder;
  for (std::int64_t r = 0; r < replicas; ++r) {
    const double share = static_cast<double>(r) / static_cast<double>(replicas - 1);
    ladder.push_back(static_cast<float>(std::pow(static_cast<double>(hottest), share)));
  }
  return ladder;
}

void validate(const Sampler& sampler, int dim) {
  std::visit([dim](const auto& s) { s.validate(dim); }, sampler);
}

std::string describe(const Sampler& sampler) {
  Describe walk{std::string(to_string(kind_of(sampler)))};
  visit_parameters(sampler, walk);
  const auto* langevin = std::get_if<LangevinDynamics>(&sampler);
  return fmt::format("{} (temperature {:.4g})", walk.text, langevin != nullptr ? langevin->temperature() : 1.0);
}

ChainStats& ChainStats::operator+=(const ChainStats& other) {
  steps += other.steps;
  restarts += other.restarts;
  reinitialized += other.reinitialized;
  for (std::size_t m = 0; m < moves.size(); ++m) moves[m] += other.moves[m];
  swaps += other.swaps;
  return *this;
}

namespace {

// The fields that a sampler shares with others go to the transition by name.
struct Resolve {
  const Mlp& model;
  Transition* transition;
  void operator()(const Parameter& p, float value) const {
    if (p.name == "step_size") transition->step_size = value;
    if (p.name == kJumpProb.name) transition->jump_prob = value;
  }
  void operator()(const Parameter& p, const std::optional<float>& value) const {
    if (p.name == kGradClip.name && value) transition->grad_clip = *value;
  }
  void operator()(const Parameter&, std::int64_t) const {}
  void operator()(const Parameter&, const std::optional<Box>& box) const { resolve_box(box, model, transition); }
};

}  // namespace

Transition resolve(const Sampler& sampler, const Mlp& model) {
  validate(sampler, model.dim());
  Transition transition;
  transition.kind = kind_of(sampler);
  std::visit(
      [&](const auto& s) {
        transition.evaluations = s.evaluations();
        transition.own = s.own();
      },
      sampler);
  visit_parameters(sampler, Resolve{model, &transition});
  return transition;
}

namespace {

struct Note {
  std::map<std::string, std::string>* notes;
  void operator()(const Parameter& p, float value) const { (*notes)[std::string(p.name)] = fmt::format("{}", value); }
  void operator()(const Parameter& p, std::int64_t value) const {
    (*notes)[std::string(p.name)] = fmt::format("{}", value);
  }
  void operator()(const Parameter& p, const std::optional<float>& value) const {
    if (value) (*this)(p, *value);
  }
  // One side after the other: lo_1,..,lo_n,hi_1,..,hi_n as --clamp takes them.
  void operator()(const Parameter& p, const std::optional<Box>& box) const {
    if (box) (*notes)[std::string(p.name)] = fmt::format("{},{}", fmt::join(box->lo, ","), fmt::join(box->hi, ","));
  }
};

}  // namespace

void note_sampler(const Sampler& sampler, std::map<std::string, std::string>* notes) {
  (*notes)["sampler"] = to_string(kind_of(sampler));
  if (const auto* langevin = std::get_if<LangevinDynamics>(&sampler)) {
    // Unset would mean another noise with another step size.
    (*notes)["noise_scale"] = fmt::format("{}", langevin->effective_noise_scale());
  }
  visit_parameters(sampler, Note{notes});
}

Sampler with_step_size(Sampler sampler, float step_size) {
  std::visit([&](auto& s) { s.step_size = step_size; }, sampler);
  return sampler;
}

float step_size_of(const Sampler& sampler) {
  return std::visit([](const auto& s) { return s.step_size; }, sampler);
}

void require_inside(std::string_view field, MatrixView x, const Mlp& model, const Transition& transition) {
  if (transition.clamp_lo.empty()) return;
  const Matrix points = model.to_model_space(x);
  for (std::size_t i = 0; i < points.rows(); ++i) {
    for (std::size_t d = 0; d < points.cols(); ++d) {
      if (points(i, d) >= transition.clamp_lo[d] && points(i, d) <= transition.clamp_hi[d]) continue;
      reject(field, fmt::format("row {}, column {}", i, d), "every position must lie in the box given as clamp");
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

void require_separable(std::string_view field, const Mlp& model) {
  require(model.transform().separable(), field, "given",
          fmt::format("a box in data units is none in the model's space ({})", to_string(model.transform().kind())));
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

Matrix uniform_start(const Mlp& model, std::int64_t n, std::uint64_t seed, std::uint64_t first_chain,
                     std::uint64_t step) {
  require(n >= 1, "n", n, "must be >= 1");
  require(first_chain < kChainLimit && static_cast<std::uint64_t>(n) <= kChainLimit - first_chain, "first_chain",
          first_chain, "first_chain + n must be <= 2^56");
  require(step < kStepLimit, "step", step, "must be < 2^48");
  return model.to_data_units(uniform_start_in(model, {}, n, seed, first_chain, step));
}

Matrix uniform_start_in(const Mlp& model, const Transition& transition, std::int64_t n, std::uint64_t seed,
                        std::uint64_t first_chain, std::uint64_t step) {
  const auto function = make_engine(Device::cpu(1))->load(model);
  std::vector<std::uint64_t> ids(static_cast<std::size_t>(n));
  std::iota(ids.begin(), ids.end(), first_chain);
  const auto chains =
      function->chains(seed, std::move(ids), std::vector<std::uint64_t>(static_cast<std::size_t>(n), step));
  chains->start_uniform(transition);
  Matrix x(static_cast<std::size_t>(n), static_cast<std::size_t>(model.dim()));
  chains->positions(x.values());
  return x;
}

}  // namespace ebm
