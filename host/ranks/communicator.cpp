#include "ebmcuda/communicator.hpp"

#include <fmt/format.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <deque>
#include <optional>

#include "host/core/check.hpp"
#include "host/core/fingerprint.hpp"
#include "host/engine/build_options.hpp"
#include "host/engine/usable_threads.hpp"
#include "host/files/text.hpp"
#include "host/ranks/machine.hpp"
#include "host/ranks/mail.hpp"

namespace ebm {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kTogether{1000};  // ranks that fail alike do so within this
constexpr std::chrono::seconds kParting{2};           // to hear of all others that they end too
constexpr std::chrono::seconds kHeartbeat{1};

enum Tag : int { kHeader, kPayload, kFailure, kAlive, kParted };

// Precedes what a rank gives in an exchange.
struct Header {
  std::uint64_t sequence = 0, bytes = 0;
  std::array<char, 48> operation{};
};

// Soon after the last sign of work a waiting rank looks without a pause, since iterations take less than a
// millisecond; then it sleeps more and more, since others may want the core.
class Pause {
 public:
  void operator()() {
    if (++turns_ < kEager) {
      ::sched_yield();
      return;
    }
    const timespec time{0, std::min(20'000L * (turns_ - kEager + 1), 1'000'000L)};
    ::nanosleep(&time, nullptr);
  }

 private:
  static constexpr long kEager = 2000;
  long turns_ = 0;
};

// What tells processes that may use the same hardware threads from others.
std::uint64_t cores_of_this_process() {
  Fingerprint print;
  for (const char c : machine_name()) print.add(static_cast<std::uint64_t>(c));
#ifdef __linux__
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) == 0) {
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) print.add(CPU_ISSET(cpu, &set) ? 1 : 0);
  }
#endif
  return print.value();
}

struct Failure {
  int rank;
  std::string reason;
};

}  // namespace

struct Communicator::State {
  struct Peer {
    std::deque<Message> inbox;
    Clock::time_point heard = Clock::now();
    bool parted = false, lost = false;
  };

  State(std::unique_ptr<Mail> the_mail, double the_timeout)
      : mail(std::move(the_mail)), timeout(the_timeout), peers(static_cast<std::size_t>(mail->size())) {}
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { part(); }

  int rank() const { return mail->rank(); }
  int size() const { return mail->size(); }
  Peer& peer(int r) { return peers[static_cast<std::size_t>(r)]; }

  template <class Visit>
  void for_others(const Visit& visit) {
    for (int r = 0; r < size(); ++r) {
      if (r != rank()) visit(r);
    }
  }

  // To everybody, from a copy.
  void tell(Tag tag, std::string_view text) {
    const auto bytes = std::as_bytes(std::span(text));
    outgoing.emplace_back(bytes.begin(), bytes.end());
    for_others([&](int r) { mail->send(r, tag, outgoing.back()); });
  }

  // Takes in what has come; returns whether anything had.
  bool look() {
    if (mail->idle()) outgoing.clear();
    bool any = false;
    for (Message message; mail->receive(&message); any = true) {
      Peer& from = peer(message.from);
      from.heard = Clock::now();
      if (message.tag == kParted) {
        from.parted = true;
      } else if (message.tag == kFailure) {
        take_failure(message);
      } else if (message.tag != kAlive) {
        from.inbox.push_back(std::move(message));
      }
    }
    for_others([&](int r) { find_lost(r); });
    return any;
  }

  // A rank that has ended without a word.
  void find_lost(int r) {
    Peer& other = peer(r);
    if (other.lost || !mail->lost(r)) return;
    other.lost = true;
    if (other.parted || failure) return;
    failure = Failure{r, "has ended without a word: killed, or its machine is gone"};
    tell_failure(*failure);
  }

  void take_failure(const Message& message) {
    Failure told{message.from, {}};
    if (message.bytes.size() >= sizeof told.rank) {
      std::memcpy(&told.rank, message.bytes.data(), sizeof told.rank);
      const auto* text = reinterpret_cast<const char*>(message.bytes.data());
      told.reason.assign(text + sizeof told.rank, message.bytes.size() - sizeof told.rank);
    }
    if (!failure) failure = told;
    failures.push_back(std::move(told));
  }

