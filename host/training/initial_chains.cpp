#include "host/training/initial_chains.hpp"

#include <algorithm>

#include "ebmcuda/dataset.hpp"
#include "host/sampling/transition.hpp"
#include "kernels/chains/replica_swap.hpp"
#include "kernels/math/normal.hpp"

namespace ebm {
namespace {

// Chain first_chain + i from the words of its start: the same that a uniform start would use.
Matrix gaussian_start(int dim, std::int64_t n, std::uint64_t seed, std::uint64_t first_chain) {
  Matrix x(static_cast<std::size_t>(n), static_cast<std::size_t>(dim));
  for (std::size_t i = 0; i < x.rows(); ++i) {
    for (std::size_t d = 0; d < x.cols(); d += 4) {
      const auto block = static_cast<std::uint32_t>(d / 4);
      const NormalBlock normals = normal_block(philox(seed, Purpose::initial_position, first_chain + i, 0, block));
      std::copy_n(normals.n, std::min<std::size_t>(4, x.cols() - d), &x(i, d));
    }
  }
  return x;
}

// A row for each chain, drawn with replacement.
Matrix data_start(const Mlp& model, const TrainerOptions& options, MatrixView data, std::int64_t n,
                  std::uint64_t first_chain) {
  Matrix x(static_cast<std::size_t>(n), data.cols);
  for (std::size_t i = 0; i < x.rows(); ++i) {
    const PhiloxWords words = philox(options.seed, Purpose::initial_position, first_chain + i, 0, 0);
    std::ranges::copy(data.row(index_below(words.r0, data.rows)), x.row(i).begin());
  }
  if (options.dequantize > 0) x = dequantized(x, options.dequantize, options.seed);
  return model.to_model_space(x);
}

void clamp(const Transition& transition, Matrix* x) {
  if (transition.clamp_lo.empty()) return;
  for (std::size_t i = 0; i < x->rows(); ++i) {
    for (std::size_t d = 0; d < x->cols(); ++d) {
      (*x)(i, d) = std::clamp((*x)(i, d), transition.clamp_lo[d], transition.clamp_hi[d]);
    }
  }
}

}  // namespace

std::vector<float> initial_chains(const Mlp& model, const TrainerOptions& options, MatrixView data) {
  const ContrastiveDivergence& objective = options.objective;
  const Transition transition = resolve(objective.sampler, model);
  const std::int64_t capacity = objective.buffer.capacity;
  const auto start_of = [&](std::uint64_t first_chain) {
    if (objective.buffer_start == BufferStart::uniform) {
      return uniform_start_in(model, transition, capacity, options.seed, first_chain);
    }
    Matrix x = objective.buffer_start == BufferStart::gaussian
                   ? gaussian_start(model.dim(), capacity, options.seed, first_chain)
                   : data_start(model, options, data, capacity, first_chain);
    clamp(transition, &x);
    return x;
  };
  const auto replicas = static_cast<std::size_t>(objective.replicas());
  const auto chains = static_cast<std::size_t>(capacity), dim = static_cast<std::size_t>(model.dim());
  std::vector<float> all(chains * replicas * dim);
  for (std::size_t r = 0; r < replicas; ++r) {
    const Matrix x = start_of(replica_id(0, static_cast<std::uint64_t>(r)));
    for (std::size_t c = 0; c < chains; ++c) std::ranges::copy(x.row(c), &all[(c * replicas + r) * dim]);
  }
  return all;
}

}  // namespace ebm
