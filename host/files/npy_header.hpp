// The text header of a .npy file: a Python literal such as {'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "host/files/byte_stream.hpp"

namespace ebm {

struct NpyDescription {
  std::string descr;
  bool fortran_order = false;
  std::vector<std::uint64_t> shape;
};

// `text` starts at byte `offset` of the file. The three keys in any order, each once, nothing else.
NpyDescription parse_npy_description(const ByteStream& bytes, std::string_view text, std::uint64_t offset);

// Magic, version 1.0, length and description, padded so that the data starts at a multiple of 64 bytes.
std::string make_npy_header(std::string_view descr, std::span<const std::uint64_t> shape);

}  // namespace ebm
