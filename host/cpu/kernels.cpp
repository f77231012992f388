// The one file that Highway compiles again for every instruction set; the rest of the CPU engine calls through here.
#include "host/cpu/kernels.hpp"

// Instruction sets between these add compile time and nothing for this code. Vectors of unknown length (SVE, RVV) can't
// be members of arrays, which the register tiles are.
#define HWY_DISABLED_TARGETS (HWY_SSE4 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "host/cpu/kernels.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "host/cpu/gradient-inl.h"
#include "host/cpu/network-inl.h"
#include "host/cpu/outer_product-inl.h"
#include "host/cpu/simd_math-inl.h"
#include "host/cpu/strip_layout-inl.h"
#include "host/cpu/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ebm::cpu {
namespace HWY_NAMESPACE {

std::size_t StripWidth() { return kStrip; }
int PanelHeight() { return kPanelHeight; }
const char* InstructionSet() { return hwy::TargetName(HWY_TARGET); }

void ActivationValues(Activation activation, const float* z, std::size_t n, float* value, float* derivative) {
  HWY_ALIGN float in[kStrip], out[kStrip];
  for (std::size_t i = 0; i < n; i += kStrip) {
    for (std::size_t j = 0; j < kStrip; ++j) in[j] = z[HWY_MIN(i + j, n - 1)];
    activate(activation, in, out, kStrip);
    for (std::size_t j = 0; j < kStrip && i + j < n; ++j) {
      value[i + j] = in[j];
      derivative[i + j] = out[j];
    }
  }
}

void NormalPairs(const std::uint32_t* words_a, const std::uint32_t* words_b, std::size_t n, float* n_a, float* n_b) {
  HWY_ALIGN std::uint32_t a[kLanes], b[kLanes];
  HWY_ALIGN float out_a[kLanes], out_b[kLanes];
  for (std::size_t i = 0; i < n; i += kLanes) {
    for (std::size_t j = 0; j < kLanes; ++j) {
      a[j] = words_a[HWY_MIN(i + j, n - 1)];
      b[j] = words_b[HWY_MIN(i + j, n - 1)];
    }
    const NormalPair pair = normal_pair(hn::Load(U(), a), hn::Load(U(), b));
    hn::Store(pair.a, F(), out_a);
    hn::Store(pair.b, F(), out_b);
    for (std::size_t j = 0; j < kLanes && i + j < n; ++j) {
      n_a[i + j] = out_a[j];
      n_b[i + j] = out_b[j];
    }
  }
}

void LogUnits(const std::uint32_t* words, std::size_t n, float* values) {
  HWY_ALIGN std::uint32_t in[kLanes];
  HWY_ALIGN float out[kLanes];
  for (std::size_t i = 0; i < n; i += kLanes) {
    for (std::size_t j = 0; j < kLanes; ++j) in[j] = words[HWY_MIN(i + j, n - 1)];
    hn::Store(log_unit(hn::Load(U(), in)), F(), out);
    for (std::size_t j = 0; j < kLanes && i + j < n; ++j) values[i + j] = out[j];
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace ebm::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ebm::cpu {

HWY_EXPORT(StripWidth);
HWY_EXPORT(PanelHeight);
HWY_EXPORT(InstructionSet);
HWY_EXPORT(LoadStrip);
HWY_EXPORT(StoreStrip);
HWY_EXPORT(EvaluateStrip);
HWY_EXPORT(OutputsStrip);
HWY_EXPORT(BaseEnergyStrip);
HWY_EXPORT(UniformStartStrip);
HWY_EXPORT(RunStrip);
HWY_EXPORT(ParameterGradientStrip);
HWY_EXPORT(PackedUnits);
HWY_EXPORT(PackedPlaceOf);
HWY_EXPORT(PackStrip);
HWY_EXPORT(OuterProduct);
HWY_EXPORT(AddArrays);
HWY_EXPORT(ActivationValues);
HWY_EXPORT(NormalPairs);
HWY_EXPORT(LogUnits);

std::size_t strip_width() { return HWY_DYNAMIC_DISPATCH(StripWidth)(); }
int panel_height() { return HWY_DYNAMIC_DISPATCH(PanelHeight)(); }
const char* instruction_set() { return HWY_DYNAMIC_DISPATCH(InstructionSet)(); }

void load_strip(const float* x, std::size_t count, int dim, float* strip) {
  HWY_DYNAMIC_DISPATCH(LoadStrip)(x, count, dim, strip);
}
void store_strip(const float* strip, std::size_t count, int dim, float* x) {
  HWY_DYNAMIC_DISPATCH(StoreStrip)(strip, count, dim, x);
}
void evaluate_strip(const PackedNetwork& network, const float* x, const EvaluationBuffers& buffers, float* energy,
                    float* gradient) {
  HWY_DYNAMIC_DISPATCH(EvaluateStrip)(network, x, buffers, energy, gradient);
}
void outputs_strip(const PackedNetwork& network, const float* x, const EvaluationBuffers& buffers, float* outputs) {
  HWY_DYNAMIC_DISPATCH(OutputsStrip)(network, x, buffers, outputs);
}
void base_energy_strip(const BaseView& base, int dim, const float* x, float* work, float* energy, float* gradient) {
  HWY_DYNAMIC_DISPATCH(BaseEnergyStrip)(base, dim, x, work, energy, gradient);
}
void uniform_start_strip(std::uint64_t seed, int dim, const StartRegion& region, const std::uint64_t* ids,
                         const std::uint64_t* steps, float* x) {
  HWY_DYNAMIC_DISPATCH(UniformStartStrip)(seed, dim, region, ids, steps, x);
}
void run_strip(SamplerKind kind, const PackedNetwork& network, const StepParameters& parameters, std::int64_t n,
               const StripState& state, const StripScratch& scratch, ChainStats* counts) {
  HWY_DYNAMIC_DISPATCH(RunStrip)(kind, network, parameters, n, state, scratch, counts);
}
void parameter_gradient_strip(const PackedNetwork& network, const float* x, const EvaluationBuffers& buffers,
                              const GradientWeights& weights, float* energy, float* cross_entropy) {
  HWY_DYNAMIC_DISPATCH(ParameterGradientStrip)(network, x, buffers, weights, energy, cross_entropy);
}
int packed_units(Packing packing, int units) { return HWY_DYNAMIC_DISPATCH(PackedUnits)(packing, units); }
PackedPlace packed_place(Packing packing, int units, int u) {
  return HWY_DYNAMIC_DISPATCH(PackedPlaceOf)(packing, units, u);
}
void pack_strip(Packing packing, const float* strip, int units, int all_units, std::size_t first_row, float* packed) {
  HWY_DYNAMIC_DISPATCH(PackStrip)(packing, strip, units, all_units, first_row, packed);
}
void outer_product(const float* left, const float* right, int rows, int first, int last, int right_units,
                   float* products) {
  HWY_DYNAMIC_DISPATCH(OuterProduct)(left, right, rows, first, last, right_units, products);
}
void add_arrays(float* to, const float* from, std::size_t n) { HWY_DYNAMIC_DISPATCH(AddArrays)(to, from, n); }
void activation_values(Activation activation, const float* z, std::size_t n, float* value, float* derivative) {
  HWY_DYNAMIC_DISPATCH(ActivationValues)(activation, z, n, value, derivative);
}
void normal_pairs(const std::uint32_t* words_a, const std::uint32_t* words_b, std::size_t n, float* n_a, float* n_b) {
  HWY_DYNAMIC_DISPATCH(NormalPairs)(words_a, words_b, n, n_a, n_b);
}
void log_units(const std::uint32_t* words, std::size_t n, float* values) {
  HWY_DYNAMIC_DISPATCH(LogUnits)(words, n, values);
}

}  // namespace ebm::cpu
#endif  // HWY_ONCE
