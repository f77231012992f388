// Ranks that find one another by a file and talk over TCP; here they are threads.
#include "host/ranks/meeting.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <thread>

#include "ebmcuda/communicator.hpp"
#include "ebmcuda/error.hpp"
#include "host/ranks/mail.hpp"
#include "host/ranks/socket.hpp"

namespace {

namespace fs = std::filesystem;
using ebm::Communicator;
using ebm::Meeting;

bool holds(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

class MeetingTest : public testing::Test {
 protected:
  MeetingTest() {
    std::string name = (fs::temp_directory_path() / "ebm-meeting-XXXXXX").string();
    if (mkdtemp(name.data()) != nullptr) folder_ = name;
  }
  ~MeetingTest() override {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }
  const fs::path& folder() const { return folder_; }
  fs::path file() const { return folder_ / "ebmcuda-ranks"; }

  // What each of these ranks threw, its what() or nothing.
  template <class Task>
  std::vector<std::string> come(const std::vector<Meeting>& ranks, double timeout, const Task& task) const {
    std::vector<std::string> thrown(ranks.size());
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < ranks.size(); ++i) {
      threads.emplace_back([&, i] {
        try {
          task(ebm::make_communicator(ebm::socket_mail(ranks[i], timeout), timeout));
        } catch (const std::exception& error) {
          thrown[i] = error.what();
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    return thrown;
  }
  std::vector<Meeting> all(int n) const {
    std::vector<Meeting> ranks;
    for (int r = 0; r < n; ++r) ranks.push_back({folder(), r, n});
    return ranks;
  }
  template <class Task>
  void expect_all(int n, const Task& task) const {
    for (const std::string& what : come(all(n), 60, task)) EXPECT_EQ(what, "") << n << " ranks";
    EXPECT_TRUE(fs::is_empty(folder())) << n << " ranks";
  }

 private:
  fs::path folder_;
};

TEST_F(MeetingTest, EachHearsEach) {
  for (int n = 2; n <= 5; ++n) {
    expect_all(n, [n](const Communicator& ranks) {
      EXPECT_EQ(ranks.size(), n);
      EXPECT_EQ(ranks.local_rank(), ranks.rank());  // threads of one machine
      for (int i = 0; i < 20; ++i) {
        const auto all = ranks.gather_value("step", 100 * ranks.rank() + i);
        for (int r = 0; r < n; ++r) ASSERT_EQ(all[static_cast<std::size_t>(r)], 100 * r + i);
      }
    });
  }
}

// More than sockets hold: rejects a send that waits for its receiver, or bytes that are lost or mixed up.
TEST_F(MeetingTest, LargeMessagesCrossOneAnother) {
  expect_all(3, [](const Communicator& ranks) {
    std::vector<std::uint32_t> mine(3'000'000 + static_cast<std::size_t>(ranks.rank()));
    std::iota(mine.begin(), mine.end(), static_cast<std::uint32_t>(1000 * ranks.rank()));
    const auto all = ranks.gather("large", std::span<const std::uint32_t>(mine));
    for (std::size_t r = 0; r < 3; ++r) {
      ASSERT_EQ(all[r].size(), 3'000'000 + r);
      EXPECT_EQ(all[r].front(), 1000 * r);
      EXPECT_EQ(all[r].back(), 1000 * r + all[r].size() - 1);
    }
  });
}

TEST_F(MeetingTest, AFileMayBeNamedToo) {
  std::vector<Meeting> ranks = all(2);
  for (Meeting& each : ranks) each.place = folder() / "here";
  for (const std::string& what : come(ranks, 60, [](const Communicator& all) { all.barrier("x"); }))
    EXPECT_EQ(what, "");
  EXPECT_TRUE(fs::is_empty(folder()));
  for (Meeting& each : ranks) each.place = folder() / "nowhere" / "here";
  for (const std::string& what : come(ranks, 60, [](const Communicator&) {})) {
    EXPECT_TRUE(holds(what, "EBMCUDA_RENDEZVOUS")) << what;
  }
}

// What a killed run left names a port where nobody listens any more, or somebody else does.
TEST_F(MeetingTest, AFileOfAnotherRunIsNotFollowed) {
  int closed = 0;
  { closed = ebm::listen_everywhere().port; }
  const ebm::Listener other = ebm::listen_everywhere();
  for (const int port : {closed, other.port}) {
    std::ofstream(file()) << "ebmcuda ranks 1\n0123456789abcdef0123456789abcdef\nmachine\n"
                          << port << "\n1\n127.0.0.1\n";
    std::vector<std::thread> late;
    std::vector<std::string> thrown(2);
    // Rank 1 is there first and reads it.
    for (const int rank : {1, 0}) {
      late.emplace_back([&, rank] {
        try {
          const Communicator ranks = ebm::make_communicator(ebm::socket_mail({folder(), rank, 2}, 60), 60);
          EXPECT_EQ(ranks.broadcast("x", ranks.rank()), 0);
        } catch (const std::exception& error) {
          thrown[static_cast<std::size_t>(rank)] = error.what();
        }
      });
      if (rank == 1) std::this_thread::sleep_for(std::chrono::milliseconds(100));
      if (rank == 1 && port == other.port) {
        // The other program says something of its own.
        ebm::Descriptor caller;
        while (!caller) caller = ebm::accept_one(other);
        ebm::send_all(caller, std::as_bytes(std::span("HTTP/1.1 400 Bad Request\r\n\r\n")),
                      std::chrono::steady_clock::now() + std::chrono::seconds(1));
      }
    }
    for (std::thread& thread : late) thread.join();
    EXPECT_EQ(thrown, (std::vector<std::string>{"", ""})) << port;
    EXPECT_TRUE(fs::is_empty(folder()));
  }
}

TEST_F(MeetingTest, StrangersAreSentAway) {
  std::thread stranger([this] {
    // As soon as rank 0 listens: nothing, nonsense, and a greeting without the run's number.
    std::vector<std::string> lines;
    while (lines.size() < 4) {
      lines.clear();
      std::ifstream text(file());
      for (std::string line; std::getline(text, line);) lines.push_back(line);
    }
    const int port = std::atoi(lines[3].c_str());
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    for (const std::string& words : {std::string(), std::string(100, 'x'), std::string("\5\0\0\0a\n1\n3", 11)}) {
      const ebm::Descriptor socket = ebm::connect_to("127.0.0.1", port, until);
      if (socket) ebm::send_all(socket, std::as_bytes(std::span(words)), until);
    }
  });
  std::vector<std::string> thrown(3);
  std::vector<std::thread> threads;
  for (const int rank : {0, 1, 2}) {
    threads.emplace_back([&, rank] {
      if (rank == 2) std::this_thread::sleep_for(std::chrono::milliseconds(300));
      try {
        ebm::make_communicator(ebm::socket_mail({folder(), rank, 3}, 60), 60).barrier("x");
      } catch (const std::exception& error) {
        thrown[static_cast<std::size_t>(rank)] = error.what();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  stranger.join();
  EXPECT_EQ(thrown, (std::vector<std::string>{"", "", ""}));
}

TEST_F(MeetingTest, OneThatDoesNotComeIsNamed) {
  const std::vector<Meeting> without_two{{folder(), 0, 4}, {folder(), 1, 4}, {folder(), 3, 4}};
  for (const std::string& what : come(without_two, 0.5, [](const Communicator&) {})) {
    EXPECT_TRUE(holds(what, "rank 2: has not come to " + file().string() + " within 0.5 s")) << what;
  }
  EXPECT_TRUE(fs::is_empty(folder()));
  for (const std::string& what : come({{folder(), 1, 2}}, 0.5, [](const Communicator&) {})) {
    EXPECT_TRUE(holds(what, "rank 0: has not come to ")) << what;
  }
}

TEST_F(MeetingTest, RanksThatDoNotBelongTogetherAreRefusedOnAll) {
  const std::vector<Meeting> twice{{folder(), 0, 3}, {folder(), 1, 3}, {folder(), 1, 3}};
  int refused = 0;
  for (const std::string& what : come(twice, 60, [](const Communicator&) {})) {
    EXPECT_TRUE(holds(what, "EBMCUDA_RANK = 1: is the rank of two processes")) << what;
    ++refused;
  }
  EXPECT_EQ(refused, 3);
  const std::vector<Meeting> others{{folder(), 0, 2}, {folder(), 1, 3}};
  for (const std::string& what : come(others, 60, [](const Communicator&) {})) {
    EXPECT_EQ(what, "EBMCUDA_WORLD = 3 on rank 1: must be the same on all ranks; rank 0 has 2");
  }
}

TEST_F(MeetingTest, FailureReachesAllWithItsRankAndReason) {
  const auto thrown = come(all(3), 60, [](const Communicator& ranks) {
    if (ranks.rank() == 2) {
      ranks.fail("the disk is full");
      return;
    }
    ranks.barrier("work");
  });
  EXPECT_EQ(thrown, (std::vector<std::string>{"rank 2: the disk is full", "rank 2: the disk is full", ""}));
}

// A connection that breaks says at once what a silence says after minutes.
TEST_F(MeetingTest, RankThatEndsWithoutAWordIsMissedAtOnce) {
  std::vector<std::string> thrown(3);
  std::vector<std::thread> threads;
  const auto begin = std::chrono::steady_clock::now();
  for (const int rank : {0, 1, 2}) {
    threads.emplace_back([&, rank] {
      try {
        std::unique_ptr<ebm::Mail> mail = ebm::socket_mail({folder(), rank, 3}, 60);
        if (rank == 1) return;  // its sockets close, and nothing has been said
        ebm::make_communicator(std::move(mail), 60).barrier("work");
      } catch (const std::exception& error) {
        thrown[static_cast<std::size_t>(rank)] = error.what();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const int rank : {0, 2}) {
    const std::string& what = thrown[static_cast<std::size_t>(rank)];
    EXPECT_TRUE(holds(what, "rank 1: has ended without a word")) << what;
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(30));
}

class MeetingVariables : public testing::Test {
 protected:
  static constexpr const char* kNames[] = {"EBMCUDA_RENDEZVOUS", "EBMCUDA_RANK", "EBMCUDA_WORLD", "RANK",
                                           "WORLD_SIZE",         "SLURM_PROCID", "SLURM_NTASKS"};
  void SetUp() override { clear(); }
  void TearDown() override { clear(); }
  static void clear() {
    for (const char* name : kNames) unsetenv(name);
  }
  static void expect_field(const std::string& field) {
    try {
      ebm::meeting_of_environment();
      ADD_FAILURE() << field << ": not refused";
    } catch (const ebm::ConfigError& error) {
      EXPECT_EQ(error.field(), field);
    }
  }
};

TEST_F(MeetingVariables, OursComeBeforeTorchrunsAndSrunsAndAllNeedAPlace) {
  EXPECT_FALSE(ebm::meeting_of_environment().has_value());
  setenv("RANK", "1", 1);
  setenv("WORLD_SIZE", "4", 1);
  setenv("SLURM_PROCID", "2", 1);
  setenv("SLURM_NTASKS", "8", 1);
  EXPECT_FALSE(ebm::meeting_of_environment().has_value());  // other programs' business
  setenv("EBMCUDA_RENDEZVOUS", "/tmp/x", 1);
  const auto expect = [](int rank, int size) {
    const auto meeting = ebm::meeting_of_environment();
    ASSERT_TRUE(meeting.has_value());
    EXPECT_EQ(meeting->place, "/tmp/x");
    EXPECT_EQ(meeting->rank, rank);
    EXPECT_EQ(meeting->size, size);
  };
  expect(1, 4);
  unsetenv("RANK");
  unsetenv("WORLD_SIZE");
  expect(2, 8);
  setenv("EBMCUDA_RANK", "0", 1);
  setenv("EBMCUDA_WORLD", "2", 1);
  expect(0, 2);
}

TEST_F(MeetingVariables, WhatIsMissingOrWrongIsNamed) {
  setenv("EBMCUDA_RANK", "0", 1);
  expect_field("EBMCUDA_RANK");  // and no place
  setenv("EBMCUDA_RENDEZVOUS", "/tmp/x", 1);
  expect_field("EBMCUDA_WORLD");
  setenv("EBMCUDA_WORLD", "two", 1);
  expect_field("EBMCUDA_WORLD");
  setenv("EBMCUDA_WORLD", "0", 1);
  expect_field("EBMCUDA_WORLD");
  setenv("EBMCUDA_WORLD", "2", 1);
  setenv("EBMCUDA_RANK", "2", 1);
  expect_field("EBMCUDA_RANK");
  setenv("EBMCUDA_RANK", "-1", 1);
  expect_field("EBMCUDA_RANK");
  setenv("EBMCUDA_RANK", "1", 1);
  setenv("EBMCUDA_RENDEZVOUS", "", 1);
  expect_field("EBMCUDA_RENDEZVOUS");
  clear();
  setenv("EBMCUDA_RENDEZVOUS", "/tmp/x", 1);
  expect_field("EBMCUDA_RENDEZVOUS");
  EXPECT_THROW(Communicator::meet("/tmp/x", 3, 3), ebm::ConfigError);
  EXPECT_EQ(Communicator::meet("/tmp/x", 0, 1).size(), 1);
}

}  // namespace
