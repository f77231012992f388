#include "host/ranks/same.hpp"

#include <algorithm>
#include <sstream>

#include "host/core/check.hpp"

namespace ebm {

void SameFields::add_shape(const MlpShape& shape) {
  add("dim", shape.dim);
  add("hidden", fmt::format("{}", fmt::join(shape.hidden, ",")));
  add("activation", static_cast<int>(shape.activation));
  add("outputs", shape.outputs);
  add("confinement", shape.confinement);
}

void SameFields::add_model(const Mlp& model) {
  add_shape(model.shape());
  add_values<float>("model", model.parameters());
  // A transform is told by what it makes of two points.
  Matrix probe(2, static_cast<std::size_t>(model.dim()));
  std::ranges::fill(probe.row(1), 1.0f);
  const Matrix mapped = model.to_data_units(probe);
  add_values<float>("transform", mapped.values());
}

void SameFields::require(const Communicator& ranks) const {
  if (ranks.size() == 1) return;
  std::string mine;
  for (const auto& [field, value] : fields_) mine += field + '\n' + value + '\n';
  const std::vector<std::string> all = ranks.gather_text("options", mine);
  for (std::size_t r = 1; r < all.size(); ++r) {
    if (all[r] == all[0]) continue;
    std::istringstream first(all[0]), other(all[r]);
    std::string field, value, other_field, other_value;
    while (std::getline(first, field) && std::getline(first, value) && std::getline(other, other_field) &&
           std::getline(other, other_value)) {
      if (field == other_field && value == other_value) continue;
      reject(field, fmt::format("{} on rank {}", other_value, r),
             fmt::format("must be the same on all ranks; rank 0 has {}", value));
    }
    reject("options", fmt::format("others on rank {}", r), "must be the same on all ranks");
  }
}

}  // namespace ebm
