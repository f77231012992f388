// The seam between the API and the machines. Above it nothing knows where chains live; below it nothing knows about
// files, options, data units or progress. Everything here is in model space. Two implementations: host/cpu and
// host/cuda.
//
//   Engine            opens a device
//     EnergyFunction  one network's parameters on that device: E, dE/dx
//       ChainSet      n chains on the device: positions, ids, step numbers; runs K steps of a Transition
//     TrainingPrimitives  parameters, Adam moments, average, replay buffer and data on the device, and the parts that
//                         host/training/iteration.cpp makes an iteration of
//
// Preconditions are the caller's (host/*.cpp check options before they get here); engines throw DeviceError,
// OutOfMemory and std::bad_alloc only.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ebmcuda/device.hpp"
#include "ebmcuda/mlp.hpp"
#include "ebmcuda/sampler.hpp"
#include "ebmcuda/trainer.hpp"
#include "kernels/training/batch_loss.hpp"
#include "kernels/training/conclusion.hpp"

namespace ebm {

// One transition of the Markov chain, numbers resolved: what the body of a sampler (ebmcuda/samplers) reads.
struct Transition {
  SamplerKind kind = SamplerKind::langevin;
  std::int64_t evaluations = 1;  // of the gradient; a chain's step number advances by as many
  float step_size = 0.01f;
  std::array<float, 4> own{};                                // the sampler's own numbers
  float grad_clip = std::numeric_limits<float>::infinity();  // infinity: off
  std::vector<float> clamp_lo, clamp_hi;                     // D values each, or both empty
  std::vector<float> start_lo, start_hi;  // where uniform starts and jumps go, D values each; both empty: +-3
  float jump_prob = 0.0f;                 // Metropolis-adjusted samplers
  float difference_prob = 0.0f;           // the same, in training only
  bool operator==(const Transition&) const = default;
};

// The far end of an annealing path: a Gaussian energy E0(x) = |R (x - mean)|^2 / 2, R upper triangular [D, D]
// row-major. Its precision matrix is R^T R.
struct GaussianBase {
  std::vector<float> mean;
  std::vector<float> root;
};

// n chains that stay on the device between calls. Chain i is (ids[i], its own step number); its next state depends on
// nothing else. Sets of one function may be used by as many threads as there are sets; one set by one at a time.
class ChainSet {
 public:
  virtual ~ChainSet() = default;
  // Positions [n, D].
  virtual void set_positions(std::span<const float> x) = 0;
  virtual void positions(std::span<float> x) const = 0;
  // Every chain to the uniform start of its current step (purpose 1), in the transition's start region.
  virtual void start_uniform(const Transition& transition = {}) = 0;
  // [n, D]: not 0 where a coordinate is fixed. From now on starts, restarts and transitions leave it what it is, and
  // the others move on exp(-E) given those (set_positions() sets all). Before the first run; D bytes a chain.
  virtual void fix(std::span<const std::uint8_t> fixed) = 0;
  // n transitions on exp(-E). A set made with a base runs Metropolis-adjusted samplers only, on
  // exp(-(beta E + (1 - beta) E0)). Queued: a device need not be done when this returns, and the host does not wait.
  virtual void run(const Transition& transition, std::int64_t n, float beta = 1.0f) = 0;
  // What the runs since the set was made, or since clear_stats(), counted; waits for them.
  virtual ChainStats stats() const = 0;
  virtual void clear_stats() = 0;
  // E of the current positions, and E0 where there is a base (else leave it empty), n values each.
  virtual void energies(std::span<float> energy, std::span<float> base_energy = {}) const = 0;
  // Parallel tempering, for a set made with inverse temperatures: chain c's replicas are rows c R .. c R + R - 1 of the
  // set. Each chain whose last transition, of `evaluations` steps, came to or over a multiple of `period` tries to swap
  // its neighbours r, r + 1, r even or odd as step / period is (ebmcuda/samplers/tempering.hpp; purpose 16, chain c R's
  // id and step, block r / 4, word r % 4). Queued, after a run().
  virtual void swap_replicas(int replicas, std::int64_t evaluations, std::uint64_t period) = 0;
  // Swaps and round trips since the set was made; waits. inverse_temperatures stay empty.
  virtual ReplicaStats replica_stats() const = 0;
  // 1 where a chain has been restarted since the set was made.
  virtual void restarted(std::span<std::uint8_t> flags) const = 0;
  virtual std::vector<std::uint64_t> steps() const = 0;
  // By how much every chain's step number has grown since the set was made; does not wait. A run() that failed counts
  // as far as it was queued, so that the rest of it can be asked for again.
  virtual std::uint64_t advanced() const = 0;
  // What the set keeps of the energy from call to call is no longer true: the network's parameters were changed, or
  // positions through device_positions().
  virtual void forget() = 0;
  // Positions [n, D] in device memory, for the life of the set; null where the engine has no such thing.
  virtual float* device_positions() { return nullptr; }
};

// The work of an EnergyFunction and its chain sets as a queue on a device, for callers with device memory.
class DeviceQueue {
 public:
  virtual ~DeviceQueue() = default;
  // What is asked for from now on waits for what is queued on the caller's stream, without the host's waiting.
  virtual void follow(void* stream) const = 0;
  // What is queued on the caller's stream from now on waits for what has been asked for.
  virtual void precede(void* stream) const = 0;
  virtual void wait() const = 0;
  // As EnergyFunction's, on device memory; only queued. energy and gradient may be null.
  virtual void queue_evaluate(const float* x, std::int64_t n, float* energy, float* gradient) const = 0;
  virtual void queue_outputs(const float* x, std::int64_t n, float* f) const = 0;
};

// One thread at a time may call, its chain sets aside.
class EnergyFunction {
 public:
  virtual ~EnergyFunction() = default;
  // Which path of the engine serves this network, for reports: "SIMD tiles of 64 chains", "fused fp32 kernel", ...
  virtual std::string path() const = 0;
  // The same shape with other parameters, flat as Mlp::parameters(); no chain set may be running. Sets go on with them
  // after forget(). Throws ConfigError as load() does.
  virtual void set_parameters(std::span<const float> parameters) = 0;
  // Null where work is done by the time a call returns.
  virtual const DeviceQueue* queue() const { return nullptr; }
  // x [n, D] -> energy [n]; gradient [n, D] unless empty.
  virtual void evaluate(std::span<const float> x, std::span<float> energy, std::span<float> gradient = {}) const = 0;
  // f(x): [n, outputs], without the confinement.
  virtual void outputs(std::span<const float> x, std::span<float> f) const = 0;
  // sum_i weights[i] dE(x_i)/dtheta, flat as Mlp::parameters(), in the order of summation of
  // kernels/math/ordered_sum.hpp: chunks of rows, then a tree.
  virtual void parameter_gradient(std::span<const float> x, std::span<const float> weights,
                                  std::span<float> gradient) const = 0;
  // The sums of the chunks alone, [chunks_of(n), parameters]. The chunks of a batch may come from different calls,
  // threads or machines, each given rows from a multiple of kChunkRows on: added by tree_sum() they are the gradient of
  // the batch, bit for bit.
  virtual void parameter_gradient_chunks(std::span<const float> x, std::span<const float> weights,
                                         std::span<float> sums) const = 0;
  // Chains with these ids (below 2^56) at these step numbers (below 2^48); positions are undefined until set or
  // started.
  // `inverse_temperatures`, one for each or none: the set runs Metropolis-adjusted samplers on exp(-beta_i E).
  virtual std::unique_ptr<ChainSet> chains(std::uint64_t seed, std::vector<std::uint64_t> ids,
                                           std::vector<std::uint64_t> steps, std::optional<GaussianBase> base = {},
                                           std::vector<float> inverse_temperatures = {}) const = 0;
};

// What a training run is, apart from its state. `objective.sampler` arrives here as the Transition.
// Engines read what concerns rows and chains; objective and optimiser reach them as BatchLoss and StepRules.
struct TrainingPlan {
  MlpShape shape;
  std::int64_t iterations = 0;
  std::int64_t batch_size = 0;
  ChainStart chain_start = ChainStart::persistent;
  Transition transition;  // step_size is the start value; TrainingState::step_size is the current one
  std::int64_t n_steps = 0;
  float energy_reg = 0;
  std::optional<float> target_acceptance;
  std::int64_t buffer_capacity = 0;
  // Of a chain's replicas, the first being the sample and 1: R of them, as ChainSet::swap_replicas has them, which swap
  // every swap_every transitions. Empty: a chain is one row.
  std::vector<float> inverse_temperatures;
  std::int64_t swap_every = 1;
  std::int64_t replicas() const {
    return inverse_temperatures.empty() ? 1 : static_cast<std::int64_t>(inverse_temperatures.size());
  }
  float reinit_prob = 0;
  Adam optimizer;
  float ema = 0;
  std::vector<float> dequantize;  // model space: width of the uniform noise per dimension, D values or empty
  float data_noise = 0;           // standard deviation of the Gaussian noise; 0: none
  std::uint64_t seed = 0;
};

// All that a checkpoint holds beside the plan. Everything an iteration reads is here or in the plan or the data.
struct TrainingState {
  std::int64_t iteration = 0;                          // done; data order and chain ids follow from it
  std::vector<float> parameters, adam_m, adam_v, ema;  // flat as Mlp::parameters(); ema empty when off
  float step_size = 0;
  std::vector<float> buffer_x;              // [capacity, replicas, D]; empty unless persistent
  std::vector<std::uint64_t> buffer_steps;  // [capacity]
};

struct IterationStats : IterationReport {
  ChainStats chains;
};

// The parts of a training iteration, on one engine's memory. host/training/iteration.hpp, which says what an iteration
// is, calls them. Each queues work in order and none waits, so that an engine may record the calls once and replay
// them. After an iteration whose numbers were not finite they do nothing any more.
class TrainingPrimitives {
 public:
  virtual ~TrainingPrimitives() = default;
  // The data points of this iteration, with labels and dequantisation: part one of the batch. They are where chains
  // start from with ChainStart::data.
  virtual void gather_data() = 0;
  // Opens the iteration's chains (slots of the buffer, restarts among them; the data batch; or the uniform start), runs
  // n_steps transitions at the current step size, and closes them: back to their slots, and part two of the batch.
  virtual void run_chains() = 0;
  // Energies, cross-entropies and the parameter gradient of the batch.
  virtual void differentiate(const BatchLoss& loss) = 0;
  // conclude() of kernels/training/conclusion.hpp: the iteration's statistics, Adam's numbers, the step size, and the
  // count of iterations.
  virtual void conclude(const StepRules& rules) = 0;
  // Adam and the moving average with what conclude() left.
  virtual void update_parameters() = 0;

