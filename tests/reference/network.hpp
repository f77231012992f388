// The energy of the Contract in double precision, straight from the formulas:
//   z_l = W_l a_{l-1} + b_l,  a_l = act(z_l),  f = W_L a_{L-1} + b_L,  E(x) = head(f) + (kappa / 2) |x|^2
#pragma once

#include <span>
#include <vector>

namespace ref {

using Vector = std::vector<double>;

enum class Activation { silu, softplus, tanh, gelu, elu, relu };

double activate(Activation activation, double z);
double activate_derivative(Activation activation, double z);

struct Network {
  int dim = 0;
  std::vector<int> widths;  // hidden
  Activation activation = Activation::silu;
  bool logits = false;  // else a scalar head
  int outputs = 1;
  double confinement = 0;
  Vector parameters;  // W_0 [out, in] row-major, b_0, W_1, b_1, ...
};

struct Evaluation {
  double energy = 0;
  Vector gradient;  // dE/dx
  Vector outputs;   // f
  // Sum of the absolute values of the terms that E is the sum of: what rounding errors of E are relative to.
  double magnitude = 0;
  // Smallest |z| over the hidden units, relative to the absolute terms of its sum: how far the point is from a kink of
  // relu.
  double kink_distance = 0;
};

Evaluation evaluate(const Network& network, std::span<const double> x);

// df(x)/dtheta contracted with `df` (one value per output), plus nothing of the confinement: added to `gradient`.
void add_parameter_gradient(const Network& network, std::span<const double> x, std::span<const double> df,
                            Vector* gradient);
// weight * dE(x)/dtheta, added to `gradient`.
void add_energy_gradient(const Network& network, std::span<const double> x, double weight, Vector* gradient);

// logsumexp f - f_label, and its derivative by f.
double cross_entropy(std::span<const double> outputs, int label);
Vector cross_entropy_derivative(std::span<const double> outputs, int label);

}  // namespace ref
