#include "host/ranks/meeting.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <fstream>
#include <random>
#include <thread>

#include "host/core/check.hpp"
#include "host/files/atomic_file.hpp"
#include "host/files/text.hpp"
#include "host/ranks/machine.hpp"
#include "host/ranks/socket.hpp"

namespace ebm {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using Words = std::vector<std::string>;

constexpr const char* kFormat = "ebmcuda ranks 1";
constexpr std::chrono::seconds kGreeting{3};    // for what a connection begins with
constexpr std::chrono::seconds kVerdict{5};     // that rank 0's word may come later than its time is up
constexpr std::chrono::milliseconds kLook{20};  // between two looks at the file

// A message of the meeting: lines of text behind their length.
constexpr std::uint32_t kLongest = 1 << 24;

bool say(const Descriptor& to, const Words& words, Deadline until) {
  const std::string text = fmt::format("{}", fmt::join(words, "\n"));
  const auto size = static_cast<std::uint32_t>(text.size());
  return send_all(to, std::as_bytes(std::span(&size, 1)), until) && send_all(to, std::as_bytes(std::span(text)), until);
}

// Empty where nothing that makes sense comes until then.
Words hear(const Descriptor& from, Deadline until) {
  std::uint32_t size = 0;
  if (!receive_all(from, std::as_writable_bytes(std::span(&size, 1)), until) || size > kLongest) return {};
  std::string text(size, '\0');
  if (!receive_all(from, std::as_writable_bytes(std::span(text)), until)) return {};
  Words words(1);
  for (const char c : text) {
    if (c == '\n') {
      words.emplace_back();
    } else {
      words.back() += c;
    }
  }
  return words;
}

std::optional<int> number(const std::string& text) { return parse_number<int>(text); }

// Where a rank listens. As words: machine, port, number of addresses, addresses.
struct Endpoint {
  std::string machine;
  int port = 0;
  std::vector<std::string> addresses;

  void put(Words* words) const {
    words->push_back(machine);
    words->push_back(fmt::format("{}", port));
    words->push_back(fmt::format("{}", addresses.size()));
    words->insert(words->end(), addresses.begin(), addresses.end());
  }
  // From words[*at] on, which is moved on; none where they are no endpoint.
  static std::optional<Endpoint> take(const Words& words, std::size_t* at) {
    if (words.size() < *at + 3) return {};
    const std::optional<int> port = number(words[*at + 1]), count = number(words[*at + 2]);
    const std::size_t first = *at + 3;
    if (!port || !count || *count < 0 || words.size() - first < static_cast<std::size_t>(*count)) return {};
    *at = first + static_cast<std::size_t>(*count);
    return Endpoint{
        words[first - 3],
        *port,
        {words.begin() + static_cast<std::ptrdiff_t>(first), words.begin() + static_cast<std::ptrdiff_t>(*at)}};
  }
};

std::string random_token() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}{:08x}{:08x}", random(), random(), random(), random());
}

fs::path file_at(const fs::path& place) {
  std::error_code unreadable;
  if (fs::is_directory(place, unreadable)) return place / "ebmcuda-ranks";
  const fs::path parent = place.has_parent_path() ? place.parent_path() : fs::path(".");
  require(fs::is_directory(parent, unreadable), "EBMCUDA_RENDEZVOUS", place.string(),
          "must be in a folder that is there, and on every machine the same");
  return place;
}

