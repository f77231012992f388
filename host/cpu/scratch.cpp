#include "host/cpu/scratch.hpp"

#include <algorithm>

namespace ebm::cpu {

Scratch::Scratch(const MlpShape& shape, bool keeps) {
  const std::size_t width = strip_width();
  const auto rows = [&](int n) { return static_cast<std::size_t>(n) * width; };
  const int widest = *std::ranges::max_element(shape.hidden);
  std::size_t total = 2 * rows(widest) + 2 * rows(shape.outputs) + (kMostRows + (keeps ? 3 : 0)) * rows(shape.dim) +
                      (keeps ? 3 : 1) * width;
  for (const int h : shape.hidden) total += rows(h);
  memory_.resize(total);

  float* next = memory_.data();
  const auto take = [&](int n) {
    float* const array = next;
    next += rows(n);
    return array;
  };
  float* const alternating[2] = {take(widest), take(widest)};
  for (std::size_t l = 0; l < shape.hidden.size(); ++l) {
    strip_.buffers.activation[l] = alternating[l % 2];
    strip_.buffers.delta[l] = take(shape.hidden[l]);
  }
  strip_.buffers.logits = take(shape.outputs);
  outputs_ = take(shape.outputs);
  for (int r = 1; r < kMostRows; ++r) strip_.rows[r] = take(shape.dim);
  points_ = take(shape.dim);
  if (keeps) {
    strip_.energy = take(1);
    strip_.base_energy = take(1);
    strip_.gradient = take(shape.dim);
    strip_.base_gradient = take(shape.dim);
    strip_.base_work = take(shape.dim);
  }
  energy_ = take(1);
}

std::vector<Scratch> make_scratch(int threads, const MlpShape& shape, bool keeps) {
  std::vector<Scratch> scratch;
  scratch.reserve(static_cast<std::size_t>(threads));
  for (int i = 0; i < threads; ++i) scratch.emplace_back(shape, keeps);
  return scratch;
}

}  // namespace ebm::cpu
