#include "host/cuda/shared_iteration.hpp"

#include <algorithm>

#include "kernels/math/ordered_sum.hpp"

namespace ebm::cuda {
namespace {

constexpr int kParts = 2;  // data, samples

// Places that follow one another, each from a multiple of 16 bytes on.
class Layout {
 public:
  std::int64_t add(std::size_t bytes) {
    const std::int64_t at = end_;
    end_ += static_cast<std::int64_t>((bytes + 15) / 16 * 16);
    return at;
  }
  std::int64_t end() const { return end_; }

 private:
  std::int64_t end_ = 0;
};

}  // namespace

BatchShare share_of_batch(const TrainingPlan& plan, const GpuRanks* ranks) {
  const auto rows = static_cast<std::size_t>(plan.batch_size);
  return ranks == nullptr ? batch_share(rows, 0, 1) : batch_share(rows, ranks->ranks().rank(), ranks->ranks().size());
}

SharedIteration::SharedIteration(std::shared_ptr<const Context> context, std::shared_ptr<GpuRanks> ranks,
                                 const TrainingPlan& plan, bool labels, std::uint64_t parameters)
    : context_(std::move(context)),
      ranks_(std::move(ranks)),
      batch_(plan.batch_size),
      kept_(plan.chain_start == ChainStart::persistent ? plan.replicas() * plan.shape.dim : 0),
      parameters_(parameters),
      capacity_(static_cast<std::uint64_t>(plan.buffer_capacity)),
      seed_(plan.seed) {
  const int size = ranks_->ranks().size(), rank = ranks_->ranks().rank();
  const auto rows = static_cast<std::size_t>(batch_);
  const auto chunks = static_cast<std::size_t>(chunks_of(batch_));
  std::vector<std::vector<Share>> nodes;
  std::vector<std::int64_t> first_rows{0};
  for (int r = 0; r < size; ++r) {
    const BatchShare share = batch_share(rows, r, size);
    first_rows.push_back(static_cast<std::int64_t>(share.rows.end()));
    nodes.push_back(nodes_of(share.chunks, chunks));
    block_.rows = std::max(block_.rows, static_cast<std::int64_t>(share.rows.count));
    block_.nodes = std::max(block_.nodes, static_cast<std::int64_t>(nodes.back().size()));
  }
  for (const Share& node : nodes[static_cast<std::size_t>(rank)]) nodes_.push_back(node.count);

  const auto most_rows = static_cast<std::size_t>(block_.rows), most_nodes = static_cast<std::size_t>(block_.nodes);
  Layout layout;
  layout.add(sizeof(ChainCounts));
  block_.energies = layout.add((labels ? 3 : 2) * most_rows * sizeof(float));
  block_.steps = layout.add(kept_ > 0 ? most_rows * sizeof(std::uint64_t) : 0);
  block_.kept = layout.add(most_rows * static_cast<std::size_t>(kept_) * sizeof(float));
  block_.node_sums = layout.end();
  layout.add(kParts * most_nodes * parameters_ * sizeof(float));
  block_.bytes = layout.end();

  std::vector<Share> all;
  std::vector<std::int64_t> places;
  for (std::size_t r = 0; r < nodes.size(); ++r) {
    const std::int64_t begin = static_cast<std::int64_t>(r) * block_.bytes + block_.node_sums;
    for (std::size_t k = 0; k < nodes[r].size(); ++k) {
      places.push_back(begin / static_cast<std::int64_t>(sizeof(float)) + static_cast<std::int64_t>(k * parameters_));
      all.push_back(nodes[r][k]);
    }
  }
  std::vector<int2> pairs;
  for (const auto& [to, from] : additions(all, chunks)) pairs.push_back({static_cast<int>(to), static_cast<int>(from)});

  blocks_ =
      DeviceArray<unsigned char>(context_, static_cast<std::size_t>(size) * static_cast<std::size_t>(block_.bytes));
  blocks_.fill_zero();
  first_rows_ = DeviceArray<std::int64_t>(context_, std::span<const std::int64_t>(first_rows));
  places_ = DeviceArray<std::int64_t>(context_, std::span<const std::int64_t>(places));
  pairs_ = DeviceArray<int2>(context_, std::span<const int2>(pairs));
  energy_ = DeviceArray<float>(context_, kParts * rows);
  cross_entropy_ = DeviceArray<float>(context_, labels ? rows : 0);
  tree_.additions = static_cast<int>(pairs.size());
  tree_.places = places_.data();
  tree_.part = static_cast<std::int64_t>(most_nodes * parameters_);
  tree_.pairs = pairs_.data();

  // NCCL makes connections when they are first used, which a capture had better not hold.
  ranks_->all_gather(blocks_.data(), static_cast<std::size_t>(block_.bytes), context_->stream());
  Event gathered(context_);
  gathered.record();
  ranks_->wait(gathered);
}

float* SharedIteration::node_sums() {
  const std::int64_t at = ranks_->ranks().rank() * block_.bytes + block_.node_sums;
  return reinterpret_cast<float*>(blocks_.data() + at);
}

void SharedIteration::exchange(const Memory& memory, bool learns, cudaStream_t stream) {
  SharedBatchView view{};
  view.block = block_;
  view.ranks = ranks_->ranks().size();
  view.rank = ranks_->ranks().rank();
  view.stride = learns ? block_.bytes : block_.node_sums;
  view.blocks = blocks_.data();
  view.first_rows = first_rows_.data();
  view.batch = batch_;
  view.energies = learns;
  view.device = memory.device;
  view.own_energy = memory.energy;
  view.own_cross_entropy = memory.cross_entropy;
  view.energy = energy_.data();
  view.cross_entropy = cross_entropy_.data();
  view.kept = kept_;
  view.buffer_x = memory.buffer_x;
  view.buffer_steps = memory.buffer_steps;
  view.capacity = capacity_;
  view.seed = seed_;
  context_->check(launch_pack_share(view, stream), "launching the packing of this rank's share");
  ranks_->all_gather(blocks_.data(), static_cast<std::size_t>(view.stride), stream);
  context_->check(launch_unpack_shares(view, stream), "launching the unpacking of all shares");
  if (!learns) return;
  context_->check(launch_sum_nodes(tree_, reinterpret_cast<float*>(blocks_.data()), parameters_, memory.gradient,
                                   &memory.device->clock.stopped, stream),
                  "launching the sum over the ranks' nodes");
}

}  // namespace ebm::cuda