  // `iteration` makes the calls above, the same ones each time. Once, before run().
  virtual void record(std::function<void()> iteration) = 0;
  // Runs n more iterations and returns the statistics of each. Numbers that are not finite leave parameters and moments
  // as they were before that iteration and stop the run: the last element then has a NaN gradient_norm.
  virtual std::vector<IterationStats> run(std::int64_t n) = 0;
  // Iterations done. A run() that failed counts as far as it was queued; its statistics are lost.
  virtual std::int64_t iteration() const = 0;
  // A copy of the current state (waits for the device).
  virtual TrainingState state() const = 0;
};

class Engine {
 public:
  virtual ~Engine() = default;
  // "cpu AVX2, 2 threads": what runs, for reports.
  virtual std::string description() const = 0;
  // What the bits of its results depend on, beside the build: "cpu AVX2".
  virtual std::string arithmetic() const = 0;
  virtual std::unique_ptr<EnergyFunction> load(const Mlp& model) const = 0;
  // `data` [n, D] model space; labels [n] or empty. Copies are kept.
  virtual std::unique_ptr<TrainingPrimitives> training(TrainingPlan plan, TrainingState start,
                                                       std::span<const float> data,
                                                       std::span<const int> labels) const = 0;
};

// Throws ConfigError for a device this build or machine hasn't got, or ranks whose devices differ.
std::unique_ptr<Engine> make_engine(const Device& device);

// host/cpu and host/cuda; the second exists only in builds with CUDA. The ranks are those that training shares a batch
// out over; all else is shared out by what make_engine puts around an engine (host/ranks/shared_engine.hpp).
namespace cpu {
std::unique_ptr<Engine> make_engine(int threads, Communicator ranks = {});
}
namespace cuda {
std::unique_ptr<Engine> make_engine(int ordinal, Precision precision, void* stream, Communicator ranks = {});
}

}  // namespace ebm
