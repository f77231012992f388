// Maximum likelihood by contrastive divergence. One iteration: draw chains, run them n_steps, then one Adam step along
// the gradient of
//
//   mean E(data) - mean E(samples) + energy_reg * (mean E(data)^2 + mean E(samples)^2)
//     [+ mean cross-entropy of the labels, for a logits head with labels: JEM, arXiv 1912.03263]
//
// The value of that loss says nothing about convergence; watch the energy gap, acceptance and held-out likelihood.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ebmcuda/device.hpp"
#include "ebmcuda/divergence.hpp"
#include "ebmcuda/export.hpp"
#include "ebmcuda/matrix.hpp"
#include "ebmcuda/mlp.hpp"
#include "ebmcuda/replay_buffer.hpp"
#include "ebmcuda/sampler.hpp"

namespace ebm {

enum class ChainStart {
  persistent,  // from the replay buffer (persistent contrastive divergence)
  data,        // from the data points of the iteration (CD-k, Hinton 2002)
  fresh,       // from the uniform start, new chains every iteration (short-run)
};
EBMCUDA_API std::string_view to_string(ChainStart start);
EBMCUDA_API ChainStart parse_chain_start(std::string_view name, std::string_view field = "chain_start");

// Where the slots of the replay buffer are before the first iteration, model space, inside the sampler's clamp.
enum class BufferStart {
  uniform,   // within 3 standard deviations per dimension (Du and Mordatch 2019), where a restarted chain starts too
  gaussian,  // N(0, I)
  data,      // a training point each
};
EBMCUDA_API std::string_view to_string(BufferStart start);
EBMCUDA_API BufferStart parse_buffer_start(std::string_view name, std::string_view field = "buffer_start");

struct EBMCUDA_API ContrastiveDivergence {
  ChainStart chain_start = ChainStart::persistent;
  Sampler sampler = Mala{};
  std::int64_t n_steps = 20;  // Langevin steps per iteration, >= 1
  float energy_reg = 0.0f;    // >= 0
  // Mala only. Share of steps that propose y = x + d_a - d_b with two random training points: carries mass between
  // modes.
  float difference_prob = 0.0f;
  // Mala only: the step size follows this acceptance rate, in (0, 1); unset keeps it fixed.
  std::optional<float> target_acceptance = 0.7f;
  ReplayBufferOptions buffer;  // persistent chains only
  // Every chain has replicas at higher temperatures, which the sampler, a Metropolis-adjusted one, moves; a slot of the
  // buffer holds them all, and replica 0 is the sample. A ladder that is not given is geometric, from 1 to `hottest`:
  // one fitted to the energy of the first iteration would not fit the next.
  std::optional<Tempering> tempering{};
  std::int64_t replicas() const { return tempering ? tempering->replicas : 1; }
  BufferStart buffer_start = BufferStart::uniform;  // persistent chains only

  void validate(int dim) const;
};

enum class LearningRateDecay { constant, cosine, linear };  // from learning_rate to zero at the last iteration
EBMCUDA_API std::string_view to_string(LearningRateDecay decay);
EBMCUDA_API LearningRateDecay parse_learning_rate_decay(std::string_view name, std::string_view field = "decay");

// Kingma and Ba 2015, with decoupled weight decay (Loshchilov and Hutter 2019).
struct EBMCUDA_API Adam {
  float learning_rate = 3e-3f;  // > 0
  float beta1 = 0.9f;           // [0, 1)
  float beta2 = 0.999f;         // [0, 1)
  float epsilon = 1e-8f;        // > 0
  float weight_decay = 0.0f;    // >= 0; weights only, not biases
  float grad_norm_clip = 0.0f;  // > 0 rescales a longer gradient to this norm; 0: off
  std::int64_t warmup = 0;      // iterations of linear growth from 0
  LearningRateDecay decay = LearningRateDecay::cosine;

  void validate() const;
  // The rate of iteration t (from 0) of n.
  double rate(std::int64_t t, std::int64_t n) const;
};

enum class KeptModel { best, last };  // by held-out likelihood; or as the run ended
EBMCUDA_API std::string_view to_string(KeptModel kept);
EBMCUDA_API KeptModel parse_kept_model(std::string_view name, std::string_view field = "keep");

// What is done with held-out data, where a Trainer gets some.
struct EBMCUDA_API HeldOutOptions {
  // Times in a run that the held-out likelihood is measured, >= 1, each at the next log line: log Z by a grid up to two
  // dimensions, else by a short annealing. All together take about a tenth of the run's time.
  std::int64_t checks = 10;
  KeptModel keep = KeptModel::best;  // what model() returns, once a check has given a likelihood
  std::int64_t patience = 0;         // fit() ends after so many checks in a row without a better one; 0: never

  void validate() const;
};

struct EBMCUDA_API TrainerOptions {
  std::int64_t iterations = 4000;  // >= 1
  std::int64_t batch_size = 256;   // >= 1; data points and chains per iteration
  ContrastiveDivergence objective;
  Adam optimizer;
  float ema = 0.99f;  // [0, 1): decay of the parameters' moving average, which is what model() returns; 0: off
  // >= 0, data units: every visit of a point adds uniform noise in [0, dequantize) (purpose 8).
  float dequantize = 0.0f;
  // >= 0, model space: every visit of a point adds Gaussian noise of this standard deviation (purpose 17). The model is
  // then that of the data so smoothed, which keeps a small table from being learnt by heart.
  float data_noise = 0.0f;
  std::uint64_t seed = 0;
  std::int64_t log_every = 50;  // iterations per callback and log line; divergence is looked for as often
  OnDivergence on_divergence = OnDivergence::warn;
  HeldOutOptions held_out;

