// A network loaded on a device: E, its gradients and the network's outputs, as often as you like.
//
// The free functions of mlp.hpp (energy(), energy_gradient(), ...) load, compute and unload; an Energy does the loading
// once and keeps its working memory, so that a call costs little more than its arithmetic.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ebmcuda/device.hpp"
#include "ebmcuda/export.hpp"
#include "ebmcuda/matrix.hpp"
#include "ebmcuda/mlp.hpp"

namespace ebm {

// Rows of floats in the memory of a CUDA device, row-major. Device memory is in *model space*, which is what the
// kernels read and write: (x - mean) / std of the model's standardisation, the data's own units where it has none.
struct EBMCUDA_API DeviceMatrixView {
  const float* data = nullptr;
  std::size_t rows = 0;
  std::size_t cols = 0;
};

// A handle: copies are the same loaded network. Host calls take and return data units.
//
// Threads: any number may call the const members of one Energy, which take turns, and run chain sets of their own
// (chains.hpp), which do not wait for one another beyond sharing the device. set_parameters() needs all of them to be
// idle.
//
// A network that no longer fits the device's memory throws OutOfMemory; a failed device, DeviceError.
class EBMCUDA_API Energy {
 public:
  // Throws ConfigError for a device that this machine does not have, or parameters that its precision cannot hold.
  explicit Energy(const Mlp& model, const Device& device = Device::automatic());

  int dim() const noexcept;
  const Mlp& model() const noexcept;  // as loaded, or as set since
  const Device& device() const noexcept;
  // What runs: "cpu AVX2, 2 threads", then which of the engine's paths serves this network: "strips of 16 chains".
  std::string engine() const;
  std::string path() const;
  std::string description() const;  // "engine: path"

  // The same shape with other parameters, flat in the order of Mlp::parameters(). Chain sets of this Energy go on with
  // them. Throws ConfigError for another number of parameters, or what the device's precision cannot hold; parameters
  // that are not finite are taken, and give energies that are not. If the device fails, the old ones stay.
  void set_parameters(std::span<const float> parameters);

  // E of each row of `x` [N, D]. Throws ConfigError on a wrong shape or a non-finite x, as everything below.
  std::vector<float> values(MatrixView x) const;
  void values(MatrixView x, std::span<float> energy) const;  // [N]; allocates nothing once it has run
  // E(x, y) = -f(x)_y of each row with its label in 0 .. C-1. Needs a logits head.
  std::vector<float> joint_values(MatrixView x, std::span<const int> labels) const;
  // dE/dx, [N, D]; with `energy` [N] the values too, which come at no cost.
  Matrix gradient(MatrixView x) const;
  void gradient(MatrixView x, std::span<float> gradient, std::span<float> energy = {}) const;
  // f(x), without the confinement: [N, outputs].
  Matrix outputs(MatrixView x) const;
  void outputs(MatrixView x, std::span<float> f) const;
  // sum_i weights[i] dE(x_i)/dtheta, flat in the order of Mlp::parameters(): what an objective of your own needs. The
  // order of summation is fixed, so that the bits do not depend on the number of threads.
  std::vector<float> parameter_gradient(MatrixView x, std::span<const float> weights) const;
  void parameter_gradient(MatrixView x, std::span<const float> weights, std::span<float> gradient) const;

  // On a CUDA device the same on device memory, model space (derivatives by model-space x). Queued after what is queued
  // on `stream` (a cudaStream_t of this device; null: its default stream), and what is queued there afterwards comes
  // after it. Nothing is copied and the host does not wait; values are not looked at. The memory must live until the
  // work is done. Throws ConfigError on a CPU, for a null pointer (except energy of gradient()) or x.cols != D.
  void values(DeviceMatrixView x, float* energy, void* stream) const;
  void gradient(DeviceMatrixView x, float* gradient, float* energy, void* stream) const;
  void outputs(DeviceMatrixView x, float* f, void* stream) const;

 private:
  friend class Chains;
  struct Loaded;
  template <class Task>
  void with_points(MatrixView x, const Task& task) const;
  template <class Task>
  void on_stream(DeviceMatrixView x, void* stream, const Task& task) const;
  std::shared_ptr<Loaded> loaded_;
};

}  // namespace ebm
