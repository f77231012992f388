#include "host/sampling/tempering.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "host/core/check.hpp"

namespace ebm {
namespace {

class TemperedChains final : public ChainSet {
 public:
  TemperedChains(const EnergyFunction& function, int dim, std::uint64_t seed, std::span<const std::uint64_t> ids,
                 std::span<const std::uint64_t> steps, const Tempering& tempering)
      : dim_(static_cast<std::size_t>(dim)),
        replicas_(tempering.inverse_temperatures->size()),
        ladder_(*tempering.inverse_temperatures),
        swap_every_(tempering.swap_every),
        first_steps_(steps.begin(), steps.end()) {
    std::vector<std::uint64_t> all_ids, all_steps;
    std::vector<float> betas;
    for (std::size_t c = 0; c < ids.size(); ++c) {
      for (std::size_t r = 0; r < replicas_; ++r) {
        all_ids.push_back(replica_id(ids[c], r));
        all_steps.push_back(steps[c]);
        betas.push_back(ladder_[r]);
      }
    }
    chains_ = function.chains(seed, std::move(all_ids), std::move(all_steps), {}, std::move(betas));
  }

  void set_positions(std::span<const float> x) override {
    chains_->set_positions(for_replicas(x));
    swapped_at_ = advanced();
  }
  void positions(std::span<float> x) const override {
    std::vector<float> all(x.size() * replicas_);
    chains_->positions(all);
    for (std::size_t c = 0; c < first_steps_.size(); ++c) std::copy_n(&all[c * replicas_ * dim_], dim_, &x[c * dim_]);
  }
  void start_uniform(const Transition& transition) override {
    chains_->start_uniform(transition);
    swapped_at_ = advanced();
  }
  void fix(std::span<const std::uint8_t> fixed) override { chains_->fix(for_replicas(fixed)); }

  // Pieces end where a chain's step number says that it swaps, so that no split of n changes a bit.
  void run(const Transition& transition, std::int64_t n, float) override {
    const auto evaluations = static_cast<std::uint64_t>(transition.evaluations);
    const std::uint64_t period = swap_period(transition.evaluations, swap_every_);
    const auto swap = [&] {
      chains_->swap_replicas(static_cast<int>(replicas_), transition.evaluations, period);
      swapped_at_ = advanced();
    };
    if (swapped_at_ != advanced()) swap();  // a run that failed owes it
    for (std::int64_t done = 0; done < n;) {
      std::uint64_t piece = static_cast<std::uint64_t>(n - done);
      for (const std::uint64_t first : first_steps_)
        piece = std::min(piece, (period - (first + advanced()) % period + evaluations - 1) / evaluations);
      chains_->run(transition, static_cast<std::int64_t>(piece));
      done += static_cast<std::int64_t>(piece);
      swap();
    }
  }
  ChainStats stats() const override { return chains_->stats(); }
  void clear_stats() override { chains_->clear_stats(); }

  void energies(std::span<float> energy, std::span<float>) const override {
    std::vector<float> all(energy.size() * replicas_);
    chains_->energies(all);
    for (std::size_t c = 0; c < energy.size(); ++c) energy[c] = all[c * replicas_];
  }
  void restarted(std::span<std::uint8_t> flags) const override {
    std::vector<std::uint8_t> all(flags.size() * replicas_);
    chains_->restarted(all);
    for (std::size_t i = 0; i < flags.size(); ++i) flags[i] = 0;
    for (std::size_t i = 0; i < all.size(); ++i) flags[i / replicas_] |= all[i];
  }
  std::vector<std::uint64_t> steps() const override {
    std::vector<std::uint64_t> steps = first_steps_;
    for (std::uint64_t& step : steps) step += advanced();
    return steps;
  }
  std::uint64_t advanced() const override { return chains_->advanced(); }
  void forget() override {
    chains_->forget();
    swapped_at_ = advanced();  // the energies that a swap compares are gone
  }
  void swap_replicas(int, std::int64_t, std::uint64_t) override {}
  ReplicaStats replica_stats() const override {
    ReplicaStats stats = chains_->replica_stats();
    stats.inverse_temperatures = ladder_;
    stats.swaps.resize(replicas_ - 1);
    return stats;
  }

