#include "support/networks.hpp"

#include <algorithm>

#include <cmath>
#include <limits>
#include <random>
#include <stdexcept>

namespace support {
namespace {

ref::Activation to_reference(ebm::Activation activation) {
  switch (activation) {
    case ebm::Activation::silu:
      return ref::Activation::silu;
    case ebm::Activation::softplus:
      return ref::Activation::softplus;
    case ebm::Activation::tanh:
      return ref::Activation::tanh;
    case ebm::Activation::gelu:
      return ref::Activation::gelu;
    case ebm::Activation::elu:
      return ref::Activation::elu;
    case ebm::Activation::relu:
      return ref::Activation::relu;
  }
  throw std::logic_error("an activation the reference does not know");
}

}  // namespace

ebm::MlpShape shape_of(int dim, std::vector<int> hidden, ebm::Activation activation, ebm::Head head,
                       float confinement) {
  ebm::MlpShape shape;
  shape.dim = dim;
  shape.hidden = std::move(hidden);
  shape.activation = activation;
  shape.head = head;
  shape.outputs = head == ebm::Head::logits ? 5 : 1;
  shape.confinement = confinement;
  return shape;
}

ebm::Mlp random_network(const ebm::MlpShape& shape, std::uint64_t seed) {
  ebm::Mlp model(shape);
  std::mt19937_64 bits(seed);
  std::normal_distribution<float> normal;
  for (int layer = 0; layer < shape.layers(); ++layer) {
    const float scale = std::sqrt(2.0f / static_cast<float>(shape.in(layer)));
    for (float& w : model.weight(layer)) w = scale * normal(bits);
    for (float& b : model.bias(layer)) b = 0.3f * normal(bits);
  }
  return model;
}

ebm::Matrix random_points(std::size_t rows, std::size_t cols, std::uint64_t seed, float scale) {
  ebm::Matrix x(rows, cols);
  std::mt19937_64 bits(seed);
  std::normal_distribution<float> normal;
  for (float& v : x.values()) v = scale * normal(bits);
  return x;
}

ref::Network to_reference(const ebm::Mlp& model) {
  const ebm::MlpShape& shape = model.shape();
  ref::Network network;
  network.dim = shape.dim;
  network.widths = shape.hidden;
  network.activation = to_reference(shape.activation);
  network.logits = shape.head == ebm::Head::logits;
  network.outputs = shape.outputs;
  network.confinement = static_cast<double>(shape.confinement);
  network.parameters = to_reference(model.parameters());
  return network;
}

ebm::Matrix inside(const ebm::Sampler& sampler, ebm::Matrix x) {
  const auto& box = std::visit([](const auto& s) -> const std::optional<ebm::Box>& { return s.clamp; }, sampler);
  if (!box) return x;
  const auto limit = [](const std::vector<float>& side, std::size_t d) { return side.size() == 1 ? side[0] : side[d]; };
  for (std::size_t i = 0; i < x.rows(); ++i) {
    for (std::size_t d = 0; d < x.cols(); ++d) x(i, d) = std::clamp(x(i, d), limit(box->lo, d), limit(box->hi, d));
  }
  return x;
}

namespace {

struct SetField {
  float step_size, jump_prob;
  std::optional<float> grad_clip;
  std::optional<ebm::Box> clamp;
  void operator()(const ebm::Parameter& p, float& value) const {
    if (p.name == "step_size") value = step_size;
    if (p.name == "jump_prob") value = jump_prob;
  }
  void operator()(const ebm::Parameter& p, std::int64_t& value) const {
    if (p.name == "leapfrog_steps") value = 3;
  }
  void operator()(const ebm::Parameter& p, std::optional<float>& value) const {
    if (p.name == "grad_clip") value = grad_clip;
  }
  void operator()(const ebm::Parameter&, std::optional<ebm::Box>& value) const { value = clamp; }
};

}  // namespace

std::vector<ebm::Sampler> exact_samplers(float h, float jump_prob, std::optional<float> grad_clip,
                                         std::optional<ebm::Box> clamp) {
  std::vector<ebm::Sampler> samplers;
  const auto add = [&](ebm::Sampler sampler) {
    const ebm::SamplerKind kind = ebm::kind_of(sampler);
    if (!ebm::is_metropolis(kind)) return;
    // The leapfrog's step moves as far as mala's h = step^2 / 2.
    const float step = kind == ebm::SamplerKind::mala ? h : std::sqrt(2 * h);
    ebm::visit_parameters(sampler, SetField{step, jump_prob, grad_clip, clamp});
    samplers.push_back(std::move(sampler));
  };
#define EBM_TEST_ADD(name, type) add(type{});
  using namespace ebm;
  EBM_SAMPLERS(EBM_TEST_ADD)
#undef EBM_TEST_ADD
  return samplers;
}

ref::Kernel to_reference(const ebm::Transition& transition) {
  ref::Kernel kernel;
  kernel.mala = transition.kind == ebm::SamplerKind::mala;
  kernel.hmc = transition.kind == ebm::SamplerKind::hmc;
  kernel.malt = transition.kind == ebm::SamplerKind::malt;
  kernel.leapfrog_steps = static_cast<int>(transition.evaluations);
  if (kernel.hmc) kernel.jitter = static_cast<double>(transition.own[ebm::HmcTraits::kJitter]);
  if (kernel.malt) kernel.friction = static_cast<double>(transition.own[ebm::MaltTraits::kFriction]);
  kernel.step_size = static_cast<double>(transition.step_size);
  kernel.noise_scale = static_cast<double>(transition.own[ebm::LangevinTraits::kNoiseScale]);
  kernel.grad_clip = static_cast<double>(transition.grad_clip);
  kernel.lo = to_reference(transition.clamp_lo);
  kernel.hi = to_reference(transition.clamp_hi);
  kernel.start_lo = to_reference(transition.start_lo);
  kernel.start_hi = to_reference(transition.start_hi);
  kernel.jump_prob = static_cast<double>(transition.jump_prob);
  kernel.difference_prob = static_cast<double>(transition.difference_prob);
  return kernel;
}

ref::Vector to_reference(std::span<const float> values) { return {values.begin(), values.end()}; }

std::vector<ref::Vector> to_reference(ebm::MatrixView x) {
  std::vector<ref::Vector> rows;
  for (std::size_t i = 0; i < x.rows; ++i) rows.push_back(to_reference(x.row(i)));
  return rows;
}

double relative_error(std::span<const float> a, const ref::Vector& b) {
  if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
  double error = 0, size = 0;
  for (std::size_t i = 0; i < b.size(); ++i) {
    const double difference = static_cast<double>(a[i]) - b[i];
    error += difference * difference;
    size += b[i] * b[i];
  }
  const double result = std::sqrt(error) / std::max(std::sqrt(size), 1e-30);
  return std::isfinite(result) ? result : std::numeric_limits<double>::infinity();
}

ref::Vector flatten(const std::vector<ref::Vector>& rows) {
  ref::Vector all;
  for (const ref::Vector& row : rows) all.insert(all.end(), row.begin(), row.end());
  return all;
}

}  // namespace support
