// The energy: a small multilayer perceptron.
//
//   z_l = W_l a_{l-1} + b_l,   a_l = act(z_l),   a_0 = x,   f = W_L a_{L-1} + b_L
//   E(x) = head(f(x)) + (confinement / 2) |x|^2,     p(x) = exp(-E(x)) / Z
//
// x is in *model space*: what the model's transform (ebmcuda/transform.hpp) makes of the data, such as (x_data - mean)
// / std. Every public function that takes or returns positions speaks data units. Energies in data units are E(x) -
// log|det J| where the transform is not affine, so that p = exp(-E) / Z there too.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ebmcuda/export.hpp"
#include "ebmcuda/matrix.hpp"
#include "ebmcuda/transform.hpp"

namespace ebm {

class Device;

enum class Activation {
  silu,      // z sigmoid(z)
  softplus,  // log(1 + e^z)
  tanh,
  gelu,  // 0.5 z (1 + tanh(sqrt(2/pi) (z + 0.044715 z^3))): the tanh form
  elu,   // z for z > 0, e^z - 1 below (alpha = 1)
  relu,
};

enum class Head {
  scalar,  // one output, E = f
  logits,  // C >= 2 outputs, E = -logsumexp_y f_y and E(x, y) = -f_y: a classifier read as an EBM (JEM, arXiv
           // 1912.03263)
};

// "silu" <-> Activation::silu and so on. Parsing an unknown name throws ConfigError (field as given, the names
// allowed).
EBMCUDA_API std::string_view to_string(Activation activation);
EBMCUDA_API std::string_view to_string(Head head);
EBMCUDA_API Activation parse_activation(std::string_view name, std::string_view field = "activation");
EBMCUDA_API Head parse_head(std::string_view name, std::string_view field = "head");

struct EBMCUDA_API MlpShape {
  int dim = 0;  // D, 1 .. 16384
  static constexpr int kMostHidden = 16, kMostWidth = 8192;
  std::vector<int> hidden{};  // widths, 1 .. kMostHidden of them, each 1 .. kMostWidth
  Activation activation = Activation::silu;
  Head head = Head::scalar;
  int outputs = 1;           // 1 for a scalar head, 2 .. 4096 for logits
  float confinement = 0.0f;  // kappa >= 0; any kappa > 0 makes the integral of exp(-E) finite

  // Throws ConfigError that names the first field out of range.
  void validate() const;
  int layers() const noexcept { return static_cast<int>(hidden.size()) + 1; }  // linear maps, the head's included
  int in(int layer) const { return layer == 0 ? dim : hidden[static_cast<std::size_t>(layer) - 1]; }
  int out(int layer) const { return layer + 1 == layers() ? outputs : hidden[static_cast<std::size_t>(layer)]; }
  std::size_t parameter_count() const;
  // Offsets into the flat parameter vector: W_0 [out, in] row-major, b_0, W_1, b_1, ...
  std::size_t weight_offset(int layer) const;
  std::size_t bias_offset(int layer) const;
  bool operator==(const MlpShape&) const = default;
};

// How to read a file that carries no ebmcuda metadata (a PyTorch state dict); ignored where the file says.
struct EBMCUDA_API MlpReadOptions {
  std::optional<Activation> activation{};
  std::optional<Head> head{};
  std::optional<float> confinement{};
};

class EBMCUDA_API Mlp {
 public:
  // All parameters zero. Throws ConfigError for a shape out of range.
  explicit Mlp(MlpShape shape);

  // Weights and biases uniform in +-1/sqrt(fan_in) (PyTorch's default for Linear), those of the first layer times
  // `first_layer_scale` > 0. Philox purpose 6, so the same on every engine: parameter p of the flat vector is word p %
  // 4 of chain p / 4, step 0, block 0. Throws ConfigError.
  static Mlp random(MlpShape shape, std::uint64_t seed, float first_layer_scale = 1.0f);

