#include "tools/options.hpp"

#include <charconv>

#include "ebmcuda/error.hpp"
#include "tools/ranks.hpp"

namespace ebm::tools {
namespace {

Precision parse_precision(std::string_view text, std::string_view option) {
  if (text == "fp32") return Precision::fp32;
  if (text == "fp16") return Precision::fp16;
  if (text == "fp16x3") return Precision::fp16x3;
  throw ConfigError(std::string(option), std::string(text), "must be one of fp32 fp16 fp16x3");
}

}  // namespace

void CommonOptions::add(CommandLine& line, bool with_precision) {
  line.group("Common options");
  line.add("--seed", seed_given, "S", "seed of all random numbers (default 0)");
  line.add("--device", device, "DEVICE", "auto, cpu, cuda or cuda:N (default auto: a GPU that works, else cpu)");
  line.add("--threads", threads, Between<int>{0, 1024}, "N", "CPU threads; 0: all (default 0)");
  line.add_flag("--quiet,-q", quiet, "print nothing but results and errors");
  if (with_precision) {
    line.add_choice("--precision", precision, parse_precision,
                    "fp32, fp16 or fp16x3: arithmetic of the energy's gradient on a GPU (default fp32)");
  }
}

Device CommonOptions::open() const { return open_among({}); }

Device CommonOptions::open_over_ranks() const { return open_among(ranks()).over(ranks()); }

Device CommonOptions::open_among(const Communicator& all) const {
  const Precision wanted = precision.value_or(Precision::fp32);
  Device opened = Device::cpu(threads);  // checks --threads whatever the device
  if (device == "auto") {
    opened = Device::local_automatic(all, threads);
  } else if (device == "cuda") {
    opened = Device::local_cuda(all);
  } else if (device.starts_with("cuda:")) {
    int ordinal = 0;
    const auto [end, error] = std::from_chars(device.data() + 5, device.data() + device.size(), ordinal);
    if (error != std::errc() || end != device.data() + device.size()) {
      throw ConfigError("--device", device, "must be auto, cpu, cuda or cuda:N");
    }
    opened = Device::cuda(ordinal);
  } else if (device != "cpu") {
    throw ConfigError("--device", device, "must be auto, cpu, cuda or cuda:N");
  }
  if (opened.kind() == Device::Kind::cuda) return Device::cuda(opened.ordinal(), wanted);
  if (wanted != Precision::fp32) {
    throw ConfigError("--precision", wanted == Precision::fp16 ? "fp16" : "fp16x3",
                      "the CPU engine computes in fp32; this precision needs --device cuda");
  }
  return threads == 0 ? Device::cpu(all.threads()) : opened;
}

}  // namespace ebm::tools
