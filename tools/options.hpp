// --seed, --device, --threads, --quiet: every command. --precision where chains run.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "ebmcuda/device.hpp"
#include "tools/command_line.hpp"

namespace ebm::tools {

struct CommonOptions {
  std::optional<std::uint64_t> seed_given;
  std::string device = "auto";
  int threads = 0;
  std::optional<Precision> precision;
  bool quiet = false;

  void add(CommandLine& line, bool with_precision = false);
  std::uint64_t seed() const { return seed_given.value_or(0); }
  // The device asked for. Throws ConfigError that names --device, --threads or --precision.
  Device open() const;
  // The same over the ranks that the program was started among: by default a GPU each, else a CPU that they share.
  Device open_over_ranks() const;

 private:
  Device open_among(const Communicator& all) const;
};

}  // namespace ebm::tools
