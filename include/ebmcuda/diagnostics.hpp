// Are the chains good? Both take trajectories as sample() returns them: one [n_chains, D] matrix per kept step.
#pragma once

#include <vector>

#include "ebmcuda/export.hpp"
#include "ebmcuda/matrix.hpp"

namespace ebm {

// Effective sample size per dimension over all chains: Geyer's initial monotone sequence on the autocorrelations pooled
// over split chains (Vehtari et al. 2021, "Rank-normalization, folding, and localization", eq. 10-14, without rank
// normalisation). D values, at most n_chains * n_kept * log10(n_chains * n_kept); NaN for a dimension that never
// varies. Throws ConfigError for fewer than 4 kept steps, steps of different shapes and values that are not finite.
EBMCUDA_API std::vector<double> effective_sample_size(const std::vector<Matrix>& trajectory);

// Split potential scale reduction per dimension (Gelman et al. 2013, section 11.4): every chain is cut in two halves.
// 1 where they agree; above 1.01 they don't yet; infinite where no chain moves and they differ, NaN where nothing
// varies. Throws ConfigError as above.
EBMCUDA_API std::vector<double> split_rhat(const std::vector<Matrix>& trajectory);

}  // namespace ebm
