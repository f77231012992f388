// The normalising constant, and with it likelihoods in nats. Everything is reported in data units:
// log p(x) = -E(x) - log_z with log_z = log of the integral of exp(-E) over data space.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ebmcuda/device.hpp"
#include "ebmcuda/export.hpp"
#include "ebmcuda/matrix.hpp"
#include "ebmcuda/mlp.hpp"
#include "ebmcuda/sampler.hpp"

namespace ebm {

struct EBMCUDA_API QuadratureOptions {
  // Grid points per dimension, rounded up to an odd number. 0: 4097 in one dimension and 609 in two, doubled up to
  // twice while the error is above 1e-4, and then refined where the mass lies.
  int points = 0;
  std::optional<Box> box{};        // data units; unset: chosen by where the model has mass
  double border_tolerance = 1e-3;  // refused when more than this share of the mass lies in the outermost 1 % of the box
  double max_error = 0.01;         // nats; refused when the error is larger
};

struct EBMCUDA_API QuadratureResult {
  double log_z = 0;
  double error = 0;        // largest |log_z - log_z on an interleaved grid of twice the spacing|; or that of the cells
  double border_mass = 0;  // share of the mass in the outermost 1 % of the box
  Box box;                 // data units
  int points = 0;          // per dimension
  std::int64_t cells = 0;  // > 0: the grid was too coarse, and log_z is from so many cells of adaptive quadrature
};

// Trapezoid rule for D <= 2. The box is chosen by the model's mass on coarse grids: from at least 6 standard deviations
// around its standardisation, wider where the confinement is weak or descents of the energy lead, it grows until its
// border is empty and is then fitted to the mass. `data` may say where to start looking (only its median and quartiles
// count); log Z is the model's and the same without. Throws ConfigError for D > 2, and LogZError when the mass at the
// border stays above the tolerance (an energy that is not integrable, for instance confinement 0), or the error above
// max_error.
EBMCUDA_API QuadratureResult quadrature_log_z(const Mlp& model, const QuadratureOptions& options = {},
                                              MatrixView data = {}, const Device& device = Device::automatic());

// Whether a row of D values lies in a box of 1 or D values a side: where a model that was trained in one has p(x) > 0.
EBMCUDA_API bool inside(std::span<const float> row, const Box& box);

struct EBMCUDA_API AisProgress {
  std::int64_t temperature, temperatures;
  bool reverse;
  double seconds;
};

struct EBMCUDA_API AisOptions {
  std::int64_t temperatures = 1000;        // >= 2, between the base and the model
  std::int64_t chains = 2048;              // >= 2
  std::int64_t steps_per_temperature = 1;  // Mala steps, >= 1
  float target_acceptance = 0.6f;          // a pilot run fixes one step size per temperature
  bool reverse = true;                     // also anneal back from the model, for the upper bound
  std::int64_t burn_in = 1000;             // Mala steps on the model before the reverse run
  // No point value is given unless its error is known and small (docs/evaluation.md has the measurements behind these):
  double min_ess = 0.01;       // effective sample size at least this share of the chains, and
  double min_ess_chains = 25;  // at least so many chains, whatever their number: a standard error below 0.2
  double max_gap_errors = 4;   // with `reverse`: the bounds at most so many joint standard errors apart, and
  double max_gap = 1;          // at most so many nats
  std::uint64_t seed = 0;
  // Called now and then, with temperature 0 in the pilot run and the burn-in; false stops, and what was not finished is
  // NaN or empty.
  std::function<bool(const AisProgress&)> progress{};
};

// Neal 2001 (forward) and Grosse, Ghahramani and Adams 2015 (bidirectional bounds). The base is the model's own: the
// Gaussian with mean and full covariance of chains that a pilot run has brought from N(0, I) in model space to the
// model (a tenth of the mean variance added to every direction), or N(0, I) where that is nearer. `data` takes the
// place of those chains when given; exp(log_z_forward) is unbiased whatever the base, but its scatter is not the same.
// D <= 4096. Throws ConfigError. Whether the integral converges is not checked: with confinement 0 it may not.
struct EBMCUDA_API AisResult {
  std::optional<double> log_z;  // the forward estimate; empty when it can't be trusted
  std::string refusal;          // why there is no log_z; empty when there is
  double log_z_forward = 0;     // in expectation a lower bound
  double log_z_reverse = 0;     // in expectation an upper bound, when started from exact samples; NaN without `reverse`
  double stderr_forward = 0;    // standard error of log_z_forward (delta method)
  double stderr_reverse = 0;
  double ess = 0;  // effective sample size of the forward weights, 1 .. chains
  std::vector<double> log_weights;
  Matrix samples;  // [chains, D] data units: ends of the forward chains
  double acceptance = 0;
  double seconds = 0;
};
EBMCUDA_API AisResult ais_log_z(const Mlp& model, const AisOptions& options = {}, MatrixView data = {},
                                const Device& device = Device::automatic());

struct EBMCUDA_API LogLikelihood {
  double mean = 0;            // nats per point, data units
  double standard_error = 0;  // of the mean over the points, log_z taken as given; NaN for one point
};
EBMCUDA_API LogLikelihood log_likelihood(const Mlp& model, MatrixView x, double log_z,
                                         const Device& device = Device::automatic());

}  // namespace ebm