 private:
  // Rows of the chains [n, D], each for all of its replicas.
  template <class T>
  std::vector<T> for_replicas(std::span<const T> x) const {
    std::vector<T> all;
    all.reserve(x.size() * replicas_);
    for (std::size_t c = 0; c < first_steps_.size(); ++c) {
      const auto row = x.subspan(c * dim_, dim_);
      for (std::size_t r = 0; r < replicas_; ++r) all.insert(all.end(), row.begin(), row.end());
    }
    return all;
  }

  std::size_t dim_, replicas_;
  std::vector<float> ladder_;
  std::int64_t swap_every_;
  std::vector<std::uint64_t> first_steps_;  // of the chains
  std::uint64_t swapped_at_ = 0;            // advanced() at the last round of swaps, or when one was out of place
  std::unique_ptr<ChainSet> chains_;        // rows c R + r
};

// The ladder again, with the barrier that its rejections show spread evenly. The barrier between neighbours is taken as
// linear in ln beta, which is finer where beta is small.
std::vector<float> spread(const std::vector<float>& ladder, const std::vector<MoveCount>& swaps) {
  std::vector<double> barrier{0.0};
  for (const MoveCount& pair : swaps) {
    const double rejected =
        pair.proposed == 0 ? 0.5 : 1 - static_cast<double>(pair.accepted) / static_cast<double>(pair.proposed);
    barrier.push_back(barrier.back() + std::max(rejected, 1e-3));  // never zero: temperatures must stay apart
  }
  std::vector<float> result = ladder;
  std::size_t k = 0;
  for (std::size_t r = 1; r + 1 < ladder.size(); ++r) {
    const double wanted = barrier.back() * static_cast<double>(r) / static_cast<double>(ladder.size() - 1);
    while (barrier[k + 1] < wanted) ++k;
    const double share = (wanted - barrier[k]) / (barrier[k + 1] - barrier[k]);
    const double from = std::log(static_cast<double>(ladder[k])), to = std::log(static_cast<double>(ladder[k + 1]));
    result[r] = static_cast<float>(std::exp(from + share * (to - from)));
  }
  return result;
}

}  // namespace

double ReplicaStats::barrier() const {
  double sum = 0;
  for (const auto& [proposed, accepted] : swaps) {
    if (proposed > 0) sum += 1 - static_cast<double>(accepted) / static_cast<double>(proposed);
  }
  return sum;
}

void require_can_be_tempered(const Transition& local) {
  require(is_metropolis(local.kind), "tempering", to_string(local.kind),
          fmt::format("replicas move by a Metropolis-adjusted sampler: {}", metropolis_names()));
}

std::vector<float> ladder_of(const EnergyFunction& function, int dim, const Transition& local,
                             const Tempering& tempering, std::uint64_t seed) {
  tempering.validate();
  require_can_be_tempered(local);
  if (tempering.inverse_temperatures) return *tempering.inverse_temperatures;
  Tempering pilot = tempering;
  pilot.inverse_temperatures = tempering.geometric_ladder();
  // Always the same chains for as long, so that the ladder does not depend on how many are asked for. Each pass starts
  // where the last one ended, twice as long: the first is far from equilibrium.
  constexpr std::size_t kPilotChains = 64;
  constexpr std::int64_t kRounds[] = {50, 100, 200};
  std::vector<std::uint64_t> ids(kPilotChains), steps(kPilotChains, 0);
  std::iota(ids.begin(), ids.end(), kTemperedChainLimit - kPilotChains);
  std::vector<float> x;
  for (const std::int64_t rounds : kRounds) {
    const auto chains = make_tempered_chains(function, dim, seed, ids, steps, pilot);
    if (x.empty()) {
      x.resize(kPilotChains * static_cast<std::size_t>(dim));
      chains->start_uniform(local);
    } else {
      chains->set_positions(x);
    }
    chains->run(local, rounds * tempering.swap_every);
    pilot.inverse_temperatures = spread(*pilot.inverse_temperatures, chains->replica_stats().swaps);
    chains->positions(x);
    steps = chains->steps();
  }
  return *pilot.inverse_temperatures;
}

std::unique_ptr<ChainSet> make_tempered_chains(const EnergyFunction& function, int dim, std::uint64_t seed,
                                               std::span<const std::uint64_t> ids, std::span<const std::uint64_t> steps,
                                               const Tempering& tempering) {
  return std::make_unique<TemperedChains>(function, dim, seed, ids, steps, tempering);
}

}  // namespace ebm
