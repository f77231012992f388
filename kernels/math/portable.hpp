// EBM_HD marks functions that run on the host and on a CUDA device alike; NVRTC has no standard headers, so the
// fixed-width integers come from here too.
#pragma once

#if defined(__CUDACC_RTC__)
namespace std {
using uint8_t = unsigned char;
using uint16_t = unsigned short;
using int32_t = int;
using uint32_t = unsigned int;
using int64_t = long long;
using uint64_t = unsigned long long;
using size_t = decltype(sizeof(0));
}  // namespace std
#else
#include <cstddef>
#include <cstdint>
#endif

#if defined(__CUDACC__)
#define EBM_HD __host__ __device__
#else
#define EBM_HD
#endif
