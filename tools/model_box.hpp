// The box that a model was trained in (--clamp), as its notes have it: p(x) = exp(-E(x)) / Z inside, 0 outside.
#pragma once

#include <optional>
#include <string>

#include "ebmcuda/log_z.hpp"
#include "ebmcuda/mlp.hpp"
#include "ebmcuda/sampler.hpp"

namespace ebm::tools {

std::optional<Box> noted_box(const Mlp& model);
std::string text_of(const Box& box);  // "-1,1": one side after the other

// Rows with a value outside.
std::size_t rows_outside(MatrixView x, const Box& box);

// log Z of the model in the box, where there is one. Throws as quadrature_log_z.
QuadratureResult quadrature_in(const std::optional<Box>& box, const Mlp& model, QuadratureOptions options,
                               const Device& device);

}  // namespace ebm::tools
