// The pool alone: every index once, whatever the numbers of threads and indices, round after round. Its value is under
// ThreadSanitizer (.ci/run): plain memory written by one loop is read by the next without further synchronisation.
#include "host/cpu/thread_pool.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <thread>
#include <vector>

namespace {

// Adds up rounds of loops in which every index writes its own place, then reads a neighbour's of the loop before.
void run_rounds(int threads, std::size_t n, int rounds) {
  ebm::cpu::ThreadPool pool(threads);
  ASSERT_EQ(pool.threads(), threads);
  std::vector<int> before(n, 0), now(n, 0);
  std::vector<std::size_t> by_thread(static_cast<std::size_t>(threads), 0);  // no two threads share a number
  for (int round = 0; round < rounds; ++round) {
    pool.run(n, [&](std::size_t i, int thread) {
      now[i] = before[(i + 1) % n] + 1;
      ++by_thread[static_cast<std::size_t>(thread)];
    });
    before.swap(now);
  }
  std::size_t done = 0;
  for (const std::size_t count : by_thread) done += count;
  EXPECT_EQ(done, n * static_cast<std::size_t>(rounds));
  EXPECT_EQ(before, std::vector<int>(n, rounds)) << threads << " threads, n " << n;
}

TEST(ThreadPool, EveryIndexOnceInEveryRound) {
  for (const int threads : {1, 2, 3, 8})
    for (const std::size_t n : {1, 2, 7, 100}) run_rounds(threads, n, 50);
}

TEST(ThreadPool, NothingToDo) {
  ebm::cpu::ThreadPool pool(3);
  pool.run(0, [](std::size_t, int) { ADD_FAILURE(); });
}

// Callers on several host threads have a pool each.
TEST(ThreadPool, PoolsSideBySide) {
  std::vector<std::thread> callers;
  for (int c = 0; c < 3; ++c) callers.emplace_back([] { run_rounds(2, 5, 30); });
  for (std::thread& caller : callers) caller.join();
}

}  // namespace
