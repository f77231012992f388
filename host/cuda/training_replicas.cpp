#include "host/cuda/training_replicas.hpp"

#include <utility>

#include "host/engine/ladders.hpp"
#include "kernels/chains/batch_replicas.hpp"
#include "kernels/chains/replica_swap.hpp"

namespace ebm::cuda {
namespace {

std::size_t rows_of(const TrainingPlan& plan, std::int64_t chains) {
  return static_cast<std::size_t>(chains * plan.replicas());
}

}  // namespace

TrainingReplicas::TrainingReplicas(std::shared_ptr<const Context> context, const Network& network,
                                   const TrainingPlan& plan, std::int64_t chains,
                                   std::shared_ptr<const LayeredNetwork> layered)
    : context_(std::move(context)),
      net_(network.view()),
      n_steps_(plan.n_steps),
      swap_every_(plan.swap_every),
      replicas_(static_cast<int>(plan.replicas())),
      tempered_(!plan.inverse_temperatures.empty()),
      x_(context_, rows_of(plan, chains) * static_cast<std::size_t>(plan.shape.dim)),
      energy_(context_, tempered_ ? rows_of(plan, chains) : 0),
      gradient_(context_, tempered_ ? x_.size() : 0),
      beta_(context_, std::span<const float>(ladders(plan, static_cast<std::size_t>(chains)))),
      ids_(context_, rows_of(plan, chains)),
      steps_(context_, rows_of(plan, chains)),
      places_(context_, static_cast<std::size_t>(chains)) {
  const SamplerKind kind = plan.transition.kind;
  if (layered != nullptr) {
    layered_.emplace(std::move(layered), false);
    layered_->prepare(kind);
  } else {
    plan_.emplace(network, TileNeeds{.rows = ebm::rows_of(kind), .keeps = tempered_},
                  static_cast<std::int64_t>(rows_of(plan, chains)));
  }
}

ChainsView TrainingReplicas::working_set(const ChainsView& chains, bool known) {
  ChainsView view{};
  view.source = ChainSource::set;
  view.n = chains.n * replicas_;
  view.x = x_.data();
  view.steps = steps_.data();
  view.ids = ids_.data();
  view.seed = chains.seed;
  if (tempered_) {
    view.beta = beta_.data();
    view.known = known;
    view.energy = energy_.data();
    view.gradient = gradient_.data();
  }
  view.stopped = chains.stopped;
  return view;
}

void TrainingReplicas::run(const ChainsView& chains, const StepView& step, MmaNetwork* mma, ChainCounts* counts,
                           cudaStream_t stream) {
  BatchReplicas batch{};
  batch.chains = chains;
  batch.replicas = replicas_;
  batch.dim = net_.dim;
  batch.x = x_.data();
  batch.ids = ids_.data();
  batch.steps = steps_.data();
  batch.places = places_.data();
  context_->check(launch_open_replicas(batch, step, counts, stream), "launching the start of the replicas");

  ReplicaView swap{};
  swap.n_chains = chains.n;
  swap.replicas = replicas_;
  swap.dim = net_.dim;
  swap.evaluations = step.evaluations;
  swap.period = swap_period(step.evaluations, swap_every_);
  swap.seed = chains.seed;
  swap.ids = ids_.data();
  swap.steps = steps_.data();
  swap.beta = beta_.data();
  swap.x = x_.data();
  swap.energy = energy_.data();
  swap.gradient = mma == nullptr ? gradient_.data() : nullptr;  // tensor-core kernels look again where they begin
  swap.total = counts->swaps;
  swap.stopped = chains.stopped;
  // Every slot's chain has taken a whole number of iterations, so that rounds of swaps fall between the same pieces.
  const std::int64_t piece = tempered_ ? transitions_between_swaps(n_steps_, swap_every_) : n_steps_;
  for (std::int64_t done = 0; done < n_steps_; done += piece) {
    const ChainsView view = working_set(chains, done > 0);
    if (mma != nullptr) {
      mma->launch(view, step, piece, counts, stream);
    } else if (layered_) {
      layered_->run(view, step, piece, counts, stream);
    } else {
      context_->check(launch_chains(plan_->plan(), net_, view, step, piece, counts, stream), "launching the replicas");
    }
    if (!tempered_) continue;
    context_->check(launch_swap_replicas(swap, stream), "launching the swaps of replicas");
  }
  context_->check(launch_close_replicas(batch, stream), "launching the end of the replicas");
}

}  // namespace ebm::cuda
