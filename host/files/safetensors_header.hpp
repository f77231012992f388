// The JSON header of a safetensors file. It is read as a stream, so that its text is never in memory as a whole.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>

#include "host/files/input_file.hpp"
#include "host/files/safetensors.hpp"

namespace ebm {

struct SafetensorsHeader {
  std::map<std::string, std::string> metadata;
  TensorSet tensors;
};

// Bytes [begin, end) of the file. Checks everything that the header says about itself; where tensors lie in the data
// is the caller's to check.
SafetensorsHeader read_safetensors_header(const InputFile& file, std::uint64_t begin, std::uint64_t end);

// The header for tensors in this order, padded with spaces to a multiple of 8. Throws ConfigError for metadata that the
// reader would refuse.
std::string make_safetensors_header(std::span<const TensorData> tensors,
                                    const std::map<std::string, std::string>& metadata);

}  // namespace ebm
