// The coordinates a model lives in: an invertible map from data units to *model space*, fitted to the training data and
// kept in the model file. Chains, starts and noise are in model space; a density in data units is that of model space
// times |det J|, J = d z / d x:
//
//   none              z = x
//   standardize       z_d = (x_d - mean_d) / std_d
//   whiten            z = L^-1 (x - mean),  L L^T = the covariance
//   marginals         z_d = Phi^-1(F_d(x_d)): each column becomes a standard Gaussian
//   marginals+whiten  the second after the first
//
// F_d is exact cells where the column holds whole numbers that are dequantised (a histogram's distribution function),
// else the distribution function of a kernel density estimate, as a monotone rational spline (Gregory and Delbourgo
// 1982) between its quantiles, with tails that grow like a logarithm, so that no point is far out.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ebmcuda/export.hpp"
#include "ebmcuda/matrix.hpp"

namespace ebm {

// The affine map between data units and model space, D values each, every std > 0.
struct EBMCUDA_API Standardization {
  std::vector<float> mean;
  std::vector<float> std;
  bool operator==(const Standardization&) const = default;
};

// Per-dimension mean and standard deviation of `data`. A dimension that does not vary gets std 1 (or that of
// `dequantize` noise, which is added to every variance as dequantize^2 / 12, and dequantize / 2 to every mean).
EBMCUDA_API Standardization standardization_of(MatrixView data, float dequantize = 0.0f);

enum class TransformKind { none, standardize, whiten, marginals, marginals_whiten };
// "marginals+whiten" <-> TransformKind::marginals_whiten and so on. Parsing an unknown name throws ConfigError.
EBMCUDA_API std::string_view to_string(TransformKind kind);
EBMCUDA_API TransformKind parse_transform_kind(std::string_view name, std::string_view field = "transform");

struct EBMCUDA_API TransformOptions {
  float dequantize = 0;    // >= 0: the data get uniform noise in [0, dequantize), as TrainerOptions::dequantize
  std::uint64_t seed = 0;  // of the noise that marginals+whiten looks at
  // What no value of a column can be below or above, data units: 1 or D values each, or none. Used by marginals.
  std::vector<float> lower{}, upper{};
};

class EBMCUDA_API Transform {
 public:
  Transform();  // none
  // Throws ConfigError when a std is not positive, or a value not finite.
  explicit Transform(Standardization standardization);

  // Fitted to the rows of `data`, in double. Whitening: where there are no more rows than columns, or one column
  // follows from the others (to 1e-6 of its variance), the correlations shrink to zero by Ledoit and Wolf's intensity
  // (2004), by 1e-4 at least. Marginals: a column of whole multiples of `dequantize` has cells, when there are 8 rows
  // or more for each; where all columns have, all span the same range, so that a pixel dark in every row may be bright
  // elsewhere; else the column's own and an eighth more on either side (never below zero for counts). One count in all
  // is spread evenly over the cells. Throws ConfigError for bad options, no rows, values that are not finite or lie
  // outside the bounds, and D > 4096 with whitening.
  static Transform fit(TransformKind kind, MatrixView data, const TransformOptions& options = {});

  TransformKind kind() const noexcept { return kind_; }
  std::size_t dim() const noexcept;  // D; 0 for none, which takes any
  const std::optional<Standardization>& standardization() const noexcept { return standardization_; }
  bool affine() const noexcept;     // J is the same everywhere
  bool separable() const noexcept;  // every z_d is a function of x_d alone, so that boxes stay boxes
  bool has_cells() const noexcept;  // some column's density is a histogram's, which means nothing without the noise
  // "marginals+whiten (60 columns of cells, 4 smooth)".
  std::string describe() const;

  // Rows [n, D], computed in double but for `standardize`. A point outside the support of its marginals is mapped as
  // the nearest inside; log_jacobian says so.
  void forward(std::span<const float> x, std::span<float> z) const;
  void inverse(std::span<const float> z, std::span<float> x) const;  // x and z may be the same
  // log|det J| of each row, nats: -infinity outside the support.
  void log_jacobian(std::span<const float> x, std::span<double> result) const;
  void log_jacobian_at(std::span<const float> z, std::span<double> result) const;  // of points of model space
  // gradient <- J^T gradient, row by row: from d/dz to d/dx.
  void pull_back(std::span<const float> x, std::span<float> gradient) const;
  // d log|det J| / dx.
  void log_jacobian_gradient(std::span<const float> x, std::span<float> gradient) const;
  // log|det J^-1| of an affine transform, 0 for the others, whose part is that of each point. Energies in data units
  // are E(z) - log|det J| - log_volume(), so that an affine transform leaves them as they are, and log Z in data units
  // is that of model space + log_volume().
  double log_volume() const noexcept { return log_volume_; }

  struct EBMCUDA_HIDDEN Parts;
  // What files hold; private to the library.
  EBMCUDA_HIDDEN Transform(TransformKind kind, std::shared_ptr<const Parts> parts);
  EBMCUDA_HIDDEN const Parts* parts() const noexcept { return parts_.get(); }

 private:
  TransformKind kind_ = TransformKind::none;
  std::optional<Standardization> standardization_;
  std::shared_ptr<const Parts> parts_;  // whitening and marginals
  double log_volume_ = 0;
};

}  // namespace ebm
