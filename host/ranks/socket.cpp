#include "host/ranks/socket.hpp"

#include <fmt/format.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "ebmcuda/error.hpp"

namespace ebm {
namespace {

constexpr int kFlags = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;

// Milliseconds for poll(), rounded up.
int left_until(Deadline until) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now()).count();
  return static_cast<int>(std::clamp<long>(left, 0, 60'000));
}

bool wait_for(int socket, short events, Deadline until) {
  while (true) {
    pollfd p{socket, events, 0};
    const int n = ::poll(&p, 1, left_until(until));
    if (n > 0) return true;
    if (n < 0 && errno != EINTR) return false;
    if (std::chrono::steady_clock::now() >= until) return false;
  }
}

// Messages are small and waited for.
void send_at_once(const Descriptor& socket) {
  const int on = 1;
  ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

// With IPv6, over which IPv4 comes too, or without it.
Listener try_to_listen(int family, std::span<std::byte> space, sockaddr* address, socklen_t size) {
  Listener listener{Descriptor(::socket(family, kFlags, 0)), 0};
  if (!listener.socket) return {};
  if (family == AF_INET6) {
    const int off = 0;
    ::setsockopt(listener.socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  }
  if (::bind(listener.socket.get(), address, size) != 0 || ::listen(listener.socket.get(), SOMAXCONN) != 0) return {};
  auto bound_size = static_cast<socklen_t>(space.size());
  auto* const bound = reinterpret_cast<sockaddr*>(space.data());
  if (::getsockname(listener.socket.get(), bound, &bound_size) != 0) return {};
  listener.port = ntohs(family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(bound)->sin6_port
                                           : reinterpret_cast<sockaddr_in*>(bound)->sin_port);
  return listener;
}

}  // namespace

Listener listen_everywhere() {
  alignas(sockaddr_storage) std::byte space[sizeof(sockaddr_storage)]{};
  sockaddr_in6 six{};
  six.sin6_family = AF_INET6;
  six.sin6_addr = in6addr_any;
  if (Listener both = try_to_listen(AF_INET6, space, reinterpret_cast<sockaddr*>(&six), sizeof six); both.socket) {
    return both;
  }
  sockaddr_in four{};
  four.sin_family = AF_INET;
  four.sin_addr.s_addr = htonl(INADDR_ANY);
  Listener one = try_to_listen(AF_INET, space, reinterpret_cast<sockaddr*>(&four), sizeof four);
  if (!one.socket) throw Error(fmt::format("ranks can't meet: no TCP port to listen on: {}", errno_text(errno)));
  return one;
}

std::vector<std::string> own_addresses() {
  ifaddrs* first = nullptr;
  if (::getifaddrs(&first) != 0) return {};
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owner(first, &::freeifaddrs);
  std::vector<std::string> addresses;
  for (const ifaddrs* at = first; at != nullptr; at = at->ifa_next) {
    if (at->ifa_addr == nullptr || (at->ifa_flags & IFF_UP) == 0 || (at->ifa_flags & IFF_LOOPBACK) != 0) continue;
    const int family = at->ifa_addr->sa_family;
    if (family != AF_INET && family != AF_INET6) continue;
    // Of one link only, and another number there.
    if (family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&reinterpret_cast<sockaddr_in6*>(at->ifa_addr)->sin6_addr))
      continue;
    char text[NI_MAXHOST] = "";
    const socklen_t size = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    if (::getnameinfo(at->ifa_addr, size, text, sizeof text, nullptr, 0, NI_NUMERICHOST) == 0) {
      addresses.emplace_back(text);
    }
  }
  return addresses;
}

Descriptor accept_one(const Listener& listener) {
  Descriptor socket(::accept4(listener.socket.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (socket) send_at_once(socket);
  return socket;
}

Descriptor connect_to(const std::string& address, int port, Deadline until) {
  addrinfo wanted{};
  wanted.ai_socktype = SOCK_STREAM;
  wanted.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (::getaddrinfo(address.c_str(), fmt::format("{}", port).c_str(), &wanted, &found) != 0) return {};
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);
  Descriptor socket(::socket(found->ai_family, kFlags, 0));
  if (!socket) return {};
  if (::connect(socket.get(), found->ai_addr, found->ai_addrlen) != 0) {
    if (errno != EINPROGRESS || !wait_for(socket.get(), POLLOUT, until)) return {};
    int error = 0;
    socklen_t size = sizeof error;
    if (::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) return {};
  }
  send_at_once(socket);
  return socket;
}

bool wait_readable(std::span<const int> sockets, Deadline until) {
  std::vector<pollfd> polled;
  for (const int socket : sockets) polled.push_back({socket, POLLIN, 0});
  return ::poll(polled.data(), polled.size(), left_until(until)) > 0;
}

bool send_all(const Descriptor& socket, std::span<const std::byte> bytes, Deadline until) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n > 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    } else if (n < 0 && errno != EAGAIN && errno != EINTR) {
      return false;
    } else if (!wait_for(socket.get(), POLLOUT, until)) {
      return false;
    }
  }
  return true;
}

bool receive_all(const Descriptor& socket, std::span<std::byte> bytes, Deadline until) {
  while (!bytes.empty()) {
    const ssize_t n = ::recv(socket.get(), bytes.data(), bytes.size(), 0);
    if (n > 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
      return false;
    } else if (!wait_for(socket.get(), POLLIN, until)) {
      return false;
    }
  }
  return true;
}

bool is_closed(const Descriptor& socket) {
  std::byte one{};
  const ssize_t n = ::recv(socket.get(), &one, 1, MSG_PEEK);
  return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

}  // namespace ebm
