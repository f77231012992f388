// A few threads that wait for loops to run. Between loops they sleep in the kernel instead of spinning, because the
// machines that run this are shared (an OpenMP team that spins took eight times as long next to other programs).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace ebm::cpu {

class ThreadPool {
 public:
  // `threads` >= 1, the caller's own included.
  explicit ThreadPool(int threads);
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool();

  int threads() const noexcept { return static_cast<int>(others_.size()) + 1; }

  // task(index, thread) for every index in 0 .. n - 1; returns when all are done. `thread` in 0 .. threads() - 1 names
  // the caller's scratch memory. Tasks are handed out one by one, so that a thread that another program slows down
  // takes fewer; nothing that a task computes may depend on which thread runs it. Tasks must not throw. Several
  // threads may call: their loops take turns.
  template <class Task>
  void run(std::size_t n, const Task& task) {
    if (n <= 1 || others_.empty()) {
      for (std::size_t i = 0; i < n; ++i) task(i, 0);
      return;
    }
    const auto call = [](const void* context, std::size_t index, int thread) {
      (*static_cast<const Task*>(context))(index, thread);
    };
    run_loop(n, call, &task);
  }

 private:
  using Call = void (*)(const void* context, std::size_t index, int thread);

  void run_loop(std::size_t n, Call call, const void* context);
  void work(int thread);
  void serve(int thread);

  std::vector<std::thread> others_;
  std::mutex mutex_;  // held by the caller whose loop is under way
  // The loop under way: written by run_loop before `round_` tells the others to read it.
  std::size_t n_ = 0;
  Call call_ = nullptr;
  const void* context_ = nullptr;
  std::atomic<std::size_t> next_{0};
  std::atomic<int> busy_{0};
  std::atomic<std::uint32_t> round_{0};
  bool stop_ = false;
};

}  // namespace ebm::cpu