  void tell_failure(const Failure& what) {
    std::string text(sizeof what.rank, '\0');
    std::memcpy(text.data(), &what.rank, sizeof what.rank);
    tell(kFailure, text + what.reason);
  }

  void require_going() const {
    if (failure) throw RankError(failure->rank, failure->reason);
  }

  [[noreturn]] void give_up(int culprit, std::string reason) {
    if (!failure) {
      failure = Failure{culprit, std::move(reason)};
      tell_failure(*failure);
    }
    throw RankError(failure->rank, failure->reason);
  }

  // Of a rank that is waited for since `begin`.
  void require_life(int r, std::string_view operation, Clock::time_point begin) {
    const Peer& other = peer(r);
    const double silent = std::chrono::duration<double>(Clock::now() - std::max(other.heard, begin)).count();
    if (silent > timeout) {
      give_up(r, fmt::format("has given no sign of life for {:.3g} s, where rank {} is at '{}'", timeout, rank(),
                             operation));
    }
  }

  // The others are told, and all wait a little for one another, so that nobody is cut off before it has heard why.
  void part() noexcept {
    try {
      tell(kParted, "");
      bool all = false;
      Pause pause;
      const auto begin = Clock::now();
      const auto everybody = [&] {
        bool parted = true;
        for_others([&](int r) { parted = parted && (peer(r).parted || peer(r).lost); });
        return parted && mail->idle();
      };
      // Without a failure there is time: the others may be at work that this rank has no part in.
      while (!(all = everybody()) && (!failure || Clock::now() - begin < kParting)) {
        if (!look()) pause();
      }
      mail->close(all);
    } catch (...) {
      mail->close(false);
    }
  }

  std::unique_ptr<Mail> mail;
  double timeout;
  std::vector<Peer> peers;
  std::uint64_t sequence = 0;
  std::optional<Failure> failure;  // the first one heard of
  std::vector<Failure> failures;   // that others told
  std::deque<std::vector<std::byte>> outgoing;
  std::vector<Header> headers;  // of the exchange under way
  std::vector<RankDescription> ranks;
  Clock::time_point told_alive = Clock::now();
};

namespace {

// One rank's part of an exchange, as it comes in.
class Incoming {
 public:
  bool done() const { return headed_ && missing_ == 0; }

  // `take` gives the place for so many bytes.
  template <class Take>
  std::optional<Header> add(const Message& message, const Take& take) {
    if (message.tag == kHeader) {
      Header header;
      std::memcpy(&header, message.bytes.data(), std::min(sizeof header, message.bytes.size()));
      headed_ = true;
      missing_ = static_cast<std::size_t>(header.bytes);
      if (missing_ > 0) place_ = take(missing_);
      return header;
    }
    const std::size_t n = std::min(message.bytes.size(), missing_);
    std::memcpy(place_.data() + (place_.size() - missing_), message.bytes.data(), n);
    missing_ -= n;
    return std::nullopt;
  }

 private:
  bool headed_ = false;
  std::size_t missing_ = 0;
  std::span<std::byte> place_;
};

}  // namespace

// What an exchange sends is the caller's memory. When it ends in an exception, that memory may go: some time is given
// for it to leave.
struct Communicator::BytesLeave {
  State& state;
  ~BytesLeave() {
    try {
      Pause pause;
      for (const auto begin = Clock::now(); !state.mail->idle() && Clock::now() - begin < kParting;) pause();
    } catch (...) {
      // Then the failure that is on its way says enough.
    }
  }
};