  // The settings measured to serve so many points of D dimensions best (docs/training.md).
  static TrainerOptions defaults(int dim, std::size_t n_data = std::numeric_limits<std::size_t>::max());
  void validate(int dim, std::size_t n_data) const;
};

// The multiplier of the first layer's initial weights (Mlp::random), and the confinement on standardised data, measured
// to serve D dimensions best (docs/training.md).
EBMCUDA_API float default_first_layer_scale(int dim);
EBMCUDA_API float default_confinement(int dim);

// The model of a logged iteration (the moving average when ema > 0) on held-out data, in data units.
struct EBMCUDA_API HeldOutReport {
  double energy_gap = 0;  // mean E(held out) - mean E(train): log Z cancels. It grows when the model overfits
  std::optional<double> log_likelihood{};  // nats per held-out point, where a check was due and log Z is known
  double log_z_error = 0;                  // of that check
  bool best = false;                       // no check before gave more
  std::string refusal{};                   // why a check that was due gave none
};

// The best check so far, and the last.
struct EBMCUDA_API HeldOutSummary {
  std::int64_t best_iteration = 0;
  double best_log_likelihood = 0, last_log_likelihood = 0;
};

// One logged iteration. Energies are means over the batch.
struct EBMCUDA_API TrainProgress {
  std::int64_t iteration = 0;  // iterations done
  std::int64_t iterations = 0;
  double energy_data = 0, energy_samples = 0;
  double energy_gap() const { return energy_data - energy_samples; }
  double gradient_norm = 0;                                  // of the parameter gradient, before clipping
  double cross_entropy = 0;                                  // with labels only
  double step_size = 0;                                      // the sampler's, as adapted
  ChainStats stats;                                          // since the last progress
  double seconds = 0;                                        // since fit() began
  double chain_steps_per_second = 0;                         // since the last progress
  double spread = std::numeric_limits<double>::quiet_NaN();  // of the persistent chains, in spreads of the data
  std::vector<DivergenceSign> signs;                         // of divergence, beyond the limits of divergence.hpp
  int rollbacks = 0;                                         // so far; each quarters the learning rate
  std::optional<std::int64_t> rolled_back_to;                // the run went back to this iteration
  std::optional<HeldOutReport> held_out{};                   // with held-out data
};

class EBMCUDA_API Trainer {
 public:
  // Starts at `model` (its transform maps the data) on `data` [N, D], data units; labels (0 .. C-1, N of them) only for
  // a logits head; held-out points [M, D] are looked at, never trained on. Throws ConfigError for options, shapes or
  // values out of range, NaN in the data included.
  Trainer(Mlp model, MatrixView data, TrainerOptions options, const Device& device = Device::automatic(),
          std::span<const int> labels = {}, MatrixView held_out = {});
  // Goes on from a checkpoint: the run then gives the same bits as one that was never stopped. `data` (labels and
  // held-out points too) must be what the run began with; a fingerprint in the checkpoint is compared. A finished run
  // goes on to `iterations` when they are more; the learning rate of iteration t is then that of a run of so many.
  // Throws FormatError or ConfigError.
  static Trainer resume(const std::filesystem::path& checkpoint, MatrixView data,
                        const Device& device = Device::automatic(), std::span<const int> labels = {},
                        std::optional<std::int64_t> iterations = {}, MatrixView held_out = {});
  Trainer(Trainer&&) noexcept;
  Trainer& operator=(Trainer&&) noexcept;
  ~Trainer();

  // Runs until `iterations` of the options are done, or for at most `max_iterations` more; calls `progress` every
  // log_every iterations and stops early when it returns false. What a sign of divergence does at such a report, or a
  // loss that leaves the finite numbers at any iteration, is on_divergence's to say:
  //   warn      signs are in the progress; DivergenceError when the loss is not finite
  //   stop      DivergenceError, and the trainer is where the last report without a sign (or the start) left it
  //   rollback  it goes on from there with a quarter of the learning rate; the progress says so. After kMaxRollbacks as
  //   stop
  // Same bits however a run is split over calls, checkpoints and ranks; over ranks, `progress` must answer alike on
  // all. With held-out data it also ends out of patience. After OutOfMemory or a DeviceError that is not sticky another
  // call goes on, to the same bits; reports lack what the failed call had done and not yet reported.
  void fit(const std::function<bool(const TrainProgress&)>& progress = {}, std::int64_t max_iterations = -1);

  std::int64_t iteration() const;  // iterations done
  const TrainerOptions& options() const;
  // The moving average when ema > 0, else the raw parameters; with held-out data, what HeldOutOptions::keep says. Notes
  // name the sampler and the iteration; before the last iteration one, `unfinished`, says how far it came; another,
  // `diverged`, which signs of divergence the last report had.
  Mlp model() const;
  Mlp raw_model() const;
  ReplayBuffer buffer() const;  // a snapshot of the persistent chains; ConfigError when there are none
  double step_size() const;     // as adapted
  std::optional<HeldOutSummary> held_out() const;  // nothing before the first check that gives a likelihood
  bool out_of_patience() const;

  // Everything, in one safetensors file, written atomically. Throws WriteError and leaves the old file as it was. Over
  // ranks (Device::over) all call it and the first writes; the file does not say how many there were.
  void save_checkpoint(const std::filesystem::path& path) const;

 private:
  struct EBMCUDA_HIDDEN State;
  explicit Trainer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace ebm
