#include "host/cuda/layered.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <optional>
#include <string_view>

#include "host/core/check.hpp"
#include "host/engine/engine.hpp"
#include "host/files/text.hpp"
#include "kernels/energy/layered.hpp"

namespace ebm::cuda {
namespace {

std::string_view variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// Of EBMCUDA_LAYERED_CHUNK; none where it is not set.
std::optional<std::int64_t> wanted_chunk() {
  const std::string_view text = variable("EBMCUDA_LAYERED_CHUNK");
  if (text.empty()) return {};
  const auto chunk = parse_number<std::int64_t>(text);
  require(chunk && *chunk >= 1 && *chunk <= 65536, "EBMCUDA_LAYERED_CHUNK", text, "must be a number in 1 .. 65536");
  return chunk;
}

int hidden_of(const NetworkView& net) { return net.layers - 1; }

// Floats for each point of a chunk, with the rows of the samplers that have most.
std::int64_t floats_of(const NetworkView& net) {
  std::int64_t floats = 6 * padded(net.dim);
  int widest = 0;
  for (int l = 0; l < hidden_of(net); ++l) {
    floats += net.layer[l].out_pad;
    widest = std::max(widest, net.layer[l].out_pad);
  }
  return floats + widest;
}

}  // namespace

PathCost path_cost(const NetworkView& net, const DeviceLimits& limits) {
  constexpr double kProducts = 128, kBytes = 28;  // a clock
  double weights = 0, units = 0;
  for (int l = 0; l < net.layers; ++l) {
    weights += static_cast<double>(net.layer[l].in) * net.layer[l].out;
    if (l < hidden_of(net)) units += net.layer[l].out;
  }
  const double arithmetic = 2 * weights / kProducts;

  constexpr std::int64_t kMany = std::int64_t{1} << 30;
  const TileLayout layout = tile_layout(net, {.rows = MalaTraits::kRows});
  const TilePolicy policy = choose_policy(net, layout, limits, kMany);
  // The weights forward and back once for each tile; without shared memory also what they are multiplied by, once for
  // the four units that a thread makes.
  double bytes = policy.weights_shared ? 0 : 4 * 2 * weights / policy.tile;
  if (!policy.state_shared) bytes += 4 * 2 * weights / 4;
  const double fused = std::max(arithmetic, bytes / kBytes);

  // A unit is written and read by its product, its activation, the next product and the same on the way back: 9 times;
  // a dimension 8 times. Nothing of that happens beside a product.
  const double layered = arithmetic + 4 * (9 * units + 8 * net.dim) / kBytes;
  return {fused, layered};
}

std::int64_t layered_chunk(const NetworkView& net) {
  // Half of an H100's second-level cache; at least as many rows as keep its multiprocessors busy, at most what it takes
  // for the launches not to count.
  constexpr std::int64_t kFloats = (std::int64_t{24} << 20) / 4;
  const auto fits = static_cast<std::uint64_t>(std::max<std::int64_t>(kFloats / floats_of(net), 1));
  return std::clamp<std::int64_t>(static_cast<std::int64_t>(std::bit_floor(fits)), 1024, 4096);
}

LayeredChoice choose_layered(const Network& network) {
  const std::string_view way = variable("EBMCUDA_LAYERED");
  if (way == "off") return {};
  const PathCost cost = path_cost(network.view(), network.limits());
  if (way != "on" && cost.layered >= cost.fused) return {};
  const CublasLt* const library = CublasLt::find();
  if (library == nullptr) return {nullptr, "the layered path would cost less, and no libcublasLt was found"};
  try {
    return {std::make_shared<const LayeredNetwork>(network, *library), {}};
  } catch (const DeviceError& error) {
    if (error.sticky()) throw;
    return {nullptr, fmt::format("the layered path would cost less: {}", error.what())};
  }
}

LayeredNetwork::LayeredNetwork(const Network& network, const CublasLt& library)
    : context_(network.context()),
      net_(network.view()),
      chunk_(wanted_chunk().value_or(layered_chunk(net_))),
      handle_(std::make_shared<const CublasLtHandle>(library, context_)) {
  // A scalar head is a sum for each point, and its slopes are the weights: no products.
  const int products = hidden_of(net_) + (net_.logits ? 1 : 0);
  for (int l = 0; l < products; ++l) {
    const LayerView& layer = net_.layer[l];
    forward_.push_back(product(layer, true, net_.image + layer.bias));
    backward_.push_back(product(layer, false));
  }
}

Product LayeredNetwork::product(const LayerView& layer, bool transposed, const float* bias) const {
  const int inner = transposed ? layer.in_pad : layer.out_pad, outer = transposed ? layer.out_pad : layer.in_pad;
  return Product(handle_, {chunk_, inner, outer, layer.pitch, transposed}, bias);
}

std::string LayeredNetwork::describe() const {
  const CublasLt& library = handle_->library();
  const PathCost cost =
      path_cost(net_, {context_->properties().multiProcessorCount, context_->properties().sharedMemPerBlockOptin});
  return fmt::format("layered fp32, {}, chunks of {} (cost rule: {:.0f} clocks a step, fused {:.0f})", library.name(),
                     chunk_, cost.layered, cost.fused);
}

LayeredWork::LayeredWork(std::shared_ptr<const LayeredNetwork> network, bool base)
    : network_(std::move(network)), context_(network_->context()) {
  const NetworkView& net = network_->view();
  std::size_t floats = 0;
  std::vector<std::pair<float**, std::size_t>> places;
  const auto place = [&](float** at, std::size_t size) {
    places.emplace_back(at, floats);
    floats += (size + 63) / 64 * 64;  // at 256 bytes
  };
  z_.resize(static_cast<std::size_t>(hidden_of(net)));
  int widest = 0;
  for (int l = 0; l < hidden_of(net); ++l) {
    place(&z_[static_cast<std::size_t>(l)], matrix(net.layer[l].out));
    widest = std::max(widest, net.layer[l].out);
  }
  place(&a_, matrix(widest));
  if (net.logits) place(&f_, matrix(net.outputs));
  place(&energy_, static_cast<std::size_t>(network_->chunk()));
  place(&own_gradient_, matrix(net.dim));
  if (base) {
    place(&base_energy_, static_cast<std::size_t>(network_->chunk()));
    for (float** at : {&base_gradient_, &difference_, &residual_}) place(at, matrix(net.dim));
    const LayerView root = square_layer_view(net.dim);
    base_.push_back(network_->product(root, true));
    base_.push_back(network_->product(root, false));
  }
  memory_ = DeviceArray<float>(context_, floats);
  // The rows of a chunk that are not in use are multiplied too, and padding is read.
  memory_.fill_zero();
  for (const auto& [at, offset] : places) *at = memory_.data() + offset;
}

std::size_t LayeredWork::matrix(int width) const {
  return static_cast<std::size_t>(network_->chunk()) * static_cast<std::size_t>(padded(width));
}

void LayeredWork::reserve(int rows, bool states) {
  if (states && states_.empty()) {
    states_ = DeviceArray<unsigned char>(context_, static_cast<std::size_t>(network_->chunk()) * kStateBytes);
  }
  if (rows <= reserved_) return;
  rows_ = {};
  rows_ = DeviceArray<float>(context_, static_cast<std::size_t>(rows) * matrix(network_->view().dim));
  rows_.fill_zero();
  reserved_ = rows;
}

void LayeredWork::prepare(SamplerKind kind) {
  reserve(rows_of(kind), is_metropolis_kind(kind));
  evaluate_rows(row(kX), network_->chunk(), network_->view().half_confinement, row(kGradient), context_->stream());
}

float* LayeredWork::row(int number) {
  return rows_.data() + static_cast<std::size_t>(number) * matrix(network_->view().dim);
}

void LayeredWork::forward_hidden(const float* x, std::int64_t count, cudaStream_t stream) {
  const NetworkView& net = network_->view();
  const float* input = x;
  for (int l = 0; l < hidden_of(net); ++l) {
    float* const z = z_[static_cast<std::size_t>(l)];
    network_->forward(l).queue(net.image + net.layer[l].weight, input, 0.0f, nullptr, z, stream);
    // A scalar head takes z itself.
    if (l + 1 == hidden_of(net) && !net.logits) break;
    context_->check(launch_activate(net.activation, z, a_, {count, net.layer[l].out}, stream),
                    "launching the activations");
    input = a_;
  }
}

void LayeredWork::evaluate_outputs(const float* x, std::int64_t count, cudaStream_t stream) {
  const NetworkView& net = network_->view();
  const int head = hidden_of(net);
  forward_hidden(x, count, stream);
  network_->forward(head).queue(net.image + net.layer[head].weight, a_, 0.0f, nullptr, f_, stream);
}

void LayeredWork::evaluate_rows(const float* x, std::int64_t count, float half_confinement, float* gradient,
                                cudaStream_t stream) {
  const NetworkView& net = network_->view();
  const int hidden = hidden_of(net);
  const LayerView& last = net.layer[hidden];
  LayeredHead head{};
  head.size = {count, net.logits ? net.outputs : last.in};
  head.x = x;
  head.dim = net.dim;
  head.half_confinement = half_confinement;
  head.weight = net.image + last.weight;
  head.bias = net.image + last.bias;
  head.slopes = gradient != nullptr;
  head.energy = energy_;
  const auto slope = [&](int l) {
    context_->check(
        launch_slope(net.activation, a_, z_[static_cast<std::size_t>(l)], {count, net.layer[l].out}, stream),
        "launching the slopes");
  };
  const auto back = [&](int l, const float* delta, float beta, float* to) {
    network_->backward(l).queue(net.image + net.layer[l].weight, delta, beta, x, to, stream);
  };
  if (net.logits) {
    evaluate_outputs(x, count, stream);
    context_->check(launch_logits_head(head, f_, stream), "launching the energies");
  } else {
    forward_hidden(x, count, stream);
    context_->check(launch_scalar_head(net.activation, head, z_.back(), stream), "launching the energies");
  }
  if (gradient == nullptr) return;
  if (net.logits) {
    back(hidden, f_, 0.0f, a_);
    slope(hidden - 1);
  }
  for (int l = hidden - 1; l >= 1; --l) {
    back(l, z_[static_cast<std::size_t>(l)], 0.0f, a_);
    slope(l - 1);
  }
  back(0, z_.front(), 2.0f * half_confinement, gradient);
}

void LayeredWork::evaluate_base(const BaseView& base, const float* x, std::int64_t count, cudaStream_t stream) {
  const LayeredRows size{count, network_->view().dim};
  context_->check(launch_difference(x, base.mean, difference_, size, stream), "launching the base's energies");
  base_[0].queue(base.root, difference_, 0.0f, nullptr, residual_, stream);
  context_->check(launch_half_square(residual_, base_energy_, size, stream), "launching the base's energies");
  base_[1].queue(base.root, residual_, 0.0f, nullptr, base_gradient_, stream);
}

void LayeredWork::evaluate(const EvaluateView& view, float half_confinement, cudaStream_t stream) {
  const NetworkView& net = network_->view();
  reserve(2, false);
  float* const x = row(kX);
  const auto give = [&](const float* from, int pitch, float* to, int width, std::int64_t first, std::int64_t count) {
    context_->check(launch_copy_rows(from, pitch, to + first * width, width, {count, width}, stream),
                    "launching the energies");
  };
  for (std::int64_t first = 0; first < view.n; first += network_->chunk()) {
    const std::int64_t count = std::min(network_->chunk(), view.n - first);
    context_->check(launch_copy_rows(view.x + first * net.dim, net.dim, x, padded(net.dim), {count, net.dim}, stream),
                    "launching the energies");
    if (view.outputs != nullptr) {
      evaluate_outputs(x, count, stream);
      give(f_, padded(net.outputs), view.outputs, net.outputs, first, count);
      continue;
    }
    evaluate_rows(x, count, half_confinement, view.gradient == nullptr ? nullptr : row(kGradient), stream);
    if (view.energy != nullptr) give(energy_, 1, view.energy, 1, first, count);
    if (view.gradient != nullptr) give(row(kGradient), padded(net.dim), view.gradient, net.dim, first, count);
    if (view.base_energy == nullptr) continue;
    evaluate_base(view.base, x, count, stream);
    give(base_energy_, 1, view.base_energy, 1, first, count);
  }
}

void LayeredWork::run_chunk(const LayeredChunk& chunk, std::int64_t n, cudaStream_t stream) {
  const bool metropolis = is_metropolis_kind(chunk.step.kind);
  const float half_confinement = network_->view().half_confinement;
  const int to = gradient_row(metropolis, chunk.chains, chunk.step);
  float* const x = chunk.row(evaluated_row(metropolis));
  float* const gradient = to < 0 ? own_gradient_ : chunk.row(to);
  const auto evaluate = [&] {
    evaluate_rows(x, chunk.count, half_confinement, gradient, stream);
    if (chunk.step.base.root != nullptr) evaluate_base(chunk.step.base, x, chunk.count, stream);
  };
  const auto stage = [&](std::int64_t e) { context_->check(launch_stage(chunk, e, stream), "launching the chains"); };

  context_->check(launch_open_chunk(chunk, stream), "launching the chains");
  const std::int64_t total = n * chunk.step.evaluations;
  const bool known = chunk.chains.energy != nullptr && chunk.chains.known;
  std::int64_t e = 0;
  if (metropolis) stage(e = known ? 0 : -2);
  while (e < total) {
    evaluate();
    stage(++e);
  }
  context_->check(launch_close_chunk(chunk, stream), "launching the chains");
}

void LayeredWork::run(const ChainsView& chains, const StepView& step, std::int64_t n, ChainCounts* counts,
                      cudaStream_t stream) {
  const NetworkView& net = network_->view();
  reserve(rows_of(step.kind), is_metropolis_kind(step.kind));
  LayeredChunk chunk{};
  chunk.chains = chains;
  chunk.step = step;
  chunk.dim = net.dim;
  chunk.transitions = n;
  chunk.stride = static_cast<std::int64_t>(matrix(net.dim));
  chunk.rows = row(0);
  chunk.energy = energy_;
  chunk.base_energy = base_energy_;
  chunk.own_gradient = own_gradient_;
  chunk.base_gradient = base_gradient_;
  chunk.states = states_.data();
  chunk.counts = counts;
  for (; chunk.first < chains.n; chunk.first += network_->chunk()) {
    chunk.count = std::min(network_->chunk(), chains.n - chunk.first);
    run_chunk(chunk, n, stream);
  }
}

}  // namespace ebm::cuda