void Communicator::exchange(std::string_view operation, std::span<const std::byte> mine, int to,
                            const std::function<std::span<std::byte>(int, std::size_t)>& place) const {
  const bool here = to == kEverybody || to == rank();
  if (here && !mine.empty()) {
    const std::span<std::byte> own = place(rank(), mine.size());
    if (own.data() != mine.data()) std::ranges::copy(mine, own.begin());
  }
  if (!state_) return;
  State& s = *state_;
  s.require_going();

  const BytesLeave bytes_leave{s};
  ++s.sequence;
  std::vector<Header>& headers = s.headers;
  headers.assign(static_cast<std::size_t>(s.size()), Header{s.sequence, 0, {}});
  s.for_others([&](int r) {
    Header& header = headers[static_cast<std::size_t>(r)];
    header.bytes = to == kEverybody || to == r ? mine.size() : 0;
    operation.copy(header.operation.data(), header.operation.size() - 1);
    s.mail->send(r, kHeader, std::as_bytes(std::span(&header, 1)));
    for (std::size_t at = 0; at < header.bytes; at += kLongestMessage) {
      s.mail->send(r, kPayload, mine.subspan(at, std::min<std::size_t>(kLongestMessage, mine.size() - at)));
    }
  });

  std::vector<Incoming> parts(headers.size());
  const auto begin = Clock::now();
  Pause pause;
  const auto give_up = [&](int culprit, std::string reason) { s.give_up(culprit, std::move(reason)); };
  while (true) {
    const bool news = s.look();
    bool done = true;
    s.for_others([&](int r) {
      State::Peer& peer = s.peer(r);
      Incoming& part = parts[static_cast<std::size_t>(r)];
      while (!part.done() && !peer.inbox.empty()) {
        const auto header = part.add(peer.inbox.front(), [&](std::size_t bytes) { return place(r, bytes); });
        peer.inbox.pop_front();
        if (!header) continue;
        const Header& own = headers[static_cast<std::size_t>(r)];
        if (header->operation != own.operation || header->sequence != own.sequence) {
          give_up(r, fmt::format("is at '{}' where rank {} is at '{}': they do not do the same",
                                 header->operation.data(), s.rank(), own.operation.data()));
        }
      }
      done = done && part.done();
    });
    if (done && s.mail->idle()) return;
    s.require_going();
    s.for_others([&](int r) {
      if (parts[static_cast<std::size_t>(r)].done()) return;
      const State::Peer& peer = s.peer(r);
      if (peer.parted && peer.inbox.empty()) {
        give_up(r, fmt::format("has ended, where rank {} is at '{}'", s.rank(), operation));
      }
      s.require_life(r, operation, begin);
    });
    if (!news) pause();
  }
}

int Communicator::rank() const noexcept { return state_ ? state_->rank() : 0; }
int Communicator::size() const noexcept { return state_ ? state_->size() : 1; }
std::string Communicator::carrier() const { return state_ ? state_->mail->name() : "one process"; }

std::vector<RankDescription> Communicator::ranks() const {
  if (state_) return state_->ranks;
  return {{host_name(), static_cast<std::int64_t>(::getpid()), usable_threads(), 0}};
}

int Communicator::threads() const noexcept {
  return state_ ? state_->ranks[static_cast<std::size_t>(rank())].threads : usable_threads();
}

int Communicator::local_rank() const noexcept {
  return state_ ? state_->ranks[static_cast<std::size_t>(rank())].local_rank : 0;
}

std::vector<std::string> Communicator::gather_text(std::string_view operation, std::string_view mine) const {
  std::vector<std::string> all;
  for (const auto& part : gather(operation, std::span<const char>(mine))) all.emplace_back(part.begin(), part.end());
  return all;
}

void Communicator::barrier(std::string_view operation) const { exchange(operation, {}, kEverybody, {}); }

void Communicator::require_same(std::string_view field, std::string_view text) const {
  if (size() == 1) return;
  const std::vector<std::string> all = gather_text(field, text);
  for (std::size_t r = 1; r < all.size(); ++r) {
    require(all[r] == all[0], field, fmt::format("{} on rank {}", all[r], r),
            fmt::format("must be the same on all ranks; rank 0 has {}", all[0]));
  }
}

void Communicator::on_first(std::string_view operation, const std::function<void()>& task) const {
  if (first()) {
    try {
      task();
    } catch (const std::exception& error) {
      if (size() > 1) fail(error.what());
      throw;
    }
  }
  barrier(operation);
}

void Communicator::alive() const {
  if (!state_) return;
  State& s = *state_;
  s.look();
  s.require_going();
  if (Clock::now() - s.told_alive < kHeartbeat) return;
  s.told_alive = Clock::now();
  s.tell(kAlive, "");
}

void Communicator::await(std::string_view operation, const std::function<bool()>& done) const {
  const auto begin = Clock::now();
  for (Pause pause; !done(); pause()) {
    if (!state_) continue;
    alive();
    // One that has parted may have done its part before.
    state_->for_others([&](int r) { state_->require_life(r, operation, begin); });
  }
}

