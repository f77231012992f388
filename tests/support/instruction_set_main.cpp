// As GoogleTest's own main, but EBMCUDA_TEST_INSTRUCTION_SET hides every better instruction set from the CPU engine, so
// that one machine can test the code for others (other vector widths, other tiles) too: a name that `ebm info` would
// show, or `oldest`.
#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace {

constexpr int kSkipped = 77;  // CTest's SKIP_RETURN_CODE

// Whether it names any instruction set at all: a slip of the pen must not pass for a machine that lacks one.
bool is_instruction_set(std::string_view name) {
  for (int bit = 0; bit < 63; ++bit) {
    if (name == hwy::TargetName(std::int64_t{1} << bit)) return name != "Unknown";
  }
  return name == "oldest";
}

// False: this machine does not have it.
bool use_instruction_set(std::string_view name) {
  if (name == "oldest") {
    hwy::DisableTargets(~std::int64_t{HWY_STATIC_TARGET});
    return true;
  }
  for (const std::int64_t set : hwy::SupportedAndGeneratedTargets()) {
    if (name != hwy::TargetName(set)) continue;
    hwy::DisableTargets(set - 1);  // better sets have lower bits
    return true;
  }
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  if (const char* const name = std::getenv("EBMCUDA_TEST_INSTRUCTION_SET"); name != nullptr) {
    if (!is_instruction_set(name)) {
      std::fprintf(stderr, "EBMCUDA_TEST_INSTRUCTION_SET = %s: must be oldest, or a name such as AVX2\n", name);
      return 2;
    }
    if (!use_instruction_set(name)) {
      std::printf("[  SKIPPED ] this machine does not have %s\n", name);
      return kSkipped;
    }
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
