#include "ebmcuda/energy.hpp"

#include <algorithm>
#include <cmath>

#include "host/core/check.hpp"
#include "host/sampling/loaded_energy.hpp"
#include "host/sampling/transition.hpp"

namespace ebm {
namespace {

void require_values(std::string_view field, std::size_t got, std::size_t rows, std::size_t per_row) {
  require(got == rows * per_row, field, got,
          fmt::format("must hold {} value{} for each of the {} rows", per_row, per_row == 1 ? "" : "s", rows));
}

void require_labels(const Mlp& model, MatrixView x, std::span<const int> labels) {
  const MlpShape& shape = model.shape();
  require(shape.head == Head::logits, "head", to_string(shape.head), "labels need a logits head");
  require_points("x", x, model.dim());
  require(labels.size() == x.rows, "labels", labels.size(),
          fmt::format("must hold one label for each of the {} rows", x.rows));
  for (const int label : labels) {
    require(label >= 0 && label < shape.outputs, "labels", label, fmt::format("must be in 0 .. {}", shape.outputs - 1));
  }
}

void require_weights(MatrixView x, std::span<const float> weights) {
  require_values("weights", weights.size(), x.rows, 1);
  for (const float w : weights) require(std::isfinite(w), "weights", w, "every value must be finite");
}

void require_device_points(const DeviceMatrixView& x, int dim) {
  require(x.cols == static_cast<std::size_t>(dim), "x", fmt::format("{} x {}", x.rows, x.cols),
          fmt::format("the model has D = {}, so rows must hold {} values", dim, dim));
  require(x.rows <= (std::size_t{1} << 40) / x.cols, "x", fmt::format("{} x {}", x.rows, x.cols),
          "must hold at most 2^40 values");
  require(x.data != nullptr || x.rows == 0, "x", "null", "must point to device memory");
}

void require_device_memory(std::string_view field, const float* p, std::size_t rows) {
  require(p != nullptr || rows == 0, field, "null", "must point to device memory");
}

}  // namespace

Energy::Loaded::Loaded(const Mlp& mlp, const Device& on)
    : model(mlp), device(on), engine(make_engine(on)), function(engine->load(mlp)) {}

void Energy::Loaded::settle() {
  if (!mixed) return;
  const std::scoped_lock lock(mutex);
  if (!mixed) return;
  function->set_parameters(model.parameters());
  mixed = false;
}

const DeviceQueue& Energy::Loaded::queue() const {
  const DeviceQueue* const queue = function->queue();
  require(device.ranks().size() == 1, "device", fmt::format("{} ranks", device.ranks().size()),
          "device memory of a caller's is not shared out; use matrices");
  require(queue != nullptr, "device", "cpu", "only a CUDA device has memory and streams of its own");
  return *queue;
}

Energy::Energy(const Mlp& model, const Device& device) : loaded_(std::make_shared<Loaded>(model, device)) {}

int Energy::dim() const noexcept { return loaded_->model.dim(); }
const Mlp& Energy::model() const noexcept { return loaded_->model; }
const Device& Energy::device() const noexcept { return loaded_->device; }
std::string Energy::engine() const { return loaded_->engine->description(); }
std::string Energy::path() const { return loaded_->function->path(); }
std::string Energy::description() const { return fmt::format("{}: {}", engine(), path()); }

void Energy::set_parameters(std::span<const float> parameters) {
  const std::size_t count = loaded_->model.parameters().size();
  require(parameters.size() == count, "parameters", parameters.size(), fmt::format("must hold {} values", count));
  const std::scoped_lock lock(loaded_->mutex);
  loaded_->mixed = true;
  loaded_->function->set_parameters(parameters);
  loaded_->mixed = false;
  std::ranges::copy(parameters, loaded_->model.parameters().begin());
  ++loaded_->version;
}

// task(x in model space) with the handle locked.
template <class Task>
void Energy::with_points(MatrixView x, const Task& task) const {
  require_points("x", x, dim());
  loaded_->settle();
  const std::scoped_lock lock(loaded_->mutex);
  const Transform& transform = loaded_->model.transform();
  if (transform.kind() == TransformKind::none) {
    task(x.values());
    return;
  }
  loaded_->points.resize(x.rows * x.cols);
  transform.forward(x.values(), loaded_->points);
  task(std::span<const float>(loaded_->points));
}

namespace {

// From the energy of model space to that of data units, at x in data units.
void to_data_units(const Transform& transform, std::span<const float> x, std::span<float> energy) {
  if (transform.affine()) return;
  std::vector<double> log_jacobian(energy.size());
  transform.log_jacobian(x, log_jacobian);
  subtract_log_jacobian(log_jacobian, energy);
}

}  // namespace

void subtract_log_jacobian(std::span<const double> log_jacobian, std::span<float> energy) {
  for (std::size_t i = 0; i < energy.size(); ++i) {
    energy[i] = static_cast<float>(static_cast<double>(energy[i]) - log_jacobian[i]);
  }
}

std::vector<float> Energy::values(MatrixView x) const {
  std::vector<float> energy(x.rows);
  values(x, energy);
  return energy;
}

void Energy::values(MatrixView x, std::span<float> energy) const {
  require_values("energy", energy.size(), x.rows, 1);
  with_points(x, [&](std::span<const float> points) { loaded_->function->evaluate(points, energy); });
  to_data_units(loaded_->model.transform(), x.values(), energy);
}

Matrix Energy::gradient(MatrixView x) const {
  Matrix gradient(x.rows, x.cols);
  this->gradient(x, gradient.values());
  return gradient;
}

void Energy::gradient(MatrixView x, std::span<float> gradient, std::span<float> energy) const {
  require_values("gradient", gradient.size(), x.rows, x.cols);
  if (!energy.empty()) require_values("energy", energy.size(), x.rows, 1);
  with_points(x, [&](std::span<const float> points) {
    if (energy.empty()) loaded_->unwanted.resize(x.rows);
    loaded_->function->evaluate(points, energy.empty() ? std::span(loaded_->unwanted) : energy, gradient);
  });
  const Transform& transform = loaded_->model.transform();
  transform.pull_back(x.values(), gradient);
  if (transform.affine()) return;
  std::vector<float> volume(gradient.size());
  transform.log_jacobian_gradient(x.values(), volume);
  for (std::size_t k = 0; k < gradient.size(); ++k) gradient[k] -= volume[k];
  to_data_units(transform, x.values(), energy);
}

Matrix Energy::outputs(MatrixView x) const {
  Matrix f(x.rows, static_cast<std::size_t>(loaded_->model.shape().outputs));
  outputs(x, f.values());
  return f;
}

void Energy::outputs(MatrixView x, std::span<float> f) const {
  require_values("f", f.size(), x.rows, static_cast<std::size_t>(loaded_->model.shape().outputs));
  with_points(x, [&](std::span<const float> points) { loaded_->function->outputs(points, f); });
}

std::vector<float> Energy::joint_values(MatrixView x, std::span<const int> labels) const {
  const MlpShape& shape = loaded_->model.shape();
  require_labels(loaded_->model, x, labels);
  const Matrix points = loaded_->model.to_model_space(x), f = outputs(x);
  std::vector<float> energies(x.rows);
  const float half_kappa = shape.confinement / 2;
  for (std::size_t i = 0; i < x.rows; ++i) {
    float square = 0;
    for (const float v : points.row(i)) square += v * v;
    energies[i] = half_kappa * square - f(i, static_cast<std::size_t>(labels[i]));
  }
  to_data_units(loaded_->model.transform(), x.values(), energies);
  return energies;
}

std::vector<float> Energy::parameter_gradient(MatrixView x, std::span<const float> weights) const {
  std::vector<float> gradient(loaded_->model.parameters().size());
  parameter_gradient(x, weights, gradient);
  return gradient;
}

void Energy::parameter_gradient(MatrixView x, std::span<const float> weights, std::span<float> gradient) const {
  require_weights(x, weights);
  const std::size_t count = loaded_->model.parameters().size();
  require(gradient.size() == count, "gradient", gradient.size(),
          fmt::format("must hold {} values, one for each parameter", count));
  with_points(x,
              [&](std::span<const float> points) { loaded_->function->parameter_gradient(points, weights, gradient); });
}

// task(queue, n) between what is on `stream` and what comes there later, with the handle locked.
template <class Task>
void Energy::on_stream(DeviceMatrixView x, void* stream, const Task& task) const {
  const DeviceQueue& queue = loaded_->queue();
  require_device_points(x, dim());
  loaded_->settle();
  const std::scoped_lock lock(loaded_->mutex);
  queue.follow(stream);
  task(queue, static_cast<std::int64_t>(x.rows));
  queue.precede(stream);
}

void Energy::values(DeviceMatrixView x, float* energy, void* stream) const {
  require_device_memory("energy", energy, x.rows);
  on_stream(x, stream, [&](const DeviceQueue& queue, std::int64_t n) { queue.queue_evaluate(x.data, n, energy, {}); });
}

void Energy::gradient(DeviceMatrixView x, float* gradient, float* energy, void* stream) const {
  require_device_memory("gradient", gradient, x.rows);
  on_stream(x, stream,
            [&](const DeviceQueue& queue, std::int64_t n) { queue.queue_evaluate(x.data, n, energy, gradient); });
}

void Energy::outputs(DeviceMatrixView x, float* f, void* stream) const {
  require_device_memory("f", f, x.rows);
  on_stream(x, stream, [&](const DeviceQueue& queue, std::int64_t n) { queue.queue_outputs(x.data, n, f); });
}

std::vector<float> energy(const Mlp& model, MatrixView x, const Device& device) {
  require_points("x", x, model.dim());
  return Energy(model, device).values(x);
}

std::vector<float> joint_energy(const Mlp& model, MatrixView x, std::span<const int> labels, const Device& device) {
  require_labels(model, x, labels);
  return Energy(model, device).joint_values(x, labels);
}

Matrix energy_gradient(const Mlp& model, MatrixView x, const Device& device, std::vector<float>* energies) {
  require_points("x", x, model.dim());
  std::vector<float> values(x.rows);
  Matrix gradient(x.rows, x.cols);
  Energy(model, device).gradient(x, gradient.values(), values);
  if (energies != nullptr) *energies = std::move(values);
  return gradient;
}

std::vector<float> parameter_gradient(const Mlp& model, MatrixView x, std::span<const float> weights,
                                      const Device& device) {
  require_points("x", x, model.dim());
  require_weights(x, weights);
  return Energy(model, device).parameter_gradient(x, weights);
}

}  // namespace ebm
