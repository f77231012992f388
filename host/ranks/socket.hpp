// TCP for ranks that meet without MPI: sockets that never block, and what waits on them waits for a limited time.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "host/files/descriptor.hpp"

namespace ebm {

using Deadline = std::chrono::steady_clock::time_point;

struct Listener {
  Descriptor socket;
  int port = 0;
};
// On every address of this machine and a free port. Throws Error.
Listener listen_everywhere();
// The numeric addresses of this machine that others may know, without loopback's.
std::vector<std::string> own_addresses();

// A connection that waits at the listener; none where none does.
Descriptor accept_one(const Listener& listener);
// No descriptor where nothing answers there until then.
Descriptor connect_to(const std::string& address, int port, Deadline until);

// Until something may be read from one of these; false: not until then.
bool wait_readable(std::span<const int> sockets, Deadline until);
// All of the bytes; false where the connection is gone or the time is over.
bool send_all(const Descriptor& socket, std::span<const std::byte> bytes, Deadline until);
bool receive_all(const Descriptor& socket, std::span<std::byte> bytes, Deadline until);
// Nothing has come and nothing more can.
bool is_closed(const Descriptor& socket);

}  // namespace ebm
