// The log of a run that goes on.
#include <sstream>
#include <string>

#include "ebmcuda/error.hpp"
#include "tests/fuzz/input.hpp"
#include "tools/train_log.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ebm;
  const std::string text(reinterpret_cast<const char*>(data), size);
  for (const std::int64_t iterations : {std::int64_t{0}, std::int64_t{7}, std::int64_t{1} << 62}) {
    std::istringstream in(text);
    try {
      const tools::LogPart part = tools::log_part(in, "fuzz.jsonl", iterations);
      fuzz::check(part.bytes <= size);
      fuzz::check(part.bytes == 0 || text[part.bytes - 1] == '\n');
    } catch (const FormatError&) {
    }
  }
  return 0;
}
