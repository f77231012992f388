#include "tools/model_box.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "ebmcuda/error.hpp"
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

std::optional<Box> noted_box(const Mlp& model) {
  return std::visit([](const auto& sampler) { return sampler.clamp; }, sampler_of_model(model));
}

std::string text_of(const Box& box) { return fmt::format("{},{}", fmt::join(box.lo, ","), fmt::join(box.hi, ",")); }

std::size_t rows_outside(MatrixView x, const Box& box) {
  std::size_t outside = 0;
  for (std::size_t i = 0; i < x.rows; ++i) outside += inside(x.row(i), box) ? 0 : 1;
  return outside;
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
