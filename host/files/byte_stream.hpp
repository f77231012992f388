// Bytes that are read once, front to back: a file, or a compressed member of an archive.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "host/files/input_file.hpp"

namespace ebm {

class ByteStream {
 public:
  virtual ~ByteStream() = default;
  ByteStream(const ByteStream&) = delete;
  ByteStream& operator=(const ByteStream&) = delete;
  virtual std::uint64_t size() const = 0;
  // The next out.size() bytes. Throws FormatError when there are fewer.
  virtual void read(std::span<std::byte> out) = 0;
  // Throws FormatError with the file's name, and the member's.
  [[noreturn]] void fail(const std::string& what) const { file_.fail(what_it_is_ + what); }

 protected:
  // `what_it_is` leads every message: "array 'x': ".
  explicit ByteStream(const InputFile& file, std::string what_it_is = {})
      : file_(file), what_it_is_(std::move(what_it_is)) {}
  const InputFile& file_;

 private:
  std::string what_it_is_;
};

class FileStream : public ByteStream {
 public:
  explicit FileStream(const InputFile& file) : ByteStream(file) {}
  std::uint64_t size() const override { return file_.size(); }
  void read(std::span<std::byte> out) override {
    file_.read(at_, out);
    at_ += out.size();
  }

 private:
  std::uint64_t at_ = 0;
};

}  // namespace ebm
