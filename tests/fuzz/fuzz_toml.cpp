// --config FILE.toml over options of every kind.
#include <CLI/CLI.hpp>
#include <string_view>

#include "ebmcuda/error.hpp"
#include "tests/fuzz/input.hpp"
#include "tools/command_line.hpp"
#include "tools/config.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ebm;
  CLI::App ebm;
  tools::CommandLine line(ebm, "train", "", "");
  std::optional<std::int64_t> steps;
  std::optional<float> step_size;
  std::optional<Box> clamp;
  std::optional<std::vector<int>> hidden;
  std::optional<std::string> sampler;
  float share = 0.5f;
  bool overwrite = false;
  std::optional<bool> progress;
  line.add("--steps", steps, "N", "");
  line.add("--step-size", step_size, "X", "");
  line.add("--clamp", clamp, "LO,HI", "");
  line.add("--hidden", hidden, "W,...", "");
  line.add("--sampler", sampler, "NAME", "");
  line.add("--share", share, tools::Between<float>{0.0f, 1.0f}, "S", "");
  line.add_flag("--overwrite", overwrite, "");
  line.add_switch("--progress,!--no-progress", progress, "");
  try {
    tools::apply_config(line.app(), std::string_view(reinterpret_cast<const char*>(data), size), "fuzz.toml");
    fuzz::check(share >= 0 && share <= 1);
    fuzz::check(!sampler || !sampler->empty());
  } catch (const FormatError&) {
  } catch (const ConfigError&) {
  }
  return 0;
}
