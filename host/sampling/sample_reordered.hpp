#pragma once

#include "ebmcuda/sampler.hpp"

namespace ebm {

// sample() of a model that whitens, with rows of `fixed` that fix others than their first columns: chains in a row that
// fix the same ones run on the model with those columns first (reorder_columns). The options have been checked.
SampleResult sample_reordered(const Mlp& model, const Sampler& sampler, const SampleOptions& options,
                              const Device& device);

}  // namespace ebm
