// NCCL behind dlopen: the functions that are used, found once. Only in builds that had its header
// (EBMCUDA_WITH_NCCL).
#pragma once

#include <nccl.h>

#include <optional>
#include <string>

namespace ebm::cuda {

struct Nccl {
  decltype(&ncclGetVersion) get_version;
  decltype(&ncclGetUniqueId) get_unique_id;
  decltype(&ncclCommInitRank) comm_init_rank;
  decltype(&ncclCommDestroy) comm_destroy;
  decltype(&ncclCommAbort) comm_abort;
  decltype(&ncclCommGetAsyncError) comm_get_async_error;
  decltype(&ncclAllGather) all_gather;
  decltype(&ncclGetErrorString) get_error_string;
  decltype(&ncclGetLastError) get_last_error;

  int version;  // 22809: 2.28.9

  // Null where none of nccl_places() (library_places.hpp) has a libnccl. Looks once in the life of the process.
  static const Nccl* find();
  std::string explain(ncclResult_t code) const;
};

}  // namespace ebm::cuda
