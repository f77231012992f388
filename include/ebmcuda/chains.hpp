// Markov chains that stay on the device between calls.
//
//   Chains chains(Energy(model), Mala{.step_size = 0.02f}, {.n_chains = 1000, .seed = 1});
//   chains.run(500);                                       // burn in
//   chains.run(1000, 10, [&](const ChainsProgress& now) {      // look at every tenth position
//     monitor.add(now.positions);
//     return true;
//   });
//
// A chain's positions depend only on the network, the seed, its id, its step numbers and what was asked of it: not on
// how a run is cut into calls, on the other chains or on the number of threads. sample() is one run of a Chains.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "ebmcuda/energy.hpp"
#include "ebmcuda/export.hpp"
#include "ebmcuda/sampler.hpp"

namespace ebm {

// E0(x) = |root (x - mean)|^2 / 2 in data units: root [D, D] upper triangular with a positive diagonal, mean D values;
// the precision matrix is root^T root.
struct EBMCUDA_API GaussianEnergy {
  std::vector<float> mean;
  Matrix root;
};

struct EBMCUDA_API ChainsOptions {
  std::int64_t n_chains = 1024;  // >= 1; ignored when `init` or `fixed` is given
  std::uint64_t seed = 0;
  std::uint64_t first_chain = 0;  // chain ids first_chain .. first_chain + n_chains - 1, below 2^56
  std::uint64_t first_step = 0;   // number of the first step, below 2^48
  std::optional<Matrix> init{};   // start positions [n_chains, D], data units; unset: the uniform start
  // Given: chain i samples the conditional density, exp(-E) of its other coordinates given those that row i holds at
  // these values, [n_chains, D] data units; NaN: free. Ends have the values bit for bit. Starts
  // and restarts move the others. Where the model's transform whitens, a row can fix its first columns only
  // (reorder_columns() makes others the first).
  std::optional<Matrix> fixed{};
  // Given: the chains run on exp(-(beta E + (1 - beta) E0)), in fp32 and by Metropolis-adjusted samplers only.
  std::optional<GaussianEnergy> base{};
  float beta = 1.0f;  // 0 .. 1; needs a base unless 1
  // Given: every chain has replicas at higher temperatures, which the sampler, a Metropolis-adjusted one, moves;
  // positions, energies and step numbers are replica 0's. Chain ids end at 2^46; without a base.
  std::optional<Tempering> tempering{};
};

// What a callback sees.
struct EBMCUDA_API ChainsProgress {
  std::int64_t transitions;  // done by this call of run() so far
  MatrixView positions;      // [n, D], data units; until the callback returns
};

// One thread at a time may use a Chains; any number of Chains may share an Energy.
class EBMCUDA_API Chains {
 public:
  // Throws ConfigError for a request out of range, before anything is allocated.
  Chains(Energy energy, Sampler sampler, ChainsOptions options = {});
  ~Chains();
  Chains(Chains&&) noexcept;
  Chains& operator=(Chains&&) noexcept;

  std::size_t size() const noexcept;  // number of chains, n
  const Energy& energy() const noexcept;
  const Sampler& sampler() const noexcept;
  // The number of every chain's next step: first_step plus the gradient evaluations done. A Chains that is made with it
  // and with positions() as `init` goes on where this one stands, bit for bit.
  std::uint64_t step() const noexcept;

  // What later transitions use. A chain that stands outside a new clamp is not moved: Metropolis-adjusted samplers wait
  // for a proposal inside. Throws ConfigError.
  void set_sampler(Sampler sampler);
  void set_step_size(float step_size);  // > 0
  void set_beta(float beta);            // 0 .. 1; needs a base

  // Every chain to the uniform start of its present step.
  void start_uniform();
  // [n, D], data units; fixed coordinates keep their values. Throws ConfigError for a wrong shape, a value that is not
  // finite or one outside the clamp.
  void set_positions(MatrixView x);

  // n >= 0 transitions of every chain. A CUDA device need not be done when this returns: whatever is asked for next
  // waits for it. (The host waits where a clamp is new to the device, and where a half-precision kernel is first
  // compiled.) Throws ConfigError when n < 0 or step numbers would reach 2^48. After OutOfMemory or a DeviceError that
  // is not sticky step() says how far the chains came; the rest can be asked for.
  void run(std::int64_t n);
  // The same with a look at the positions after every `every` >= 1 transitions, and never at more than one state in
  // memory. Ends early when the callback returns false. Returns the number of transitions done.
  std::int64_t run(std::int64_t n, std::int64_t every, const std::function<bool(const ChainsProgress&)>& callback);
  // Until everything asked for is done.
  void wait() const;

  // Present state, in the order of the chains.
  Matrix positions() const;                  // [n, D], data units
  void positions(std::span<float> x) const;  // the same into n * D values; allocates nothing
  std::vector<float> energies() const;       // E
  void energies(std::span<float> energy) const;
  std::vector<float> base_energies() const;     // E0; throws ConfigError without a base
  std::vector<std::uint8_t> restarted() const;  // 1 where a chain left the finite numbers and was restarted
  // Counts of all transitions since the chains were made or clear_stats() was called, acceptance per move among them.
  // They are counted on the device and fetched here.
  ChainStats stats() const;
  void clear_stats();
  // Swaps, round trips and the ladder since the chains were made; throws ConfigError without tempering.
  ReplicaStats replicas() const;

  // On a CUDA device, as the members of Energy that take a stream: no copy, no wait, model space; ConfigError on a CPU,
  // and for positions with tempering.
  //
  // Transitions that come after what is queued on `stream`, and before what is queued there afterwards.
  void run(std::int64_t n, void* stream);
  // Where the positions are, [n, D]: what is queued on `stream` afterwards may read them, until the next call of a
  // member that changes them. The pointer stays the same for the life of the chains.
  DeviceMatrixView device_positions(void* stream) const;
  // The same to be written to. What the chains do next must come after that: run(n, stream) with the same stream, or
  // any call once the stream is done. Nothing is checked; a value that is not finite has its chain restarted.
  // ConfigError with fixed coordinates.
  float* write_positions(void* stream);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ebm
