// Messages over TCP connections, one to each of the others. Nothing here waits.
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <deque>
#include <thread>
#include <utility>

#include "host/files/descriptor.hpp"
#include "host/ranks/mail.hpp"
#include "host/ranks/meeting.hpp"
#include "host/ranks/socket.hpp"

namespace ebm {
namespace {

struct FrameHeader {
  std::int64_t tag = 0;
  std::uint64_t bytes = 0;
};

class Connection {
 public:
  explicit Connection(Descriptor socket) : socket_(std::move(socket)) {}

  bool lost() const { return !socket_ || (gone_ && !readable_); }

  void send(int tag, std::span<const std::byte> bytes) {
    if (!socket_ || gone_) return;
    outgoing_.push_back({{tag, bytes.size()}, bytes, 0});
    push();
  }

  // Whether nothing is left to be sent; what can't be sent any more is dropped.
  bool push() {
    while (!outgoing_.empty()) {
      Outgoing& out = outgoing_.front();
      constexpr std::size_t kHeader = sizeof(FrameHeader);
      std::array<iovec, 2> parts{};
      std::size_t n = 0;
      if (out.sent < kHeader) parts[n++] = {reinterpret_cast<std::byte*>(&out.header) + out.sent, kHeader - out.sent};
      const std::size_t body = out.sent < kHeader ? 0 : out.sent - kHeader;
      // writev's type has no const; it only reads.
      if (body < out.bytes.size()) {
        parts[n++] = {const_cast<std::byte*>(out.bytes.data()) + body, out.bytes.size() - body};
      }
      msghdr message{};
      message.msg_iov = parts.data();
      message.msg_iovlen = n;
      const ssize_t sent = ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL);
      if (sent < 0) {
        if (errno == EINTR) continue;
        if (errno == EAGAIN) return false;
        gone_ = true;  // what it sent before may still be read
        outgoing_.clear();
        return true;
      }
      out.sent += static_cast<std::size_t>(sent);
      if (out.sent == kHeader + out.bytes.size()) outgoing_.pop_front();
    }
    return true;
  }

  // A whole message, where one is here.
  bool pull(Message* message) {
    while (socket_ && readable_) {
      if (got_ == sizeof header_) {
        if (body_ < incoming_.size()) {
          if (!read(std::span(incoming_).subspan(body_), &body_)) return false;
          continue;
        }
        message->tag = static_cast<int>(header_.tag);
        message->bytes = std::exchange(incoming_, {});
        got_ = body_ = 0;
        return true;
      }
      if (!read(std::as_writable_bytes(std::span(&header_, 1)).subspan(got_), &got_)) return false;
      if (got_ < sizeof header_) continue;
      if (header_.bytes > kLongestMessage) {  // no rank of ours sends that
        readable_ = false;
        gone_ = true;
        return false;
      }
      incoming_.resize(static_cast<std::size_t>(header_.bytes));
    }
    return false;
  }

  // Nothing more is sent: the other end finds the end of what was.
  void finish() { ::shutdown(socket_.get(), SHUT_WR); }
  // Takes what comes and drops it; whether the other end has finished too.
  bool drained() {
    for (Message dropped; pull(&dropped);) {
    }
    return !socket_ || !readable_;
  }

 private:
  struct Outgoing {
    FrameHeader header;
    std::span<const std::byte> bytes;
    std::size_t sent = 0;  // of both
  };

  bool read(std::span<std::byte> to, std::size_t* at) {
    const ssize_t n = ::recv(socket_.get(), to.data(), to.size(), 0);
    if (n > 0) {
      *at += static_cast<std::size_t>(n);
      return true;
    }
    if (n < 0 && errno == EINTR) return true;
    if (n == 0 || errno != EAGAIN) {
      readable_ = false;
      gone_ = true;
    }
    return false;
  }

  Descriptor socket_;
  bool readable_ = true, gone_ = false;
  std::deque<Outgoing> outgoing_;
  FrameHeader header_;
  std::size_t got_ = 0, body_ = 0;
  std::vector<std::byte> incoming_;
};

class SocketMail final : public Mail {
 public:
  SocketMail(const Meeting& meeting, double timeout) : rank_(meeting.rank) {
    for (Descriptor& socket : meet(meeting, timeout)) connections_.emplace_back(std::move(socket));
  }

  int rank() const override { return rank_; }
  int size() const override { return static_cast<int>(connections_.size()); }
  std::string name() const override { return "TCP"; }
  void send(int to, int tag, std::span<const std::byte> bytes) override {
    connections_[static_cast<std::size_t>(to)].send(tag, bytes);
  }
  bool idle() override {
    bool all = true;
    for (Connection& each : connections_) all = each.push() && all;
    return all;
  }
  bool receive(Message* message) override {
    for (std::size_t r = 0; r < connections_.size(); ++r) {
      if (!connections_[r].pull(message)) continue;
      message->from = static_cast<int>(r);
      return true;
    }
    return false;
  }
  bool lost(int rank) const override { return connections_[static_cast<std::size_t>(rank)].lost(); }

  void close(bool clean) noexcept override {
    if (clean) return;
    // A connection that is closed while something in it has not been read takes back what the other end has not read:
    // the reason of a failure, for one.
    for (Connection& each : connections_) each.finish();
    for (int i = 0; i < 200; ++i) {
      bool all = true;
      for (Connection& each : connections_) all = each.drained() && all;
      if (all) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }

 private:
  int rank_;
  std::vector<Connection> connections_;  // by rank
};

}  // namespace

std::unique_ptr<Mail> socket_mail(const Meeting& meeting, double timeout) {
  return std::make_unique<SocketMail>(meeting, timeout);
}

}  // namespace ebm
