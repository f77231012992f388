#include "tools/transform_options.hpp"

#include <fmt/format.h>

#include "ebmcuda/dataset.hpp"
#include "ebmcuda/error.hpp"

namespace ebm::tools {
namespace {

constexpr std::string_view kAuto = "auto";

std::string parse_name(std::string_view text, std::string_view option) {
  if (text == kAuto) return std::string(text);
  try {
    return std::string(to_string(parse_transform_kind(text, option)));
  } catch (const ConfigError& error) {
    throw ConfigError(error.field(), error.value(), error.allowed() + " auto");
  }
}

void warn_of_whole_numbers(const Data& data, const Console& console) {
  const auto whole = whole_columns(data.x);
  if (whole.empty()) return;
  console.warn(
      "{} of {} columns hold whole numbers only (the first is column {}), which have no density: "
      "--dequantize 1 gives them one",
      whole.size(), data.x.cols(), whole.front());
}

}  // namespace

void TransformOption::add(CommandLine& line) {
  line.add_choice("--transform", name, parse_name,
                  "the model's coordinates: auto none standardize whiten marginals or marginals+whiten");
  line.add_switch("--standardize,!--no-standardize", standardize, "--transform standardize, or none");
}

std::optional<TransformKind> TransformOption::kind() const {
  std::optional<TransformKind> kind;
  if (standardize) kind = *standardize ? TransformKind::standardize : TransformKind::none;
  if (!name) return kind;
  if (kind && *name != to_string(*kind)) {
    throw ConfigError("--transform", *name,
                      *standardize ? "--standardize is given too" : "--no-standardize is given too");
  }
  if (*name == kAuto) return std::nullopt;
  return parse_transform_kind(*name);
}

Transform TransformOption::fit(const Data& data, float dequantize, std::uint64_t seed, bool clamped,
                               const Console& console) const {
  if (dequantize == 0) warn_of_whole_numbers(data, console);
  std::optional<TransformKind> given = kind();
  std::string why;
  if (!given) {
    const TransformChoice choice = choose_transform(data.x, dequantize, clamped);
    given = choice.kind;
    why = fmt::format(", chosen for {}; --transform chooses another", choice.why);
  }
  // From the sums in double that the reader took before values became float.
  const Transform transform = *given == TransformKind::standardize
                                  ? Transform(data.standardization(dequantize))
                                  : Transform::fit(*given, data.x, {.dequantize = dequantize, .seed = seed});
  console.info("transform {}{}", transform.describe(), why);
  return transform;
}

}  // namespace ebm::tools
