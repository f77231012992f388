#include "ranks/thread_ranks.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <mutex>
#include <thread>

#include "ebmcuda/error.hpp"
#include "host/ranks/mail.hpp"

namespace ebm::test {
namespace {

struct Boxes {
  explicit Boxes(int n) : of_rank(static_cast<std::size_t>(n)) {}
  std::mutex mutex;
  std::vector<std::deque<Message>> of_rank;
};

class ThreadMail final : public Mail {
 public:
  ThreadMail(std::shared_ptr<Boxes> boxes, int rank) : boxes_(std::move(boxes)), rank_(rank) {}
  int rank() const override { return rank_; }
  int size() const override { return static_cast<int>(boxes_->of_rank.size()); }
  std::string name() const override { return "threads"; }
  void send(int to, int tag, std::span<const std::byte> bytes) override {
    const std::scoped_lock lock(boxes_->mutex);
    boxes_->of_rank[static_cast<std::size_t>(to)].push_back({rank_, tag, {bytes.begin(), bytes.end()}});
  }
  bool idle() override { return true; }
  bool receive(Message* message) override {
    const std::scoped_lock lock(boxes_->mutex);
    std::deque<Message>& box = boxes_->of_rank[static_cast<std::size_t>(rank_)];
    if (box.empty()) return false;
    *message = std::move(box.front());
    box.pop_front();
    return true;
  }

 private:
  std::shared_ptr<Boxes> boxes_;
  int rank_;
};

}  // namespace

std::vector<std::string> on_ranks(int n, const std::function<void(const Communicator&)>& task, double timeout) {
  const auto boxes = std::make_shared<Boxes>(n);
  std::vector<std::string> thrown(static_cast<std::size_t>(n));
  std::vector<std::thread> threads;
  for (int r = 0; r < n; ++r) {
    threads.emplace_back([&, r] {
      try {
        const Communicator ranks = make_communicator(std::make_unique<ThreadMail>(boxes, r), timeout);
        try {
          task(ranks);
        } catch (const RankError&) {
          throw;
        } catch (const std::exception& error) {
          ranks.fail(error.what());
          throw;
        }
      } catch (const std::exception& error) {
        thrown[static_cast<std::size_t>(r)] = error.what();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return thrown;
}

void expect_ranks(int n, const std::function<void(const Communicator&)>& task) {
  for (const std::string& what : on_ranks(n, task)) EXPECT_EQ(what, "") << n << " ranks";
}

}  // namespace ebm::test
