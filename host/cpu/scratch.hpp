// Each thread's working memory: one block, cut into the arrays that a strip needs.
#pragma once

#include <memory>
#include <vector>

#include "host/cpu/kernels.hpp"

namespace ebm::cpu {

// For evaluations and transitions of one network shape.
class Scratch {
 public:
  // `keeps`: for chains that keep E and its gradient, too.
  explicit Scratch(const MlpShape& shape, bool keeps = false);
  const StripScratch& strip() const noexcept { return strip_; }
  // Spare [D][width], [outputs][width] and [width] arrays for callers that copy points in and out.
  float* points() const noexcept { return points_; }
  float* outputs() const noexcept { return outputs_; }
  float* energy() const noexcept { return energy_; }

 private:
  AlignedVector<float> memory_;
  StripScratch strip_{};
  float* points_ = nullptr;
  float* outputs_ = nullptr;
  float* energy_ = nullptr;
};

// One for each thread.
std::vector<Scratch> make_scratch(int threads, const MlpShape& shape, bool keeps = false);

}  // namespace ebm::cpu
