#include "host/cuda/gpu_ranks.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <thread>

#include "host/core/check.hpp"
#include "host/cuda/devices.hpp"
#if EBMCUDA_WITH_NCCL
#include <atomic>

#include "host/cuda/nccl.hpp"
#endif

namespace ebm::cuda {
namespace {

std::string place_of(const Communicator& ranks, std::size_t rank, const std::string& device) {
  const RankDescription description = ranks.ranks()[rank];
  return fmt::format("{} of rank {} (local rank {} on {})", device, rank, description.local_rank, description.host);
}

}  // namespace

void require_own_gpus(const Communicator& ranks, int ordinal) {
  const std::vector<std::string> devices = ranks.gather_text("devices", fmt::format("cuda:{}", ordinal));
  const std::vector<std::string> identities = ranks.gather_text("identities of devices", device_identity(ordinal));
  const std::vector<int> counts = ranks.gather_value("numbers of devices", device_count());
  for (std::size_t r = 0; r < identities.size(); ++r) {
    const auto first = static_cast<std::size_t>(std::ranges::find(identities, identities[r]) - identities.begin());
    require(first == r, "device", place_of(ranks, r, devices[r]),
            fmt::format("is also {}; each rank needs a GPU of its own, and sees {} there",
                        place_of(ranks, first, devices[first]), counts[r]));
  }
}

#if EBMCUDA_WITH_NCCL

struct GpuRanks::Joined {
  const Nccl& nccl;
  ncclComm_t comm;
};

namespace {

// How long the reason of a failure is waited for that NCCL has noticed first.
constexpr std::chrono::seconds kReason{3};
// And how long this rank's own one, where another has told of one.
constexpr std::chrono::milliseconds kAlike{1000};
constexpr const char* kGivenUp = "what the ranks' GPUs did together was given up";

const Nccl& require_nccl(const Communicator& ranks) {
  const Nccl* const nccl = Nccl::find();
  const std::vector<int> versions = ranks.gather_value("NCCL", nccl == nullptr ? 0 : nccl->version);
  for (std::size_t r = 0; r < versions.size(); ++r) {
    require(versions[r] != 0, "device", fmt::format("cuda on rank {}", r),
            "training over ranks needs NCCL, and no libnccl.so.2 was found there: install it (PyPI: nvidia-nccl-cu13), "
            "or name it in EBMCUDA_NCCL");
    require(versions[r] == versions[0], "device", fmt::format("cuda with NCCL {} on rank {}", versions[r], r),
            fmt::format("must have the same NCCL on all ranks; rank 0 has {}", versions[0]));
  }
  return *nccl;
}

bool passes_soon(const Event& event) {
  for (int i = 0; i < 100; ++i) {
    if (event.passed()) return true;
    std::this_thread::sleep_for(kAlike / 100);
  }
  return false;
}

// ncclCommInitRank waits for the others without end, so it has a thread of its own: a rank that is gone must not hold
// the rest.
ncclComm_t join(const Nccl& nccl, const Context& context, const Communicator& ranks) {
  ncclUniqueId id{};
  ncclResult_t code = ranks.first() ? nccl.get_unique_id(&id) : ncclSuccess;
  require(code == ncclSuccess, "device", "cuda", fmt::format("NCCL can't begin: {}", nccl.explain(code)));
  id = ranks.broadcast("NCCL's id", id);
  struct Call {
    std::atomic<bool> done = false;
    ncclResult_t code = ncclInternalError;
    ncclComm_t comm = nullptr;
  };
  const auto call = std::make_shared<Call>();
  std::thread thread([call, &nccl, id, ordinal = context.ordinal(), size = ranks.size(), rank = ranks.rank()] {
    if (cudaSetDevice(ordinal) == cudaSuccess) call->code = nccl.comm_init_rank(&call->comm, size, id, rank);
    call->done = true;
  });
  try {
    ranks.await("NCCL's beginning", [&] { return call->done.load(); });
  } catch (...) {
    thread.detach();  // the process is about to end
    throw;
  }
  thread.join();
  if (call->code != ncclSuccess) {
    throw DeviceError(
        static_cast<int>(call->code), false,
        fmt::format("cuda:{}: NCCL can't join the ranks: {}", context.ordinal(), nccl.explain(call->code)));
  }
  return call->comm;
}

}  // namespace

GpuRanks::GpuRanks(std::shared_ptr<const Context> context, Communicator ranks)
    : context_(std::move(context)), ranks_(std::move(ranks)) {
  const Nccl& nccl = require_nccl(ranks_);
  joined_ = std::make_unique<Joined>(Joined{nccl, join(nccl, *context_, ranks_)});
}

GpuRanks::~GpuRanks() {
  if (joined_ == nullptr) return;
  try {
    // NCCL's own end may wait for ranks that do not come any more.
    if (std::uncaught_exceptions() == 0 && context_->lost() == nullptr) {
      ranks_.alive();
      context_->release([&] { joined_->nccl.comm_destroy(joined_->comm); });
      return;
    }
  } catch (const std::exception&) {
    // One of them has failed.
  }
  abort();
}

void GpuRanks::abort() noexcept {
  if (joined_ == nullptr) return;
  const CurrentDevice here(context_->ordinal());
  joined_->nccl.comm_abort(joined_->comm);
  joined_.reset();
}

void GpuRanks::all_gather(unsigned char* blocks, std::size_t bytes, cudaStream_t stream) {
  if (joined_ == nullptr) throw Error(kGivenUp);
  const Nccl& nccl = joined_->nccl;
  const unsigned char* const own = blocks + static_cast<std::size_t>(ranks_.rank()) * bytes;
  const ncclResult_t code = nccl.all_gather(own, blocks, bytes, ncclUint8, joined_->comm, stream);
  if (code == ncclSuccess) return;
  throw DeviceError(static_cast<int>(code), false,
                    fmt::format("cuda:{}: gathering the ranks' shares: {}", context_->ordinal(), nccl.explain(code)));
}

void GpuRanks::wait(const Event& event) {
  std::optional<std::chrono::steady_clock::time_point> noticed;
  try {
    if (joined_ == nullptr) throw Error(kGivenUp);
    ranks_.await("work on GPUs", [&] {
      if (event.passed()) return true;
      ncclResult_t code = ncclSuccess;
      joined_->nccl.comm_get_async_error(joined_->comm, &code);
      if (code == ncclSuccess || code == ncclInProgress) return false;
      const auto now = std::chrono::steady_clock::now();
      if (!noticed) noticed = now;
      if (now - *noticed > kReason) {
        throw DeviceError(static_cast<int>(code), false,
                          fmt::format("cuda:{}: NCCL: {}", context_->ordinal(), joined_->nccl.explain(code)));
      }
      return false;
    });
  } catch (const RankError&) {
    // Ranks may fail alike, over numbers that are not finite, say: this one then comes to its own end too.
    if (passes_soon(event)) return;
    abort();
    throw;
  } catch (...) {
    abort();
    throw;
  }
}

#else

struct GpuRanks::Joined {};

GpuRanks::GpuRanks(std::shared_ptr<const Context> context, Communicator ranks)
    : context_(std::move(context)), ranks_(std::move(ranks)) {
  reject("device", fmt::format("cuda:{}", context_->ordinal()),
         "training over ranks needs NCCL, whose header (nccl.h) this build did not have");
}
GpuRanks::~GpuRanks() = default;
void GpuRanks::abort() noexcept {}
void GpuRanks::all_gather(unsigned char*, std::size_t, cudaStream_t) {}
void GpuRanks::wait(const Event&) {}

#endif

}  // namespace ebm::cuda
