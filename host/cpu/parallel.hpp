// Runs a loop's tasks on a few threads. Tasks are handed out one by one, so a thread that another program slows down
// takes fewer; nothing that a task computes may depend on which thread runs it.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <thread>
#include <vector>

namespace ebm::cpu {

// task(index, thread) for every index in 0 .. n - 1; thread in 0 .. threads - 1 names the caller's scratch memory.
// Tasks must not throw.
template <class Task>
void parallel_for(int threads, std::size_t n, const Task& task) {
  const int team = static_cast<int>(std::min<std::size_t>(static_cast<std::size_t>(threads), n));
  if (team <= 1) {
    for (std::size_t i = 0; i < n; ++i) task(i, 0);
    return;
  }
  std::atomic<std::size_t> next{0};
  const auto work = [&](int thread) {
    for (std::size_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < n;) task(i, thread);
  };
#if EBMCUDA_OPENMP
#pragma omp parallel for num_threads(team) schedule(static, 1)
  for (int thread = 0; thread < team; ++thread) work(thread);
#else
  std::vector<std::jthread> others;
  for (int thread = 1; thread < team; ++thread) others.emplace_back(work, thread);
  work(0);
#endif
}

}  // namespace ebm::cpu
