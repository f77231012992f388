#include "host/cpu/thread_pool.hpp"

#include <system_error>

namespace ebm::cpu {

ThreadPool::ThreadPool(int threads) {
  others_.reserve(static_cast<std::size_t>(threads) - 1);
  try {
    for (int t = 1; t < threads; ++t) others_.emplace_back(&ThreadPool::serve, this, t);
  } catch (const std::system_error&) {
    // The system has no more threads to give; fewer compute the same bits.
  }
}

ThreadPool::~ThreadPool() {
  stop_ = true;
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  for (std::thread& other : others_) other.join();
}

void ThreadPool::run_loop(std::size_t n, Call call, const void* context) {
  const std::scoped_lock lock(mutex_);
  n_ = n;
  call_ = call;
  context_ = context;
  next_.store(0, std::memory_order_relaxed);
  busy_.store(static_cast<int>(others_.size()), std::memory_order_relaxed);
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  work(0);
  for (int busy; (busy = busy_.load(std::memory_order_acquire)) != 0;) {
    busy_.wait(busy, std::memory_order_acquire);
  }
}

void ThreadPool::work(int thread) {
  for (std::size_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < n_;) call_(context_, i, thread);
}

void ThreadPool::serve(int thread) {
  for (std::uint32_t seen = 0;;) {
    round_.wait(seen, std::memory_order_acquire);
    seen = round_.load(std::memory_order_acquire);
    if (stop_) return;
    work(thread);
    if (busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) busy_.notify_one();
  }
}

}  // namespace ebm::cpu
