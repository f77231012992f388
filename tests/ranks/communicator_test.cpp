#include "ebmcuda/communicator.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <numeric>
#include <thread>

#include "ebmcuda/device.hpp"
#include "ebmcuda/error.hpp"
#include "host/ranks/mail.hpp"
#include "host/ranks/same.hpp"
#include "ranks/thread_ranks.hpp"

namespace {

using ebm::Communicator;
using ebm::test::expect_ranks;
using ebm::test::on_ranks;

bool holds(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST(Communicator, AloneAnswersItself) {
  const Communicator alone;
  EXPECT_EQ(alone.size(), 1);
  EXPECT_EQ(alone.rank(), 0);
  EXPECT_EQ(alone.carrier(), "one process");
  EXPECT_EQ(alone.broadcast("x", 7), 7);
  EXPECT_EQ(alone.gather_text("x", "a"), std::vector<std::string>{"a"});
  EXPECT_EQ(alone.ranks().size(), 1u);
  EXPECT_EQ(alone.threads(), ebm::Device::cpu().threads());
  alone.barrier("x");
  alone.require_same("x", "a");
  alone.alive();
  bool done = false;
  alone.on_first("x", [&] { done = true; });
  EXPECT_TRUE(done);
  EXPECT_FALSE(alone.fail("x"));
}

TEST(Communicator, GathersWhatEachGives) {
  for (int n = 1; n <= 5; ++n) {
    expect_ranks(n, [n](const Communicator& ranks) {
      ASSERT_EQ(ranks.size(), n);
      // As many numbers as the rank's own: none of rank 0.
      const std::vector<int> mine(static_cast<std::size_t>(ranks.rank()), ranks.rank());
      const auto all = ranks.gather("parts", std::span<const int>(mine));
      for (int r = 0; r < n; ++r) {
        EXPECT_EQ(all[static_cast<std::size_t>(r)], std::vector<int>(static_cast<std::size_t>(r), r));
      }
      EXPECT_EQ(ranks.broadcast("rank", ranks.rank()), 0);
      EXPECT_EQ(ranks.gather_text("text", std::to_string(ranks.rank())).back(), std::to_string(n - 1));
      EXPECT_EQ(ranks.ranks().size(), static_cast<std::size_t>(n));
    });
  }
}

TEST(Communicator, SendsToOneRankAlone) {
  expect_ranks(3, [](const Communicator& ranks) {
    const int mine = 10 * ranks.rank();
    int sum = 0, parts = 0;
    std::vector<int> places(3, -1);
    ranks.exchange("to one", std::as_bytes(std::span(&mine, 1)), 1, [&](int from, std::size_t bytes) {
      EXPECT_EQ(bytes, sizeof(int));
      ++parts;
      return std::as_writable_bytes(std::span(&places[static_cast<std::size_t>(from)], 1));
    });
    sum = std::accumulate(places.begin(), places.end(), 0);
    EXPECT_EQ(parts, ranks.rank() == 1 ? 3 : 0);
    EXPECT_EQ(sum, ranks.rank() == 1 ? 30 : -3);
  });
}

// A quick rank may be an operation ahead: what it sends has to wait.
TEST(Communicator, KeepsOperationsApartWhenRanksAreOutOfStep) {
  expect_ranks(3, [](const Communicator& ranks) {
    for (int i = 0; i < 200; ++i) {
      if ((i + ranks.rank()) % 40 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(3));
      const auto all = ranks.gather_value("step", 100 * ranks.rank() + i);
      for (int r = 0; r < 3; ++r) ASSERT_EQ(all[static_cast<std::size_t>(r)], 100 * r + i);
    }
  });
}

TEST(Communicator, FailureReachesAllWithItsRankAndReason) {
  const auto thrown = on_ranks(4, [](const Communicator& ranks) {
    if (ranks.rank() == 2) throw ebm::Error("the disk is full");
    ranks.barrier("work");
  });
  EXPECT_EQ(thrown[2], "the disk is full");
  for (const int r : {0, 1, 3}) EXPECT_EQ(thrown[static_cast<std::size_t>(r)], "rank 2: the disk is full");
}

TEST(Communicator, FailureReachesARankThatOnlySaysThatItLives) {
  const auto thrown = on_ranks(2, [](const Communicator& ranks) {
    if (ranks.rank() == 1) throw ebm::Error("no");
    for (int i = 0; i < 10'000; ++i) {
      ranks.alive();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
  EXPECT_EQ(thrown[0], "rank 1: no");
}

TEST(Communicator, WhatTheFirstThrowsAllThrow) {
  const auto thrown = on_ranks(3, [](const Communicator& ranks) {
    ranks.on_first("write", [&] { EXPECT_EQ(ranks.rank(), 0); });
    ranks.on_first("write", [] { throw ebm::WriteError("a.npy", "no space"); });
  });
  EXPECT_EQ(thrown[0], "a.npy: no space");
  EXPECT_EQ(thrown[1], "rank 0: a.npy: no space");
  EXPECT_EQ(thrown[2], "rank 0: a.npy: no space");
}

TEST(Communicator, RanksThatDoDifferentThingsAreFoundOut) {
  const auto thrown = on_ranks(2, [](const Communicator& ranks) { ranks.barrier(ranks.first() ? "train" : "sample"); });
  for (const std::string& what : thrown) {
    EXPECT_TRUE(holds(what, "'train'") && holds(what, "'sample'") && holds(what, "rank ")) << what;
  }
}

TEST(Communicator, RankThatEndsEarlyIsMissed) {
  const auto thrown = on_ranks(3, [](const Communicator& ranks) {
    if (ranks.rank() == 1) return;
    ranks.barrier("more");
  });
  EXPECT_EQ(thrown[1], "");
  for (const int r : {0, 2}) {
    const std::string& what = thrown[static_cast<std::size_t>(r)];
    EXPECT_TRUE(holds(what, "rank 1: has ended") && holds(what, "'more'")) << what;
  }
}

TEST(Communicator, SilentRankIsGivenUp) {
  const auto thrown = on_ranks(
      2,
      [](const Communicator& ranks) {
        if (ranks.rank() == 1) std::this_thread::sleep_for(std::chrono::seconds(2));
        ranks.barrier("late");
        ranks.barrier("later");
      },
      0.3);
  EXPECT_TRUE(holds(thrown[0], "rank 1: has given no sign of life for 0.3 s")) << thrown[0];
  // It hears of it when it comes.
  EXPECT_TRUE(holds(thrown[1], "rank 1: has given no sign of life")) << thrown[1];
}

TEST(Communicator, RankThatSaysThatItLivesIsWaitedFor) {
  const auto thrown = on_ranks(
      2,
      [](const Communicator& ranks) {
        for (int i = 0; ranks.rank() == 1 && i < 8; ++i) {
          std::this_thread::sleep_for(std::chrono::milliseconds(500));
          ranks.alive();
        }
        ranks.barrier("late");
      },
      3);
  EXPECT_EQ(thrown, (std::vector<std::string>{"", ""}));
}

TEST(Communicator, AwaitEndsWhenItIsDoneOrAnotherFailsOrFallsSilent) {
  const auto never = [] { return false; };
  int asked = 0;
  Communicator().await("work", [&] { return ++asked == 3; });
  EXPECT_EQ(asked, 3);
  // One that has parted may have done its part: nothing is wrong.
  expect_ranks(2, [](const Communicator& ranks) {
    const auto begin = std::chrono::steady_clock::now();
    const auto later = [&] { return std::chrono::steady_clock::now() - begin > std::chrono::milliseconds(300); };
    if (ranks.rank() == 0) ranks.await("work", later);
  });
  const auto failed = on_ranks(3, [&](const Communicator& ranks) {
    if (ranks.rank() == 1) throw ebm::Error("no");
    ranks.await("work", never);
  });
  EXPECT_EQ(failed, (std::vector<std::string>{"rank 1: no", "no", "rank 1: no"}));
  const auto silent = on_ranks(
      2,
      [&](const Communicator& ranks) {
        if (ranks.rank() == 1) std::this_thread::sleep_for(std::chrono::seconds(2));
        ranks.await("work", never);
      },
      0.3);
  for (const std::string& what : silent) {
    EXPECT_TRUE(holds(what, "rank 1: has given no sign of life for 0.3 s, where rank 0 is at 'work'")) << what;
  }
}

// Two that wait for one another's work, each longer than a silence lasts, hear that the other lives.
TEST(Communicator, AwaitTellsTheOthersThatItLives) {
  const auto thrown = on_ranks(
      2,
      [](const Communicator& ranks) {
        const auto begin = std::chrono::steady_clock::now();
        ranks.await("work", [&] { return std::chrono::steady_clock::now() - begin > std::chrono::seconds(7); });
        ranks.barrier("after");
      },
      4);
  EXPECT_EQ(thrown, (std::vector<std::string>{"", ""}));
}

TEST(Communicator, SameWordsAreToldApartFromOthers) {
  std::vector<int> answers(3, -1);
  on_ranks(3, [&](const Communicator& ranks) {
    answers[static_cast<std::size_t>(ranks.rank())] = ranks.fail("bad option") ? 1 : 0;
  });
  EXPECT_EQ(answers, (std::vector<int>{0, 1, 1}));
  on_ranks(2, [&](const Communicator& ranks) {
    answers[static_cast<std::size_t>(ranks.rank())] = ranks.fail(ranks.first() ? "a" : "b") ? 1 : 0;
  });
  EXPECT_EQ(answers[0], 0);
  EXPECT_EQ(answers[1], 0);
}

TEST(Communicator, DifferentFieldsAreNamedAlikeOnAllRanks) {
  const auto thrown = on_ranks(3, [](const Communicator& ranks) {
    ebm::SameFields same;
    same.add("batch_size", 64);
    same.add("seed", ranks.rank() == 2 ? 8 : 7);
    same.add("iterations", ranks.rank());
    same.require(ranks);
  });
  for (const std::string& what : thrown) {
    EXPECT_EQ(what, "iterations = 1 on rank 1: must be the same on all ranks; rank 0 has 0");
  }
  for (const std::string& what : on_ranks(
           2, [](const Communicator& ranks) { ranks.require_same("version", ranks.first() ? "0.2.0" : "0.3.0"); })) {
    EXPECT_EQ(what, "version = 0.3.0 on rank 1: must be the same on all ranks; rank 0 has 0.2.0");
  }
}

TEST(Communicator, TimeoutIsReadFromTheEnvironment) {
  setenv("EBMCUDA_RANK_TIMEOUT", "2.5", 1);
  EXPECT_EQ(ebm::rank_timeout(), 2.5);
  for (const char* bad : {"", "0", "-1", "soon", "3s", "nan"}) {
    setenv("EBMCUDA_RANK_TIMEOUT", bad, 1);
    EXPECT_THROW(ebm::rank_timeout(), ebm::ConfigError) << bad;
  }
  unsetenv("EBMCUDA_RANK_TIMEOUT");
  EXPECT_EQ(ebm::rank_timeout(), 300);
}

TEST(Communicator, NoMpiCommunicatorIsRefused) { EXPECT_THROW(Communicator::mpi(nullptr), ebm::ConfigError); }

}  // namespace
