#include "host/training/training_rows.hpp"

#include <algorithm>

#include "ebmcuda/dataset.hpp"

namespace ebm {
namespace {

constexpr std::size_t kMostCopies = 64, kMostValues = std::size_t{1} << 25;

std::size_t copies_of(const TrainerOptions& options, MatrixView data) {
  const double visits = static_cast<double>(options.iterations) * static_cast<double>(options.batch_size) /
                        static_cast<double>(data.rows);
  const std::size_t most = std::clamp<std::size_t>(kMostValues / (data.rows * data.cols), 1, kMostCopies);
  return visits < static_cast<double>(most) ? static_cast<std::size_t>(visits) + 1 : most;
}

}  // namespace

TrainingRows training_rows(const Mlp& model, const TrainerOptions& options, MatrixView data,
                           std::span<const int> labels) {
  const Transform& transform = model.transform();
  TrainingRows rows;
  rows.labels.assign(labels.begin(), labels.end());
  if (options.dequantize == 0) {
    rows.points = model.to_model_space(data);
    return rows;
  }
  if (transform.kind() == TransformKind::none || transform.standardization()) {
    rows.points = model.to_model_space(data);
    rows.noise.assign(data.cols, options.dequantize);
    if (const auto& standardization = transform.standardization()) {
      for (std::size_t d = 0; d < rows.noise.size(); ++d) rows.noise[d] /= standardization->std[d];
    }
    return rows;
  }
  const std::size_t copies = copies_of(options, data), values = data.rows * data.cols;
  rows.points = Matrix(data.rows * copies, data.cols);
  for (std::size_t c = 0; c < copies; ++c) {
    const Matrix noisy = dequantized(data, options.dequantize, options.seed + c);
    transform.forward(noisy.values(), rows.points.values().subspan(c * values, values));
    if (c > 0) rows.labels.insert(rows.labels.end(), labels.begin(), labels.end());
  }
  return rows;
}

}  // namespace ebm
