// Messages over MPI. Only calls that return at once, so that a rank that waits can give up.
#include <fmt/format.h>

#include <algorithm>
#include <deque>

#include "ebmcuda/error.hpp"
#include "host/core/check.hpp"
#include "host/ranks/mail.hpp"

#if EBMCUDA_WITH_MPI
#define OMPI_SKIP_MPICXX 1  // Open MPI's and MPICH's C++ bindings, which nobody uses
#define MPICH_SKIP_MPICXX 1
#include <mpi.h>

namespace ebm {
namespace {

void check(int code, const char* call) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(code, text, &length);
  throw Error(fmt::format("{}: {}", call, text));
}

class MpiMail final : public Mail {
 public:
  MpiMail(MPI_Comm comm, bool finalizes) : finalizes_(finalizes) {
    check(MPI_Comm_dup(comm, &comm_), "MPI_Comm_dup");
    MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN);
    check(MPI_Comm_rank(comm_, &rank_), "MPI_Comm_rank");
    check(MPI_Comm_size(comm_, &size_), "MPI_Comm_size");
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  std::string name() const override {
    char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
    int length = 0;
    MPI_Get_library_version(text, &length);
    const std::string whole(text);
    return whole.substr(0, whole.find_first_of(",\n"));
  }

  void send(int to, int tag, std::span<const std::byte> bytes) override {
    check(MPI_Isend(bytes.data(), static_cast<int>(bytes.size()), MPI_BYTE, to, tag, comm_, &sends_.emplace_back()),
          "MPI_Isend");
  }

  bool idle() override {
    if (sends_.empty()) return true;
    int done = 0;
    check(MPI_Testall(static_cast<int>(sends_.size()), sends_.data(), &done, MPI_STATUSES_IGNORE), "MPI_Testall");
    if (done != 0) sends_.clear();
    return done != 0;
  }

  bool receive(Message* message) override {
    begin_receiving();
    for (auto arrival = arrivals_.begin(); arrival != arrivals_.end(); ++arrival) {
      const bool overtakes = std::any_of(arrivals_.begin(), arrival,
                                         [&](const Arrival& a) { return a.message.from == arrival->message.from; });
      if (overtakes) continue;
      int done = 0;
      check(MPI_Test(&arrival->request, &done, MPI_STATUS_IGNORE), "MPI_Test");
      if (done == 0) continue;
      *message = std::move(arrival->message);
      arrivals_.erase(arrival);
      return true;
    }
    return false;
  }

  void close(bool clean) noexcept override {
    // MPI_Finalize waits for everybody and for what was sent: without that it might never come back.
    if (!clean || !sends_.empty() || !arrivals_.empty()) return;
    MPI_Comm_free(&comm_);
    if (finalizes_) MPI_Finalize();
  }

 private:
  struct Arrival {
    Message message;
    MPI_Request request;
  };

  void begin_receiving() {
    while (true) {
      int found = 0;
      MPI_Message handle;
      MPI_Status status;
      check(MPI_Improbe(MPI_ANY_SOURCE, MPI_ANY_TAG, comm_, &found, &handle, &status), "MPI_Improbe");
      if (found == 0) return;
      int count = 0;
      check(MPI_Get_count(&status, MPI_BYTE, &count), "MPI_Get_count");
      Arrival& arrival = arrivals_.emplace_back();
      arrival.message.from = status.MPI_SOURCE;
      arrival.message.tag = status.MPI_TAG;
      arrival.message.bytes.resize(static_cast<std::size_t>(count));
      check(MPI_Imrecv(arrival.message.bytes.data(), count, MPI_BYTE, &handle, &arrival.request), "MPI_Imrecv");
    }
  }

  MPI_Comm comm_ = MPI_COMM_NULL;
  bool finalizes_;
  int rank_ = 0, size_ = 1;
  std::vector<MPI_Request> sends_;
  std::deque<Arrival> arrivals_;
};

}  // namespace

std::unique_ptr<Mail> world_mail() {
  int begun = 0, ended = 0;
  MPI_Initialized(&begun);
  MPI_Finalized(&ended);
  require(ended == 0, "communicator", "world", "MPI has been ended in this process and can't be begun again");
  if (begun == 0) {
    int provided = 0;
    check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided), "MPI_Init_thread");
  }
  return std::make_unique<MpiMail>(MPI_COMM_WORLD, begun == 0);
}

std::unique_ptr<Mail> mpi_mail(const void* comm) {
  int begun = 0, ended = 0;
  MPI_Initialized(&begun);
  MPI_Finalized(&ended);
  require(comm != nullptr, "comm", "null", "must point to an MPI_Comm");
  require(begun != 0 && ended == 0, "comm", "given", "MPI must have been begun and not ended");
  return std::make_unique<MpiMail>(*static_cast<const MPI_Comm*>(comm), false);
}

}  // namespace ebm

#else

namespace ebm {

std::unique_ptr<Mail> world_mail() {
  reject("communicator", fmt::format("{} ranks", launched_ranks()),
         "this build has no MPI (EBMCUDA_MPI=OFF); start one process");
}

std::unique_ptr<Mail> mpi_mail(const void*) {
  reject("communicator", "MPI", "this build has no MPI (EBMCUDA_MPI=OFF)");
}

}  // namespace ebm

#endif
