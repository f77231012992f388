#include "host/cuda/mma.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "ebmcuda/error.hpp"
#include "ebmcuda/sampler.hpp"
#include "host/cuda/runtime_compiler.hpp"

namespace ebm::cuda {
namespace {

constexpr int kMostDim = 256, kMostWidth = 256;

int rounded_up(int n, int step) { return (n + step - 1) / step * step; }

// Whether a network runs in a compiled shape, padded with zeros.
bool holds(const MmaShape& compiled, const MmaShape& own, int dim) {
  if (compiled.layers != own.layers || compiled.activation != own.activation) return false;
  if (compiled.exact ? compiled.dim != dim : compiled.dim < dim) return false;
  return std::ranges::equal(own.width, compiled.width, [](int need, int has) { return need <= has; });
}

std::span<const int> widths_of(const MmaShape& shape) {
  return std::span(shape.width).first(static_cast<std::size_t>(shape.layers));
}

}  // namespace

std::string_view name_of(Precision precision) {
  switch (precision) {
    case Precision::fp32:
      return "fp32";
    case Precision::fp16:
      return "fp16";
    case Precision::fp16x3:
      return "fp16x3";
  }
  return "?";
}

std::optional<MmaShape> own_mma_shape(const MlpShape& shape) {
  if (shape.head != Head::scalar || shape.dim > kMostDim || shape.hidden.size() > std::size_t{kMaxHidden} ||
      *std::ranges::max_element(shape.hidden) > kMostWidth) {
    return {};
  }
  MmaShape own{};
  own.dim = rounded_up(shape.dim, 16);
  own.exact = own.dim == shape.dim;
  own.layers = static_cast<int>(shape.hidden.size());
  std::ranges::transform(shape.hidden, own.width, [](int width) { return rounded_up(width, 32); });
  own.activation = static_cast<ActivationKind>(shape.activation);
  return own;
}

std::optional<MmaShape> choose_mma_shape(const MlpShape& shape, bool runtime_compiler) {
  const auto own = own_mma_shape(shape);
  if (!own) return {};
  for (const MmaShape& compiled : kCompiledMmaShapes) {
    const bool snug = compiled.dim == own->dim && std::ranges::equal(compiled.width, own->width);
    if (holds(compiled, *own, shape.dim) && (snug || !runtime_compiler)) return compiled;
  }
  return runtime_compiler ? own : std::nullopt;
}

std::optional<MmaPlan> choose_mma_plan(const MmaShape& shape, const MmaVariant& variant, const DeviceLimits& limits,
                                       std::int64_t n) {
  const std::int64_t tiles = (n + kMmaRows - 1) / kMmaRows;
  const auto wanted = std::clamp<std::int64_t>((tiles + limits.multiprocessors - 1) / limits.multiprocessors, 1,
                                               MmaState::of(shape, variant).most_warps);
  for (auto warps = static_cast<int>(wanted); warps >= 1; --warps) {
    const auto bytes = static_cast<std::size_t>(mma_shared_bytes(shape, variant, warps));
    if (bytes > limits.shared_per_block) continue;
    const std::int64_t blocks = std::clamp<std::int64_t>((tiles + warps - 1) / warps, 1, limits.multiprocessors);
    return MmaPlan{warps, static_cast<int>(blocks), bytes};
  }
  return {};
}

std::string mma_kernel_source(const MmaShape& shape, const MmaVariant& variant) {
  return fmt::format(
      "#include \"kernels/chains/mma_chains.cuh\"\n"
      "struct Instance {{\n"
      "  static constexpr ebm::MmaShape kShape{{{}, {}, {}, {{{}}}, static_cast<ebm::ActivationKind>({})}};\n"
      "  static constexpr ebm::MmaVariant kVariant{{{}, static_cast<ebm::SamplerKind>({}), {}, {}, {}, {}, {}}};\n"
      "}};\n"
      "extern \"C\" __global__ void __launch_bounds__(ebm::kMmaThreads<Instance>, 1)\n"
      "    mma_chains(const __grid_constant__ ebm::MmaArguments a) {{\n"
      "  ebm::run_mma_chains<Instance>(a);\n"
      "}}\n",
      shape.dim, shape.exact, shape.layers, fmt::join(widths_of(shape), ", "), static_cast<int>(shape.activation),
      variant.split, static_cast<int>(variant.kind), variant.metropolis, variant.rows, variant.limited,
      variant.tempered, variant.fixes);
}

std::string why_no_mma(const MlpShape& shape, Precision precision) {
  if (own_mma_shape(shape) && !choose_mma_shape(shape, runtime_compiler_available())) {
    return fmt::format("the {} kernel of this shape is compiled at run time, and there is no compiler, libnvrtc",
                       name_of(precision));
  }
  return fmt::format("no {} kernel holds this network on this device", name_of(precision));
}

void check_half_range(const MlpShape& shape, std::span<const float> parameters, Precision precision) {
  if (precision == Precision::fp32) return;
  const float limit = 65504.0f / mma_scale(static_cast<ActivationKind>(shape.activation));
  std::span<const float> rest = parameters;
  for (int l = 0; l + 1 < shape.layers(); ++l) {
    const auto out = static_cast<std::size_t>(shape.out(l)), weights = out * static_cast<std::size_t>(shape.in(l));
    for (const float w : rest.first(weights)) {
      if (std::abs(w) <= limit || !std::isfinite(w)) continue;
      throw ConfigError("precision", std::string(name_of(precision)),
                        fmt::format("net.{}.weight holds {:g}, and chains in half precision take weights up to {:g}; "
                                    "use fp32",
                                    l, w, limit));
    }
    rest = rest.subspan(weights + out);
  }
}

std::shared_ptr<MmaNetwork> MmaNetwork::make(const Network& network, const MlpShape& shape, Precision precision,
                                             const float* parameters) {
  if (precision == Precision::fp32) return nullptr;
  const auto chosen = choose_mma_shape(shape, runtime_compiler_available());
  if (!chosen) return nullptr;
  std::shared_ptr<MmaNetwork> mma(new MmaNetwork(network, *chosen, precision == Precision::fp16x3));
  if (std::ranges::none_of(kSamplerKinds, [&](SamplerKind kind) { return mma->serves(kind); })) return nullptr;
  mma->bytes_ = DeviceArray<unsigned char>(mma->context_, MmaImage::bytes(*chosen));
  mma->fill(parameters, nullptr, network.context()->stream());
  return mma;
}

MmaNetwork::MmaNetwork(const Network& network, const MmaShape& shape, bool split)
    : context_(network.context()), net_(network.view()), limits_(network.limits()), shape_(shape), split_(split) {}

bool MmaNetwork::serves(SamplerKind kind, bool tempered, bool fixes) const {
  const MmaVariant variant = mma_variant(split_, kind, false, tempered, fixes);
  if (compiled_mma_kernel(shape_, variant) == nullptr && !runtime_compiler_available()) return false;
  return choose_mma_plan(shape_, variant, limits_, 1).has_value();
}

MmaVariant MmaNetwork::variant_of(const StepView& step, bool tempered, bool fixes) const {
  return mma_variant(split_, step.kind, std::isfinite(step.grad_clip) || step.clamp_lo != nullptr, tempered, fixes);
}

void MmaNetwork::fill(const float* parameters, const int* stopped, cudaStream_t stream) {
  context_->check(launch_fill_mma_image(net_, shape_, {bytes_.data()}, parameters, stopped, stream),
                  "laying out the half-precision weights");
}

const void* MmaNetwork::prepare(const StepView& step, bool tempered, bool fixes) {
  const MmaVariant variant = variant_of(step, tempered, fixes);
  const std::scoped_lock lock(mutex_);
  const auto known = std::ranges::find(kernels_, variant, &std::pair<MmaVariant, const void*>::first);
  if (known != kernels_.end()) return known->second;
  const void* kernel = compiled_mma_kernel(shape_, variant);
  if (kernel == nullptr) {
    const RuntimeKernel compiled = runtime_kernel(*context_, mma_kernel_source(shape_, variant), "mma_chains");
    kernel = compiled.function;
    if (!compiled.cached) seconds_ += compiled.seconds;
  }
  kernels_.emplace_back(variant, kernel);
  return kernel;
}

void MmaNetwork::launch(const ChainsView& chains, const StepView& step, std::int64_t n, ChainCounts* counts,
                        cudaStream_t stream) {
  const bool tempered = chains.beta != nullptr, fixes = chains.fixed != nullptr;
  const void* const kernel = prepare(step, tempered, fixes);
  const auto plan = choose_mma_plan(shape_, variant_of(step, tempered, fixes), limits_, chains.n);
  const MmaArguments arguments{net_, {bytes_.data()}, chains, step, n, counts};
  context_->check(launch_mma_chains(kernel, plan.value(), arguments, context_->kernel_limits(), stream),
                  "launching the tensor-core chains");
}

std::string MmaNetwork::describe() const {
  const std::scoped_lock lock(mutex_);
  std::string text = fmt::format("tensor-core {} kernel {}-{}", split_ ? "fp16x3" : "fp16", shape_.dim,
                                 fmt::join(widths_of(shape_), "-"));
  const bool ahead = compiled_mma_kernel(shape_, mma_variant(split_, SamplerKind::langevin)) != nullptr;
  if (!ahead) text += seconds_ > 0.0 ? fmt::format(", compiled in {:.1f} s", seconds_) : ", compiled at run time";
  std::vector<std::string_view> others;
  for (const SamplerKind kind : kSamplerKinds) {
    if (!serves(kind)) others.push_back(to_string(kind));
  }
  if (!others.empty()) {
    text += fmt::format("; {} in fp32, which is all that {}", fmt::join(others, ", "),
                        runtime_compiler_available() ? "fits" : "fits or is compiled");
  }
  return text;
}

}  // namespace ebm::cuda
