#include <cmath>

#include "host/core/check.hpp"
#include "host/engine/engine.hpp"
#include "host/sampling/transition.hpp"

namespace ebm {

std::vector<float> energy(const Mlp& model, MatrixView x, const Device& device) {
  require_points("x", x, model.dim());
  const Matrix points = model.to_model_space(x);
  std::vector<float> energies(x.rows);
  make_engine(device)->load(model)->evaluate(points.values(), energies);
  return energies;
}

std::vector<float> joint_energy(const Mlp& model, MatrixView x, std::span<const int> labels, const Device& device) {
  require(model.shape().head == Head::logits, "head", to_string(model.shape().head), "labels need a logits head");
  require_points("x", x, model.dim());
  require(labels.size() == x.rows, "labels", labels.size(),
          fmt::format("must hold one label for each of the {} rows", x.rows));
  const int outputs = model.shape().outputs;
  for (const int label : labels)
    require(label >= 0 && label < outputs, "labels", label, fmt::format("must be in 0 .. {}", outputs - 1));
  const Matrix points = model.to_model_space(x);
  std::vector<float> f(x.rows * static_cast<std::size_t>(outputs));
  make_engine(device)->load(model)->outputs(points.values(), f);
  std::vector<float> energies(x.rows);
  const float half_kappa = model.shape().confinement / 2;
  for (std::size_t i = 0; i < x.rows; ++i) {
    float square = 0;
    for (const float v : points.row(i)) square += v * v;
    energies[i] = half_kappa * square - f[i * static_cast<std::size_t>(outputs) + static_cast<std::size_t>(labels[i])];
  }
  return energies;
}

Matrix energy_gradient(const Mlp& model, MatrixView x, const Device& device, std::vector<float>* energies) {
  require_points("x", x, model.dim());
  const Matrix points = model.to_model_space(x);
  std::vector<float> values(x.rows);
  Matrix gradient(x.rows, x.cols);
  make_engine(device)->load(model)->evaluate(points.values(), values, gradient.values());
  if (const auto& standardization = model.standardization()) {
    for (std::size_t i = 0; i < x.rows; ++i) {
      for (std::size_t d = 0; d < x.cols; ++d) gradient(i, d) /= standardization->std[d];
    }
  }
  if (energies != nullptr) *energies = std::move(values);
  return gradient;
}

std::vector<float> parameter_gradient(const Mlp& model, MatrixView x, std::span<const float> weights,
                                      const Device& device) {
  require_points("x", x, model.dim());
  require(weights.size() == x.rows, "weights", weights.size(),
          fmt::format("must hold one value for each of the {} rows", x.rows));
  for (const float w : weights) require(std::isfinite(w), "weights", w, "every value must be finite");
  const Matrix points = model.to_model_space(x);
  std::vector<float> gradient(model.parameters().size());
  make_engine(device)->load(model)->parameter_gradient(points.values(), weights, gradient);
  return gradient;
}

}  // namespace ebm
