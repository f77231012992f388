#include "reference/network.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

namespace ref {
namespace {

double sigmoid(double z) { return 1 / (1 + std::exp(-z)); }

double logsumexp(std::span<const double> f) {
  const double top = *std::max_element(f.begin(), f.end());
  double sum = 0;
  for (const double v : f) sum += std::exp(v - top);
  return top + std::log(sum);
}

Vector softmax(std::span<const double> f) {
  const double total = logsumexp(f);
  Vector p;
  for (const double v : f) p.push_back(std::exp(v - total));
  return p;
}

struct Layer {
  int in, out;
  std::size_t weight, bias;  // offsets into the parameters
};

std::vector<Layer> layers_of(const Network& network) {
  std::vector<Layer> layers;
  std::size_t offset = 0;
  int in = network.dim;
  for (std::size_t l = 0; l <= network.widths.size(); ++l) {
    const int out = l < network.widths.size() ? network.widths[l] : network.outputs;
    const std::size_t bias = offset + static_cast<std::size_t>(in) * static_cast<std::size_t>(out);
    layers.push_back({in, out, offset, bias});
    offset = bias + static_cast<std::size_t>(out);
    in = out;
  }
  return layers;
}

struct Forward {
  std::vector<Vector> inputs;    // a_{l-1} of every linear map
  std::vector<Vector> sums;      // z_l, the last one is f
  std::vector<Vector> absolute;  // the same sums over absolute values
};

Forward forward(const Network& network, std::span<const double> x) {
  Forward pass;
  Vector a(x.begin(), x.end());
  const auto layers = layers_of(network);
  for (std::size_t l = 0; l < layers.size(); ++l) {
    const Layer& layer = layers[l];
    Vector z, size;
    for (int j = 0; j < layer.out; ++j) {
      const double* row = network.parameters.data() + layer.weight + static_cast<std::size_t>(j * layer.in);
      double sum = network.parameters[layer.bias + static_cast<std::size_t>(j)];
      double terms = std::abs(sum);
      for (int i = 0; i < layer.in; ++i) {
        sum += row[i] * a[static_cast<std::size_t>(i)];
        terms += std::abs(row[i] * a[static_cast<std::size_t>(i)]);
      }
      z.push_back(sum);
      size.push_back(terms);
    }
    pass.inputs.push_back(std::move(a));
    a = z;
    for (double& v : a) v = activate(network.activation, v);
    pass.sums.push_back(std::move(z));
    pass.absolute.push_back(std::move(size));
  }
  return pass;
}

// From df backwards: adds dtheta to `parameters` when given, returns dx.
Vector backward(const Network& network, const Forward& pass, std::span<const double> df, Vector* parameters) {
  const auto layers = layers_of(network);
  Vector delta(df.begin(), df.end());
  for (std::size_t l = layers.size(); l-- > 0;) {
    const Layer& layer = layers[l];
    if (l + 1 < layers.size()) {
      for (std::size_t j = 0; j < delta.size(); ++j) {
        delta[j] *= activate_derivative(network.activation, pass.sums[l][j]);
      }
    }
    Vector below(static_cast<std::size_t>(layer.in), 0.0);
    for (int j = 0; j < layer.out; ++j) {
      const std::size_t row = layer.weight + static_cast<std::size_t>(j * layer.in);
      const double d = delta[static_cast<std::size_t>(j)];
      for (std::size_t i = 0; i < below.size(); ++i) {
        below[i] += network.parameters[row + i] * d;
        if (parameters != nullptr) (*parameters)[row + i] += d * pass.inputs[l][i];
      }
      if (parameters != nullptr) (*parameters)[layer.bias + static_cast<std::size_t>(j)] += d;
    }
    delta = std::move(below);
  }
  return delta;
}

// dE/df of the head.
Vector head_derivative(const Network& network, std::span<const double> f) {
  if (!network.logits) return {1.0};
  Vector p = softmax(f);
  for (double& v : p) v = -v;
  return p;
}

}  // namespace

double activate(Activation activation, double z) {
  switch (activation) {
    case Activation::silu:
      return z * sigmoid(z);
    case Activation::softplus:
      return std::max(z, 0.0) + std::log1p(std::exp(-std::abs(z)));
    case Activation::tanh:
      return std::tanh(z);
    case Activation::gelu:
      return 0.5 * z * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (z + 0.044715 * z * z * z)));
    case Activation::elu:
      return z > 0 ? z : std::expm1(z);
    case Activation::relu:
      return std::max(z, 0.0);
  }
  return std::numeric_limits<double>::quiet_NaN();
}

double activate_derivative(Activation activation, double z) {
  switch (activation) {
    case Activation::silu:
      return sigmoid(z) * (1 + z * (1 - sigmoid(z)));
    case Activation::softplus:
      return sigmoid(z);
    case Activation::tanh:
      return 1 - std::tanh(z) * std::tanh(z);
    case Activation::gelu: {
      const double c = std::sqrt(2 / std::numbers::pi);
      const double t = std::tanh(c * (z + 0.044715 * z * z * z));
      return 0.5 * (1 + t) + 0.5 * z * (1 - t * t) * c * (1 + 3 * 0.044715 * z * z);
    }
    case Activation::elu:
      return z > 0 ? 1 : std::exp(z);
    case Activation::relu:
      return z > 0 ? 1 : 0;
  }
  return std::numeric_limits<double>::quiet_NaN();
}

Evaluation evaluate(const Network& network, std::span<const double> x) {
  const Forward pass = forward(network, x);
  Evaluation result;
  result.outputs = pass.sums.back();
  result.energy = network.logits ? -logsumexp(result.outputs) : result.outputs[0];
  result.magnitude = *std::max_element(pass.absolute.back().begin(), pass.absolute.back().end());
  result.gradient = backward(network, pass, head_derivative(network, result.outputs), nullptr);
  for (std::size_t d = 0; d < x.size(); ++d) {
    result.energy += network.confinement / 2 * x[d] * x[d];
    result.magnitude += network.confinement / 2 * x[d] * x[d];
    result.gradient[d] += network.confinement * x[d];
  }
  result.kink_distance = std::numeric_limits<double>::infinity();
  for (std::size_t l = 0; l + 1 < pass.sums.size(); ++l) {
    for (std::size_t j = 0; j < pass.sums[l].size(); ++j) {
      const double distance = std::abs(pass.sums[l][j]) / std::max(pass.absolute[l][j], 1e-300);
      result.kink_distance = std::min(result.kink_distance, distance);
    }
  }
  return result;
}

void add_parameter_gradient(const Network& network, std::span<const double> x, std::span<const double> df,
                            Vector* gradient) {
  backward(network, forward(network, x), df, gradient);
}

void add_energy_gradient(const Network& network, std::span<const double> x, double weight, Vector* gradient) {
  const Forward pass = forward(network, x);
  Vector df = head_derivative(network, pass.sums.back());
  for (double& v : df) v *= weight;
  backward(network, pass, df, gradient);
}

double cross_entropy(std::span<const double> outputs, int label) {
  return logsumexp(outputs) - outputs[static_cast<std::size_t>(label)];
}

Vector cross_entropy_derivative(std::span<const double> outputs, int label) {
  Vector d = softmax(outputs);
  d[static_cast<std::size_t>(label)] -= 1;
  return d;
}

}  // namespace ref
