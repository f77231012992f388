// Networks whose normalising constant is known in closed form.
#pragma once

#include <cmath>
#include <numbers>
#include <vector>

#include "ebmcuda/mlp.hpp"

namespace ebm::test {

// All weights zero: N(0, I / confinement) in model space.
inline Mlp gaussian(int dim, float confinement) {
  MlpShape shape;
  shape.dim = dim;
  shape.hidden = {8};
  shape.confinement = confinement;
  return Mlp(shape);
}

// A mixture of Gaussians with covariance I / confinement around the rows of `centres` [C, D], component y with weight
// proportional to exp(log_weights[y]). ReLU units carry x_d and -x_d, so the logits f_y = confinement (c_y x - |c_y|^2
// / 2) + log_weights[y] are exactly linear and E = -logsumexp_y f_y + confinement |x|^2 / 2 completes every square.
inline Mlp gaussian_mixture(const Matrix& centres, const std::vector<double>& log_weights, float confinement) {
  MlpShape shape;
  shape.dim = static_cast<int>(centres.cols());
  shape.hidden = {2 * shape.dim};
  shape.activation = Activation::relu;
  shape.head = Head::logits;
  shape.outputs = static_cast<int>(centres.rows());
  shape.confinement = confinement;
  Mlp model(shape);
  const std::size_t dim = centres.cols(), hidden = 2 * dim;
  for (std::size_t d = 0; d < dim; ++d) {
    model.weight(0)[d * dim + d] = 1;
    model.weight(0)[(dim + d) * dim + d] = -1;
  }
  for (std::size_t y = 0; y < centres.rows(); ++y) {
    double square = 0;
    for (std::size_t d = 0; d < dim; ++d) {
      const float slope = confinement * centres(y, d);
      model.weight(1)[y * hidden + d] = slope;
      model.weight(1)[y * hidden + dim + d] = -slope;
      square += static_cast<double>(centres(y, d)) * static_cast<double>(centres(y, d));
    }
    model.bias(1)[y] = static_cast<float>(log_weights[y] - static_cast<double>(confinement) * square / 2);
  }
  return model;
}

// log Z of both, model space: (D / 2) log(2 pi / confinement) + log sum_y exp(log_weights[y]).
inline double log_z(int dim, float confinement, const std::vector<double>& log_weights = {0.0}) {
  double sum = 0;
  for (const double w : log_weights) sum += std::exp(w);
  return 0.5 * dim * std::log(2 * std::numbers::pi / static_cast<double>(confinement)) + std::log(sum);
}

}  // namespace ebm::test
