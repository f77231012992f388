// What a Transform with whitening or marginals is made of, and the flat arrays that files hold of it.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "ebmcuda/transform.hpp"
#include "host/data/marginals.hpp"
#include "host/data/whitening.hpp"

namespace ebm {

struct Transform::Parts {
  std::vector<MarginalColumn> marginals;  // [D] or empty
  Whitening whitening;                    // may be empty
};

// One array for each tensor of a file; docs/files.md says what is in them.
struct TransformArrays {
  std::vector<double> whiten_mean, whiten_root;
  std::vector<std::uint64_t> knots, cells;  // [D]
  std::vector<double> x, y, slope;          // of all columns, one after the other; slope 0 for cells
  std::vector<double> lower, upper;         // [D]
};

bool has_marginals(TransformKind kind);
bool has_whitening(TransformKind kind);

TransformArrays arrays_of(const Transform& transform);
// Throws ConfigError that names the array for what is no transform of D columns.
Transform transform_of(TransformKind kind, std::size_t dim, const TransformArrays& arrays);

// call(name, array, axes) for each array that `kind` has; axes: 1, or 2 for a D x D one. `Arrays` may be const.
template <class Arrays, class Call>
void visit_arrays(TransformKind kind, Arrays& arrays, const Call& call) {
  if (has_whitening(kind)) {
    call("data.whiten.mean", arrays.whiten_mean, 1);
    call("data.whiten.root", arrays.whiten_root, 2);
  }
  if (has_marginals(kind)) {
    call("data.marginals.knots", arrays.knots, 1);
    call("data.marginals.cells", arrays.cells, 1);
    call("data.marginals.x", arrays.x, 1);
    call("data.marginals.y", arrays.y, 1);
    call("data.marginals.slope", arrays.slope, 1);
    call("data.marginals.lower", arrays.lower, 1);
    call("data.marginals.upper", arrays.upper, 1);
  }
}

}  // namespace ebm