class Gathering {
 public:
  Gathering(const Meeting& meeting, double timeout)
      : meeting_(meeting),
        file_(file_at(meeting.place)),
        timeout_(timeout),
        until_(Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(timeout))),
        listener_(listen_everywhere()),
        own_{machine_name(), listener_.port, own_addresses()},
        lines_(static_cast<std::size_t>(meeting.size)),
        endpoints_(lines_.size()) {}
  Gathering(const Gathering&) = delete;
  Gathering& operator=(const Gathering&) = delete;
  ~Gathering() {
    std::error_code ignored;
    if (written_) fs::remove(file_, ignored);
  }

  std::vector<Descriptor> take() {
    if (meeting_.rank == 0) {
      lead();
    } else {
      join();
      connect_to_others();
    }
    return std::move(lines_);
  }

 private:
  Descriptor& line(int rank) { return lines_[static_cast<std::size_t>(rank)]; }
  bool over() const { return Clock::now() >= until_; }

  // ----------------------------------------------------------------------------------------------------- rank 0

  void lead() {
    token_ = random_token();
    Words words{kFormat, token_};
    own_.put(&words);
    AtomicFile file(file_);
    fs::permissions(file.temporary(), fs::perms::owner_read | fs::perms::owner_write);
    file.write(fmt::format("{}\n", fmt::join(words, "\n")));
    file.commit();
    written_ = true;
    while (const auto missing = first_missing()) {
      if (over()) {
        fail(*missing, fmt::format("has not come to {} within {:.3g} s", file_.string(), timeout_));
      }
      wait_readable(sockets(), std::min(until_, Clock::now() + std::chrono::seconds(1)));
      for (int r = 1; r < meeting_.size; ++r) {
        if (line(r) && is_closed(line(r))) fail(r, "has ended while the ranks were meeting");
      }
      while (Descriptor caller = accept_one(listener_)) admit(std::move(caller));
    }
    Words table{"all"};
    endpoints_[0] = own_;
    for (const Endpoint& endpoint : endpoints_) endpoint.put(&table);
    tell(table);
  }

  std::optional<int> first_missing() {
    for (int r = 1; r < meeting_.size; ++r) {
      if (!line(r)) return r;
    }
    return {};
  }

  std::vector<int> sockets() const {
    std::vector<int> all{listener_.socket.get()};
    for (const Descriptor& each : lines_) {
      if (each) all.push_back(each.get());
    }
    return all;
  }

  void admit(Descriptor caller) {
    const Words words = hear(caller, Clock::now() + kGreeting);
    if (words.size() < 3 || words[0] != token_) return;
    const std::optional<int> rank = number(words[1]), size = number(words[2]);
    std::size_t at = 3;
    const std::optional<Endpoint> endpoint = Endpoint::take(words, &at);
    if (!rank || !size || !endpoint) return;
    if (*size != meeting_.size) {
      refuse(caller, "EBMCUDA_WORLD", fmt::format("{} on rank {}", *size, *rank),
             fmt::format("must be the same on all ranks; rank 0 has {}", meeting_.size));
    }
    if (*rank < 1 || *rank >= meeting_.size || line(*rank)) {
      refuse(caller, "EBMCUDA_RANK", fmt::format("{}", *rank), "is the rank of two processes; each needs its own");
    }
    if (!say(caller, {"welcome"}, Clock::now() + kGreeting)) return;
    endpoints_[static_cast<std::size_t>(*rank)] = *endpoint;
    line(*rank) = std::move(caller);
  }

  void tell(const Words& words) {
    for (const Descriptor& each : lines_) {
      if (each) say(each, words, Clock::now() + kGreeting);
    }
  }

  [[noreturn]] void fail(int rank, const std::string& reason) {
    tell({"failed", fmt::format("{}", rank), reason});
    throw RankError(rank, reason);
  }
  [[noreturn]] void refuse(const Descriptor& caller, const std::string& field, const std::string& value,
                           const std::string& allowed) {
    const Words words{"refused", field, value, allowed};
    say(caller, words, Clock::now() + kGreeting);
    tell(words);
    throw ConfigError(field, value, allowed);
  }

  // ------------------------------------------------------------------------------------------------- the others

  Words greeting() const {
    Words words{token_, fmt::format("{}", meeting_.rank), fmt::format("{}", meeting_.size)};
    own_.put(&words);
    return words;
  }

  void join() {
    while (true) {
      if (const std::optional<Endpoint> leader = read_file()) {
        line(0) = greet(*leader);
        if (line(0)) break;  // else the file is one that a run which has ended left behind
      }
      if (over()) throw RankError(0, fmt::format("has not come to {} within {:.3g} s", file_.string(), timeout_));
      std::this_thread::sleep_for(kLook);
    }
    const Words words = hear(line(0), until_ + kVerdict);
    heed(words);
    std::size_t at = 1;
    for (Endpoint& endpoint : endpoints_) {
      const std::optional<Endpoint> taken = words.empty() ? std::nullopt : Endpoint::take(words, &at);
      if (!taken) throw RankError(0, "has ended while the ranks were meeting");
      endpoint = *taken;
    }
  }

  std::optional<Endpoint> read_file() {
    std::ifstream file(file_);
    Words words;
    for (std::string word; std::getline(file, word);) words.push_back(word);
    if (words.size() < 2 || words[0] != kFormat) return {};
    token_ = words[1];
    std::size_t at = 2;
    return Endpoint::take(words, &at);
  }

  // A connection that has been welcomed there.
  Descriptor greet(const Endpoint& endpoint) {
    std::vector<std::string> addresses = endpoint.addresses;
    // Where both are in one container, say, no other may be there.
    if (endpoint.machine == own_.machine) addresses.insert(addresses.begin(), {"127.0.0.1", "::1"});
    for (const std::string& address : addresses) {
      Descriptor socket = connect_to(address, endpoint.port, Clock::now() + kGreeting);
      if (!socket || !say(socket, greeting(), Clock::now() + kGreeting)) continue;
      const Words words = hear(socket, Clock::now() + 2 * kGreeting);
      heed(words);
      if (!words.empty() && words[0] == "welcome") return socket;
    }
    return {};
  }

  // What rank 0 has against it.
  static void heed(const Words& words) {
    if (words.size() == 4 && words[0] == "refused") throw ConfigError(words[1], words[2], words[3]);
    if (words.size() == 3 && words[0] == "failed") throw RankError(number(words[1]).value_or(0), words[2]);
  }

  // To those below this rank, and from those above it. In that order nobody waits for one that waits for it.
  void connect_to_others() {
    for (int r = 1; r < meeting_.rank; ++r) {
      line(r) = greet(endpoints_[static_cast<std::size_t>(r)]);
      if (!line(r)) throw RankError(r, "can't be reached from another rank, or has ended while the ranks were meeting");
    }
    for (int left = meeting_.size - 1 - meeting_.rank; left > 0;) {
      Descriptor caller = accept_one(listener_);
      if (!caller) {
        if (over()) throw RankError(missing_above(), "has not connected to another rank");
        if (is_closed(line(0))) throw RankError(0, "has ended while the ranks were meeting");
        const int listening[] = {listener_.socket.get()};
        wait_readable(listening, Clock::now() + std::chrono::milliseconds(100));
        continue;
      }
      const Words words = hear(caller, Clock::now() + kGreeting);
      const std::optional<int> rank = words.size() > 2 && words[0] == token_ ? number(words[1]) : std::nullopt;
      if (!rank || *rank <= meeting_.rank || *rank >= meeting_.size || line(*rank)) continue;
      if (!say(caller, {"welcome"}, Clock::now() + kGreeting)) continue;
      line(*rank) = std::move(caller);
      --left;
    }
  }

  int missing_above() {
    for (int r = meeting_.rank + 1; r < meeting_.size; ++r) {
      if (!line(r)) return r;
    }
    return 0;
  }

  Meeting meeting_;
  fs::path file_;
  double timeout_;
  Deadline until_;
  Listener listener_;
  Endpoint own_;
  std::string token_;
  std::vector<Descriptor> lines_;  // by rank
  std::vector<Endpoint> endpoints_;
  bool written_ = false;
};

}  // namespace

std::vector<Descriptor> meet(const Meeting& meeting, double timeout) { return Gathering(meeting, timeout).take(); }

}  // namespace ebm
