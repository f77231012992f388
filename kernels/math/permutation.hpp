// A keyed bijection of 0 .. n-1: a balanced Feistel network on the next even power of two, walked until it lands inside
// (Black and Rogaway 2002, "Ciphers with arbitrary finite domains"; at most 4 evaluations expected). It draws distinct
// replay slots and visits data in shuffled order without a sort, an atomic or a table.
#pragma once

#include "kernels/math/philox.hpp"

namespace ebm {

struct Permutation {
  static constexpr int kRounds = 8;
  std::uint32_t keys[kRounds];
  std::uint64_t n;
  int half_bits;

  // Of 0 .. n-1, n <= 2^62, keyed by (seed, purpose, index): `index` is the iteration or epoch.
  EBM_HD static Permutation make(std::uint64_t seed, Purpose purpose, std::uint64_t index, std::uint64_t n) {
    Permutation p{};
    for (std::uint32_t block = 0; block < 2; ++block) {
      const PhiloxWords w = philox(seed, purpose, 0, index, block);
      p.keys[4 * block] = w.r0;
      p.keys[4 * block + 1] = w.r1;
      p.keys[4 * block + 2] = w.r2;
      p.keys[4 * block + 3] = w.r3;
    }
    p.n = n;
    p.half_bits = 1;
    while ((std::uint64_t{1} << (2 * p.half_bits)) < n) ++p.half_bits;
    return p;
  }

  EBM_HD std::uint64_t operator()(std::uint64_t i) const {
    do {
      i = encrypt(i);
    } while (i >= n);
    return i;
  }

 private:
  // murmur3's finaliser: every input bit reaches every output bit.
  EBM_HD static std::uint32_t mix(std::uint32_t h) {
    h ^= h >> 16;
    h *= 0x85EBCA6Bu;
    h ^= h >> 13;
    h *= 0xC2B2AE35u;
    return h ^ (h >> 16);
  }

  EBM_HD std::uint64_t encrypt(std::uint64_t i) const {
    const std::uint64_t mask = (std::uint64_t{1} << half_bits) - 1;
    std::uint64_t left = i >> half_bits, right = i & mask;
    for (int round = 0; round < kRounds; ++round) {
      const std::uint64_t next = left ^ (mix(static_cast<std::uint32_t>(right) ^ keys[round]) & mask);
      left = right;
      right = next;
    }
    return left << half_bits | right;
  }
};

}  // namespace ebm
