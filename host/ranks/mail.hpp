// The seam below Communicator: messages between ranks, and nothing about what they say. MPI (mpi_mail.cpp), TCP
// (socket_mail.cpp) and the threads of one process (tests/ranks) carry them.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ebmcuda/communicator.hpp"
#include "host/ranks/launcher.hpp"

namespace ebm {

// The largest message that send() takes: what MPI counts in an int, with room.
constexpr std::size_t kLongestMessage = std::size_t{1} << 30;

struct Message {
  int from = 0;
  int tag = 0;
  std::vector<std::byte> bytes;
};

class Mail {
 public:
  virtual ~Mail() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual std::string name() const = 0;
  // Begins to send; the bytes must stay as they are until idle().
  virtual void send(int to, int tag, std::span<const std::byte> bytes) = 0;
  // Whether everything that was sent has left its bytes. Moves things along.
  virtual bool idle() = 0;
  // The next message that is here, in the order of their sending from each rank; false when there is none. Never waits.
  virtual bool receive(Message* message) = 0;
  // Whether nothing can come from this rank any more and all that did has been received, as far as that can be known.
  virtual bool lost(int rank) const { return static_cast<void>(rank), false; }
  // The last call but for the destructor's: the ranks have parted and `clean` says that nothing is on its way.
  virtual void close(bool clean) noexcept { static_cast<void>(clean); }
};

// Seconds until a silent rank is given up: EBMCUDA_RANK_TIMEOUT, else 300. Throws ConfigError.
double rank_timeout();

Communicator make_communicator(std::unique_ptr<Mail> mail, double timeout = rank_timeout());

// Of MPI_COMM_WORLD, which is begun if need be, or of another (an MPI_Comm*).
std::unique_ptr<Mail> world_mail();
std::unique_ptr<Mail> mpi_mail(const void* comm);
// Of the ranks that come to a meeting, for which it waits so many seconds (meeting.hpp).
std::unique_ptr<Mail> socket_mail(const Meeting& meeting, double timeout);

}  // namespace ebm
