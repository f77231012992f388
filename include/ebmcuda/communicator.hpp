// Ranks: processes, each with a device of its own, that do one piece of work together and get the bits that one alone
// would get. All run the same program and make the same calls in the same order; what can be shared out is.
//
//   const Communicator ranks = Communicator::world();      // under mpirun, srun, torchrun; else this process alone
//   const Device device = Device::cpu(ranks.threads()).over(ranks);
//   Trainer trainer(model, data, options, device);         // as on one rank, and so is all that takes a Device
//
// A rank that can't go on says so with fail(); from then on every call of every rank that would wait for the others
// throws RankError. So does a rank that ends, that does something else than the others, or that gives no sign of life
// for the time that the environment variable EBMCUDA_RANK_TIMEOUT allows, in seconds (300 when unset). docs/ranks.md
// has the whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "ebmcuda/export.hpp"

namespace ebm {

struct EBMCUDA_API RankDescription {
  std::string host;
  std::int64_t process = 0;  // its id there
  int threads = 1;           // hardware threads that it may use, shared with the ranks that may use the same
  int local_rank = 0;        // its number among the ranks of its machine
};

// A handle; copies are the same ranks. One thread of a rank at a time may use it.
class EBMCUDA_API Communicator {
 public:
  // This process alone.
  Communicator() noexcept = default;
  // The ranks that this process was started among. Where the environment variable EBMCUDA_RENDEZVOUS names a place,
  // they meet() there: rank and number are EBMCUDA_RANK and EBMCUDA_WORLD, else torchrun's RANK and WORLD_SIZE, else
  // srun's SLURM_PROCID and SLURM_NTASKS. Else MPI_COMM_WORLD where mpirun or srun started this process: MPI is begun
  // where nobody has, and ended with the last handle. Else this process alone. Throws ConfigError where variables
  // contradict, or there are several and the library was built without MPI; RankError as meet() does.
  static Communicator world();
  // Rank `rank` of `size` processes that find one another by a file which all of them can read: `place`, or a file in
  // it where that is a folder. Only ranks that belong together may use the place at the same time. Messages go over
  // TCP. Waits for all of them, as long as a silent rank is waited for; RankError where one does not come, ConfigError
  // where they do not agree on their number or two have the same one.
  static Communicator meet(const std::string& place, int rank, int size);
  // The ranks of an MPI communicator; `comm` points to an MPI_Comm, of which a duplicate is made. MPI has been begun,
  // and ends after the last handle; with MPI_THREAD_FUNNELED only its main thread may use one. ConfigError in a library
  // without MPI.
  static Communicator mpi(const void* comm);

  int rank() const noexcept;  // 0 .. size() - 1
  int size() const noexcept;
  bool first() const noexcept { return rank() == 0; }
  int threads() const noexcept;     // this rank's RankDescription::threads
  int local_rank() const noexcept;  // and its local_rank
  // "one process", or what carries messages: "Open MPI v4.1.4".
  std::string carrier() const;
  std::vector<RankDescription> ranks() const;

  // What follows is made by all ranks together, under the same name; it waits for all of them. Throws RankError.
  //
  // Everybody gets what each rank gave.
  template <class T>
  std::vector<std::vector<T>> gather(std::string_view operation, std::span<const T> mine) const {
    static_assert(std::is_trivially_copyable_v<T>);
    std::vector<std::vector<T>> all(static_cast<std::size_t>(size()));
    exchange(operation, std::as_bytes(mine), kEverybody, [&](int from, std::size_t bytes) {
      auto& part = all[static_cast<std::size_t>(from)];
      part.resize(bytes / sizeof(T));
      return std::as_writable_bytes(std::span(part));
    });
    return all;
  }
  template <class T>
  std::vector<T> gather_value(std::string_view operation, const T& mine) const {
    std::vector<T> all;
    for (const auto& part : gather(operation, std::span<const T>(&mine, 1))) all.push_back(part.front());
    return all;
  }
  // Rank 0's.
  template <class T>
  T broadcast(std::string_view operation, T value) const {
    return gather_value(operation, value).front();
  }
  std::vector<std::string> gather_text(std::string_view operation, std::string_view mine) const;
  void barrier(std::string_view operation) const;
  // ConfigError on all ranks, the same one, when a rank's text is not that of rank 0.
  void require_same(std::string_view field, std::string_view text) const;
  // Rank 0 does it and the others wait; what it throws is RankError there.
  void on_first(std::string_view operation, const std::function<void()>& task) const;

  // What those are made of. `mine` goes to everybody or to one rank; for what arrives, of this rank too, place(from,
  // bytes) says where to: it must be of that size, and is not asked for 0 bytes.
  static constexpr int kEverybody = -1;
  void exchange(std::string_view operation, std::span<const std::byte> mine, int to,
                const std::function<std::span<std::byte>(int from, std::size_t bytes)>& place) const;

  // In the midst of long work: tells the others that this rank lives, at most once a second. Throws RankError when one
  // of them has failed.
  void alive() const;
  // Waits until done() is true, which is asked for again and again, and meanwhile hears of the others, which do the
  // same or are on their way to it: for work of this rank that waits for theirs. Throws RankError when one of them
  // fails, ends or gives no sign of life.
  void await(std::string_view operation, const std::function<bool()>& done) const;
  // This rank can't go on, for a reason of its own (not a RankError): the others' calls throw RankError with this
  // reason. Says whether a rank before this one has failed with the same words, for which it waits a second: one
  // message then serves.
  bool fail(std::string_view reason) const noexcept;

 private:
  friend struct MakeCommunicator;
  struct EBMCUDA_HIDDEN State;
  struct EBMCUDA_HIDDEN BytesLeave;
  std::shared_ptr<State> state_;  // null: alone
};

}  // namespace ebm
