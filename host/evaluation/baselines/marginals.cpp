#include <utility>

#include "ebmcuda/dataset.hpp"
#include "host/core/normal_quantile.hpp"
#include "host/evaluation/baselines/fitting.hpp"

namespace ebm {

MarginalDensity MarginalDensity::fit(MatrixView x, Dependence dependence, float dequantize, std::uint64_t seed) {
  require_data(x, 0);
  const Matrix noisy = dequantized(x, dequantize, seed);
  MarginalDensity result;
  result.scaling_ = scaling_of(noisy, 0);
  const Matrix kept = kept_columns(x, result.scaling_);
  TransformOptions options;
  options.dequantize = dequantize;
  options.seed = seed;
  result.transform_ = Transform::fit(TransformKind::marginals, kept, options);
  if (dependence == Dependence::gaussian) {
    const Matrix points = kept_columns(noisy, result.scaling_);
    Matrix scores(points.rows(), points.cols());
    result.transform_.forward(points.values(), scores.values());
    result.copula_ = GaussianDensity::fit(scores);
  }
  return result;
}

double MarginalDensity::log_density(std::span<const float> x) const {
  require(x.size() == scaling_.dim(), "x", x.size(), fmt::format("must hold {} values", scaling_.dim()));
  std::vector<float> kept, z(scaling_.kept().size());
  for (const std::size_t d : scaling_.kept()) kept.push_back(x[d]);
  double log_p = 0;
  transform_.log_jacobian(kept, {&log_p, 1});
  transform_.forward(kept, z);
  if (copula_) return log_p + copula_->log_density(z);
  for (const float v : z) log_p += log_normal_pdf(static_cast<double>(v));
  return log_p;
}

double MarginalDensity::mean_log_likelihood(MatrixView x) const {
  require(x.rows >= 1, "x", x.rows, "must hold at least one point");
  require_points("x", x, static_cast<int>(scaling_.dim()));
  double sum = 0;
  for (std::size_t i = 0; i < x.rows; ++i) sum += log_density(x.row(i));
  return sum / static_cast<double>(x.rows);
}

}  // namespace ebm
