// What ranks (ebmcuda/communicator.hpp) keep for themselves where the whole is too much for each: samples, and the
// files and diagnostics made of them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "ebmcuda/communicator.hpp"
#include "ebmcuda/export.hpp"
#include "ebmcuda/matrix.hpp"
#include "ebmcuda/sampler.hpp"

namespace ebm {

// A run of rows: this rank's, of so many. As even as can be, in the ranks' order.
struct RowShare {
  std::uint64_t first = 0, count = 0;
};
EBMCUDA_API RowShare row_share(std::uint64_t rows, const Communicator& ranks);

// sample() on a device over ranks, except that each gets its own chains alone: row_share of them, none where there are
// fewer chains than ranks. `options` are those of the whole, the same on all ranks, and `stats` and `replicas` count
// all chains. Its callback sees this rank's progress; it must end a run nowhere or at the same step everywhere.
EBMCUDA_API SampleResult sample_share(const Mlp& model, const Sampler& sampler, const SampleOptions& options,
                                      const Device& device);

// One array of what all ranks have: `blocks` of rows, each of which holds the ranks' rows in order (a trajectory has a
// block for each kept step). All ranks call it, with as many blocks. A .npy is written by everybody at once, each rank
// its rows, into the file that is renamed when all are done, so that all must see one file system; a .csv by rank 0.
// Throws as write_matrix, and RankError.
EBMCUDA_API void write_matrix_share(const std::filesystem::path& path, std::span<const Matrix> blocks,
                                    const Communicator& ranks);
// The same with one axis, [N].
EBMCUDA_API void write_vector_share(const std::filesystem::path& path, std::span<const float> values,
                                    const Communicator& ranks);
// The rows of all ranks, on rank 0; an empty matrix on the others.
EBMCUDA_API Matrix gather_rows(const Matrix& share, const Communicator& ranks);

// Of the whole trajectory, of which each rank has its chains; the same on all ranks. See ebmcuda/diagnostics.hpp. The
// ranks share out the dimensions, one of which has to fit into the memory of each.
EBMCUDA_API std::vector<double> effective_sample_size(const std::vector<Matrix>& share, const Communicator& ranks);
EBMCUDA_API std::vector<double> split_rhat(const std::vector<Matrix>& share, const Communicator& ranks);

}  // namespace ebm
