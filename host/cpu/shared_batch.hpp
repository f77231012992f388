// A training batch that ranks share out. Each has whole chunks of its rows, the same ones of the data and of the
// chains, so that chains may begin at the data; and all get what an iteration needs of the whole batch in one exchange:
// the sums over rows, in the order of kernels/math/ordered_sum.hpp, and the chains that go back to the buffer.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "ebmcuda/communicator.hpp"
#include "ebmcuda/sampler.hpp"
#include "host/cpu/thread_pool.hpp"
#include "host/ranks/shares.hpp"

namespace ebm::cpu {

class SharedBatch {
 public:
  static constexpr std::size_t kParts = 2;  // data, samples
  static constexpr std::size_t kSums = 3;   // over rows: energies of the data, of the samples, cross-entropies

  // `kept` floats of every chain are exchanged, and its step number; 0: chains are not kept.
  SharedBatch(Communicator ranks, std::size_t rows, std::size_t parameters, std::size_t kept);

  bool shared() const { return ranks_.size() > 1; }
  Share rows() const { return share_.rows; }  // of the batch, this rank's

  // What this rank fills in before an exchange; nothing of this serves one rank alone. Chunks are counted from its
  // first one.
  ChainStats& stats() { return *at<ChainStats>(own(), 0); }
  std::span<double> chunk_sums(std::size_t which) {  // one for each chunk
    return {at<double>(own(), own().chunk_sums) + which * share_.chunks.count, share_.chunks.count};
  }
  std::span<const std::size_t> node_lengths() const { return node_lengths_; }  // chunks of each of its nodes
  std::span<float> node_sums() {  // of the gradient, [parts][nodes][parameters]
    return {at<float>(own(), own().node_sums), kParts * node_lengths_.size() * parameters_};
  }
  std::span<std::uint64_t> steps() { return {at<std::uint64_t>(own(), own().steps), share_.rows.count}; }
  std::span<float> kept() { return {at<float>(own(), own().kept), share_.rows.count * kept_}; }  // [rows, kept]

  // With or without what concerns the gradient.
  void exchange(bool learns);

  // Afterwards, of the whole batch.
  ChainStats all_stats() const;
  double sum(std::size_t which) const;
  void gradient(ThreadPool& pool, std::span<float> gradient);
  // visit(row of the batch, step number, kept floats) for every chain of the others.
  template <class Visit>
  void for_others(const Visit& visit) const {
    for (std::size_t r = 0; r < messages_.size(); ++r) {
      if (static_cast<int>(r) == ranks_.rank()) continue;
      const Message& message = messages_[r];
      const auto* const steps = at<std::uint64_t>(message, message.steps);
      const auto* const kept = at<float>(message, message.kept);
      for (std::size_t i = 0; i < message.share.rows.count; ++i) {
        visit(message.share.rows.first + i, steps[i], std::span(kept + i * kept_, kept_));
      }
    }
  }

 private:
  // What one rank gives, and where things are in it: bytes from its begin. The gradient's part comes last, so that it
  // can be left out.
  struct Message {
    BatchShare share;
    std::size_t nodes = 0, chunk_sums = 0, steps = 0, kept = 0, node_sums = 0;
    std::vector<std::byte> bytes;
  };
  template <class T>
  static T* at(Message& message, std::size_t byte) {
    return reinterpret_cast<T*>(message.bytes.data() + byte);
  }
  template <class T>
  static const T* at(const Message& message, std::size_t byte) {
    return reinterpret_cast<const T*>(message.bytes.data() + byte);
  }
  Message& own() { return messages_[static_cast<std::size_t>(ranks_.rank())]; }
  std::vector<Share> nodes_of_rank(int rank) const;
  Message message_of(int rank) const;

  Communicator ranks_;
  std::size_t batch_, parameters_, kept_;
  BatchShare share_;
  std::vector<std::size_t> node_lengths_;
  std::vector<Message> messages_;  // by rank; none for one alone
  std::vector<std::pair<std::size_t, std::size_t>> additions_;
};

}  // namespace ebm::cpu