  // Reads safetensors: our own files and state dicts of one PyTorch nn.Sequential of Linear layers under any prefix
  // ("module.", "_orig_mod.", "model.net."), in F32, F16, BF16 or F64. Throws FormatError (file, tensor, reason) and,
  // when activation, or the head of a network with several outputs, is neither in the file nor in `options`,
  // ConfigError.
  static Mlp load(const std::filesystem::path& path, const MlpReadOptions& options = {});
  // Writes beside, syncs and renames, so that a crash leaves the old file or the new one. Throws WriteError, and
  // ConfigError for what load() would refuse: a parameter that is not finite, notes under the format's own names.
  void save(const std::filesystem::path& path) const;

  const MlpShape& shape() const noexcept { return shape_; }
  int dim() const noexcept { return shape_.dim; }

  // All parameters, flat, in the order of MlpShape's offsets. A view must not outlive its network, so that a temporary
  // gives none.
  std::span<float> parameters() & noexcept { return parameters_; }
  std::span<const float> parameters() const& noexcept { return parameters_; }
  std::span<const float> parameters() const&& = delete;
  std::span<float> weight(int layer) &;  // [out, in] row-major
  std::span<const float> weight(int layer) const&;
  std::span<const float> weight(int layer) const&& = delete;
  std::span<float> bias(int layer) &;  // [out]
  std::span<const float> bias(int layer) const&;
  std::span<const float> bias(int layer) const&& = delete;

  // From data units to model space.
  const Transform& transform() const noexcept { return transform_; }
  // Throws ConfigError when it is not one of D columns.
  void set_transform(Transform transform);
  // The transform, where it is a standardisation.
  const std::optional<Standardization>& standardization() const noexcept { return transform_.standardization(); }
  // Throws ConfigError when the sizes are not D, a std is not positive or a value is not finite.
  void set_standardization(std::optional<Standardization> standardization);

  // Free-form notes kept in the file's metadata, for instance the sampler a model was trained with.
  std::map<std::string, std::string>& notes() noexcept { return notes_; }
  const std::map<std::string, std::string>& notes() const noexcept { return notes_; }

  // Rows of `x` from data units to model space and back. Throws ConfigError when x.cols != D.
  Matrix to_model_space(MatrixView x) const;
  Matrix to_data_units(MatrixView x) const;
  Matrix to_data_units(Matrix&& x) const;  // in place: no second copy of what may be millions of chains
  // What a log density loses on the way from model space to data units where that is one number: Transform::log_volume.
  double log_volume() const;

 private:
  MlpShape shape_;
  std::vector<float> parameters_;
  Transform transform_;
  std::map<std::string, std::string> notes_;
};

// The same density with its columns in another order: column j of the result is column order[j] of the model, `order`
// holding each of 0 .. D-1 once. Where the transform whitens, the result's own Cholesky factor is that of its order,
// and the first layer is turned to the coordinates of its model space. Notes are left out. Throws ConfigError.
EBMCUDA_API Mlp reorder_columns(const Mlp& model, std::span<const std::size_t> order);

// E of each row of `x` [N, D] (data units), N values. Throws ConfigError on a wrong shape or a non-finite x.
EBMCUDA_API std::vector<float> energy(const Mlp& model, MatrixView x, const Device& device);
// E(x, y) = -f(x)_y of each row with its label in 0 .. C-1. Throws ConfigError for a scalar head or a label out of
// range.
EBMCUDA_API std::vector<float> joint_energy(const Mlp& model, MatrixView x, std::span<const int> labels,
                                            const Device& device);
// dE/dx in data units, [N, D]; energies too when asked for.
EBMCUDA_API Matrix energy_gradient(const Mlp& model, MatrixView x, const Device& device,
                                   std::vector<float>* energies = nullptr);
// sum_i weights[i] dE(x_i)/dtheta, flat in the order of Mlp::parameters(): what an objective of your own needs. x [N,
// D] in data units, N weights. Throws ConfigError on a wrong shape or a non-finite value.
EBMCUDA_API std::vector<float> parameter_gradient(const Mlp& model, MatrixView x, std::span<const float> weights,
                                                  const Device& device);

}  // namespace ebm
