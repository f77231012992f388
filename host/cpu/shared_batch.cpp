#include "host/cpu/shared_batch.hpp"

#include <algorithm>

#include "host/cpu/kernels.hpp"
#include "kernels/math/ordered_sum.hpp"

namespace ebm::cpu {

SharedBatch::SharedBatch(Communicator ranks, std::size_t rows, std::size_t parameters, std::size_t kept)
    : ranks_(std::move(ranks)),
      batch_(rows),
      parameters_(parameters),
      kept_(kept),
      share_(batch_share(rows, ranks_.rank(), ranks_.size())) {
  if (!shared()) return;
  std::vector<Share> nodes;
  for (int r = 0; r < ranks_.size(); ++r) {
    messages_.push_back(message_of(r));
    for (const Share& node : nodes_of_rank(r)) {
      if (r == ranks_.rank()) node_lengths_.push_back(node.count);
      nodes.push_back(node);
    }
  }
  additions_ = additions(nodes, static_cast<std::size_t>(chunks_of(static_cast<std::int64_t>(rows))));
}

std::vector<Share> SharedBatch::nodes_of_rank(int rank) const {
  return nodes_of(batch_share(batch_, rank, ranks_.size()).chunks,
                  static_cast<std::size_t>(chunks_of(static_cast<std::int64_t>(batch_))));
}

SharedBatch::Message SharedBatch::message_of(int rank) const {
  Message message;
  message.share = batch_share(batch_, rank, ranks_.size());
  message.nodes = nodes_of_rank(rank).size();
  const std::size_t rows = kept_ > 0 ? message.share.rows.count : 0;
  message.chunk_sums = sizeof(ChainStats);
  message.steps = message.chunk_sums + kSums * message.share.chunks.count * sizeof(double);
  message.kept = message.steps + rows * sizeof(std::uint64_t);
  message.node_sums = message.kept + rows * kept_ * sizeof(float);
  message.bytes.resize(message.node_sums + kParts * message.nodes * parameters_ * sizeof(float));
  return message;
}

void SharedBatch::exchange(bool learns) {
  const auto given = [learns](Message& message) {
    const std::span<std::byte> all(message.bytes);
    return learns ? all : all.first(message.node_sums);
  };
  ranks_.exchange("iteration", given(own()), Communicator::kEverybody,
                  [&](int from, std::size_t) { return given(messages_[static_cast<std::size_t>(from)]); });
}

ChainStats SharedBatch::all_stats() const {
  ChainStats sum;
  for (const Message& message : messages_) sum += *at<ChainStats>(message, 0);
  return sum;
}

double SharedBatch::sum(std::size_t which) const {
  OrderedSum<double> sum;
  for (const Message& message : messages_) {
    const std::size_t chunks = message.share.chunks.count;
    const auto* const first = at<double>(message, message.chunk_sums) + which * chunks;
    for (std::size_t c = 0; c < chunks; ++c) sum.add(first[c]);
  }
  return sum.total();
}

void SharedBatch::gradient(ThreadPool& pool, std::span<float> gradient) {
  constexpr std::size_t kTask = 4096;  // parameters
  std::vector<float*> nodes;
  for (std::size_t part = 0; part < kParts; ++part) {
    for (Message& message : messages_) {
      float* const first = at<float>(message, message.node_sums) + part * message.nodes * parameters_;
      for (std::size_t k = 0; k < message.nodes; ++k) nodes.push_back(first + k * parameters_);
    }
  }
  const std::size_t per_part = nodes.size() / kParts;
  pool.run((parameters_ + kTask - 1) / kTask, [&](std::size_t task, int) {
    const std::size_t begin = task * kTask, n = std::min(kTask, parameters_ - begin);
    for (std::size_t part = 0; part < kParts; ++part) {
      float* const* const of_part = nodes.data() + part * per_part;
      for (const auto& [to, from] : additions_) add_arrays(of_part[to] + begin, of_part[from] + begin, n);
      if (part == 0) {
        std::copy_n(of_part[0] + begin, n, gradient.data() + begin);
      } else {
        add_arrays(gradient.data() + begin, of_part[0] + begin, n);
      }
    }
  });
}

}  // namespace ebm::cpu
