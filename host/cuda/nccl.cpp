#include "host/cuda/nccl.hpp"

#include <fmt/format.h>

#include "host/cuda/library_places.hpp"
#include "host/cuda/load_library.hpp"

namespace ebm::cuda {
namespace {

std::optional<Nccl> look() {
  return open_first<Nccl>(nccl_places(), [](void* library, Nccl& n) {
    return take(library, "ncclGetVersion", n.get_version) && take(library, "ncclGetUniqueId", n.get_unique_id) &&
           take(library, "ncclCommInitRank", n.comm_init_rank) && take(library, "ncclCommDestroy", n.comm_destroy) &&
           take(library, "ncclCommAbort", n.comm_abort) &&
           take(library, "ncclCommGetAsyncError", n.comm_get_async_error) &&
           take(library, "ncclAllGather", n.all_gather) && take(library, "ncclGetErrorString", n.get_error_string) &&
           take(library, "ncclGetLastError", n.get_last_error) && n.get_version(&n.version) == ncclSuccess;
  });
}

}  // namespace

const Nccl* Nccl::find() {
  static const std::optional<Nccl> found = look();
  return found ? &*found : nullptr;
}

std::string Nccl::explain(ncclResult_t code) const {
  const char* const last = get_last_error(nullptr);
  const std::string more = last == nullptr || *last == '\0' ? "" : fmt::format(" ({})", last);
  return get_error_string(code) + more;
}

}  // namespace ebm::cuda
