// FNV-1a, 64 bits (Fowler, Noll and Vo): notices that data or a file has changed. Not meant against an adversary.
#pragma once

#include <cstdint>

namespace ebm {

class Fingerprint {
 public:
  // A byte, or a wider word taken as one.
  void add(std::uint64_t word) noexcept { hash_ = (hash_ ^ word) * 0x100000001B3u; }
  std::uint64_t value() const noexcept { return hash_; }

 private:
  std::uint64_t hash_ = 0xCBF29CE484222325u;
};

}  // namespace ebm
