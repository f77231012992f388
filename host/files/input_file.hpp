// What the format readers read from: a regular file, or bytes in memory (tests and fuzzers).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "host/files/descriptor.hpp"

namespace ebm {

class InputFile {
 public:
  // Throws FormatError when the file is missing, unreadable or not a regular file.
  explicit InputFile(const std::filesystem::path& path);
  // The bytes are the caller's and must outlive the reader; `name` stands for the path in messages.
  InputFile(std::string name, std::span<const std::byte> bytes);

  // Standard input from where it stands to its end. A pipe is drained into memory first, which takes its length and no
  // more. Throws FormatError.
  static InputFile standard_input();

  const std::string& name() const noexcept { return name_; }
  std::uint64_t size() const noexcept { return size_; }
  // Fills `out` with the bytes from `offset` on. Throws FormatError when the file has not got them or can't be read.
  void read(std::uint64_t offset, std::span<std::byte> out) const;
  // Throws FormatError with this file's name.
  [[noreturn]] void fail(const std::string& what) const;

 private:
  InputFile() = default;
  std::string name_;
  Descriptor descriptor_;
  std::span<const std::byte> bytes_;
  std::uint64_t begin_ = 0, size_ = 0;  // of a descriptor: the file's first byte, and how many there are
};

}  // namespace ebm