bool Communicator::fail(std::string_view reason) const noexcept {
  if (!state_) return false;
  State& s = *state_;
  try {
    const auto said = [&](const Failure& f) { return f.rank < s.rank() && f.reason == reason; };
    if (!s.failure) s.failure = Failure{s.rank(), std::string(reason)};
    s.tell_failure({s.rank(), std::string(reason)});
    Pause pause;
    for (const auto begin = Clock::now(); s.rank() > 0 && Clock::now() - begin < kTogether;) {
      if (std::ranges::any_of(s.failures, said)) return true;
      if (!s.look()) pause();
    }
  } catch (...) {
    // Nobody can be told: they will find out by themselves.
  }
  return false;
}

// -------------------------------------------------------------------------------------------------------- beginnings

struct MakeCommunicator {
  static Communicator from(std::unique_ptr<Mail> mail, double timeout) {
    Communicator ranks;
    const int size = mail->size();
    if (size == 1) {
      mail->close(true);
      return ranks;
    }
    ranks.state_ = std::make_shared<Communicator::State>(std::move(mail), timeout);
    std::string version;
    for (const std::string& line : build_options()) version += (version.empty() ? "" : ", ") + line;
    ranks.require_same("version", version);
    const auto hosts = ranks.gather_text("hosts", host_name());
    const auto machines = ranks.gather_text("machines", machine_name());
    const auto processes = ranks.gather_value("processes", static_cast<std::int64_t>(::getpid()));
    const auto cores = ranks.gather_value("cores", cores_of_this_process());
    const auto threads = ranks.gather_value("threads", usable_threads());
    for (std::size_t r = 0; r < hosts.size(); ++r) {
      const auto sharing = static_cast<int>(std::ranges::count(cores, cores[r]));
      const auto before = machines.begin() + static_cast<std::ptrdiff_t>(r);
      const auto local_rank = static_cast<int>(std::count(machines.begin(), before, machines[r]));
      ranks.state_->ranks.push_back({hosts[r], processes[r], std::max(1, threads[r] / sharing), local_rank});
    }
    return ranks;
  }
  // All handles of the ranks that this process was started among share one state: they meet, and MPI begins and ends,
  // once.
  template <class Begin>
  static Communicator world(const Begin& begin) {
    static std::weak_ptr<Communicator::State> known;
    static bool alone = false;
    Communicator ranks;
    ranks.state_ = known.lock();
    if (alone || ranks.state_) return ranks;
    ranks = from(begin(), rank_timeout());
    known = ranks.state_;
    alone = !ranks.state_;
    return ranks;
  }
};

Communicator make_communicator(std::unique_ptr<Mail> mail, double timeout) {
  return MakeCommunicator::from(std::move(mail), timeout);
}

Communicator Communicator::world() {
  if (const std::optional<Meeting> meeting = meeting_of_environment()) {
    if (meeting->size == 1) return {};
    return MakeCommunicator::world([&] { return socket_mail(*meeting, rank_timeout()); });
  }
  if (!launched_by_mpi()) return {};
#if !EBMCUDA_WITH_MPI
  if (launched_ranks() == 1) return {};
#endif
  return MakeCommunicator::world([] {
    std::unique_ptr<Mail> mail = world_mail();
    // Else every one would do all of the work and write the same files.
    require(mail->size() > 1 || launched_ranks() == 1, "communicator", fmt::format("{} processes", launched_ranks()),
            fmt::format("were started by a launcher that this MPI ({}) does not know", mail->name()));
    return mail;
  });
}

Communicator Communicator::meet(const std::string& place, int rank, int size) {
  const Meeting meeting{place, rank, size};
  require_meeting(meeting);
  return size == 1 ? Communicator() : make_communicator(socket_mail(meeting, rank_timeout()));
}

Communicator Communicator::mpi(const void* comm) { return make_communicator(mpi_mail(comm)); }

double rank_timeout() {
  const char* text = std::getenv("EBMCUDA_RANK_TIMEOUT");
  if (text == nullptr) return 300;
  const auto seconds = parse_number<double>(text);
  require(seconds && *seconds > 0 && *seconds <= 1e9, "EBMCUDA_RANK_TIMEOUT", text, "must be seconds, > 0");
  return *seconds;
}

}  // namespace ebm
