#include "tools/model_box.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "ebmcuda/error.hpp"
#include "tools/console.hpp"
#include "tools/sampler_options.hpp"

namespace ebm::tools {
namespace {

// A box has one value for all dimensions or one for each.
float side(const std::vector<float>& values, std::size_t d) { return values.size() == 1 ? values[0] : values[d]; }

// What two boxes share; nothing when that is nothing.
std::optional<Box> shared(const Box& a, const Box& b, std::size_t dim) {
  Box both;
  for (std::size_t d = 0; d < dim; ++d) {
    both.lo.push_back(std::max(side(a.lo, d), side(b.lo, d)));
    both.hi.push_back(std::min(side(a.hi, d), side(b.hi, d)));
    if (!(both.lo[d] < both.hi[d])) return std::nullopt;
  }
  return both;
}

}  // namespace

std::optional<Box> box_of(const Sampler& sampler) {
  return std::visit([](const auto& s) { return s.clamp; }, sampler);
}

std::optional<Box> noted_box(const Mlp& model) { return box_of(sampler_of_model(model)); }

std::string text_of(const Box& box) { return fmt::format("{},{}", fmt::join(box.lo, ","), fmt::join(box.hi, ",")); }

std::size_t rows_outside(MatrixView x, const Box& box) {
  std::size_t outside = 0;
  for (std::size_t i = 0; i < x.rows; ++i) outside += inside(x.row(i), box) ? 0 : 1;
  return outside;
}

void warn_of_rows_outside(const Console& console, MatrixView x, const Sampler& sampler) {
  const auto box = box_of(sampler);
  const std::size_t outside = box ? rows_outside(x, *box) : 0;
  if (outside == 0) return;
  console.warn("{} of {} rows lie outside the box {}, where the model's density is 0", outside, x.rows, text_of(*box));
}

void check_against_noted_box(const Console& console, const Mlp& model, const Sampler& sampler) {
  const auto own = noted_box(model), given = box_of(sampler);
  if (!own || !given) return;
  const auto dim = static_cast<std::size_t>(model.dim());
  const auto both = shared(*own, *given, dim);
  if (!both) {
    throw ConfigError("--clamp", text_of(*given),
                      fmt::format("shares nothing with the model's box {}, outside which p(x) = 0", text_of(*own)));
  }
  for (std::size_t d = 0; d < dim; ++d) {
    if (both->lo[d] <= side(given->lo, d) && both->hi[d] >= side(given->hi, d)) continue;
    console.warn("--clamp {} reaches beyond the model's box {}, outside which p(x) = 0", text_of(*given),
                 text_of(*own));
    return;
  }
}

QuadratureResult quadrature_in(const std::optional<Box>& box, const Mlp& model, QuadratureOptions options,
                               const Device& device) {
  if (!box) return quadrature_log_z(model, options, {}, device);
  const auto dim = static_cast<std::size_t>(model.dim());
  // A grid belongs where the mass is: over all of a wide box it would be coarse.
  std::optional<Box> mass;
  try {
    QuadratureResult everywhere = quadrature_log_z(model, options, {}, device);
    mass = shared(everywhere.box, *box, dim);
    if (mass && mass->lo == everywhere.box.lo && mass->hi == everywhere.box.hi) return everywhere;
  } catch (const LogZError&) {
    // Without the box the integral may not converge; with it it does.
  }
  options.box = mass ? *mass : *box;
  options.border_tolerance = 1;  // the box ends where the model does
  return quadrature_log_z(model, options, {}, device);
}

}  // namespace ebm::tools
