// Which calls of an operation fail in turn, and what every failure has to look like.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <set>
#include <string>

#include "ebmcuda/error.hpp"
#include "faulty_runtime.hpp"

namespace support {

// Of calls 1 .. n about `few`, spread evenly; with EBMCUDA_TEST_FAULTS=all every one, or `most` of them.
inline std::set<long> struck_calls(long n, long few, long most = 1L << 20) {
  const char* const asked = std::getenv("EBMCUDA_TEST_FAULTS");
  const long wanted = std::min(n, asked != nullptr && std::string(asked) == "all" ? most : few);
  std::set<long> calls;
  for (long i = 0; i < wanted; ++i) calls.insert(1 + (2 * i + 1) * n / (2 * wanted));
  return calls;
}

// What fails where memory is freed is not heard: there the device is asked for, and need not be made current.
inline void expect_harmless(long k) {
  EXPECT_STREQ(faulty::state().failed, "cudaGetDevice") << "call " << k << " failed unnoticed";
}

// Runs call(); true when it went through. A failure has to be of the type of the code that was ordered and say where
// it happened.
template <class Call>
bool goes_through(const Call& call) {
  std::string what;
  try {
    call();
    return true;
  } catch (const ebm::OutOfMemory& error) {
    EXPECT_EQ(faulty::state().code, cudaErrorMemoryAllocation);
    what = error.what();
  } catch (const ebm::DeviceError& error) {
    EXPECT_EQ(error.code(), faulty::state().code) << error.what();
    EXPECT_EQ(error.sticky(), faulty::state().sticky) << error.what();
    what = error.what();
  }
  EXPECT_TRUE(what.starts_with("cuda:0: ")) << what;
  EXPECT_GT(what.size(), std::string("cuda:0: ").size() + 8) << what;
  return false;
}

}  // namespace support
