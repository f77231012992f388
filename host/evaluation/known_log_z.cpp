#include "ebmcuda/known_log_z.hpp"

#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include "host/core/check.hpp"
#include "host/core/fingerprint.hpp"
#include "host/data/transform_parts.hpp"
#include "host/files/text.hpp"

namespace ebm {
namespace {

constexpr const char *kValue = "log_z", *kError = "log_z_error", *kMethod = "log_z_method", *kModel = "log_z_of";
constexpr const char* kBox = "clamp";  // where p(x) > 0: the note of the model's sampler

void add_text(Fingerprint* fingerprint, std::string_view text) {
  fingerprint->add(text.size());
  for (const char c : text) fingerprint->add(static_cast<unsigned char>(c));
}

template <class Values>
void add_values(Fingerprint* fingerprint, const Values& values) {
  fingerprint->add(values.size());
  for (const auto value : values) {
    using Value = std::remove_const_t<decltype(value)>;
    if constexpr (std::is_same_v<Value, float>) {
      fingerprint->add(std::bit_cast<std::uint32_t>(value));
    } else {
      fingerprint->add(std::bit_cast<std::uint64_t>(value));
    }
  }
}

// Of everything that decides log Z.
std::string fingerprint_of(const Mlp& model) {
  Fingerprint fingerprint;
  const MlpShape& shape = model.shape();
  for (int layer = 0; layer < shape.layers(); ++layer) {
    fingerprint.add(static_cast<std::uint64_t>(shape.in(layer)));
    fingerprint.add(static_cast<std::uint64_t>(shape.out(layer)));
  }
  add_text(&fingerprint, to_string(shape.activation));
  add_text(&fingerprint, to_string(shape.head));
  fingerprint.add(std::bit_cast<std::uint32_t>(shape.confinement));
  add_values(&fingerprint, model.parameters());
  add_text(&fingerprint, to_string(model.transform().kind()));
  if (const auto& affine = model.standardization()) {
    add_values(&fingerprint, affine->mean);
    add_values(&fingerprint, affine->std);
  }
  const TransformArrays arrays = arrays_of(model.transform());
  visit_arrays(model.transform().kind(), arrays,
               [&](const char*, const auto& values, int) { add_values(&fingerprint, values); });
  if (const auto box = model.notes().find(kBox); box != model.notes().end()) add_text(&fingerprint, box->second);
  return fmt::format("{:016x}", fingerprint.value());
}

}  // namespace

void note_log_z(Mlp& model, const KnownLogZ& log_z) {
  require(std::isfinite(log_z.value), "log_z", log_z.value, "must be finite");
  require_non_negative("log_z_error", log_z.error);
  require(!log_z.method.empty(), "log_z_method", "\"\"", "must say how log Z was found");
  auto& notes = model.notes();
  notes[kValue] = fmt::format("{}", log_z.value);
  notes[kError] = fmt::format("{}", log_z.error);
  notes[kMethod] = log_z.method;
  notes[kModel] = fingerprint_of(model);
}

bool has_log_z_note(const Mlp& model) { return model.notes().contains(kValue); }

std::optional<KnownLogZ> noted_log_z(const Mlp& model) {
  const auto note = [&](const char* key) -> std::string {
    const auto it = model.notes().find(key);
    return it == model.notes().end() ? "" : it->second;
  };
  const auto value = parse_number<double>(note(kValue)), error = parse_number<double>(note(kError));
  const std::string method = note(kMethod);
  // Notes are anybody's; what is not written as above says nothing.
  if (!value || !error || !std::isfinite(*value) || !std::isfinite(*error) || *error < 0 || method.empty()) return {};
  if (note(kModel) != fingerprint_of(model)) return {};
  return KnownLogZ{*value, *error, method};
}

}  // namespace ebm
