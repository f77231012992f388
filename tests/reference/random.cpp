#include "reference/random.hpp"

#include <cmath>
#include <numbers>

namespace ref {

Words philox4x32_10(Words counter, std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    if (round > 0) {
      key[0] += 0x9E3779B9;  // golden ratio
      key[1] += 0xBB67AE85;  // sqrt(3) - 1
    }
    const std::uint64_t even = std::uint64_t{0xD2511F53} * counter[0];
    const std::uint64_t odd = std::uint64_t{0xCD9E8D57} * counter[2];
    const auto high = [](std::uint64_t p) { return static_cast<std::uint32_t>(p >> 32); };
    const auto low = [](std::uint64_t p) { return static_cast<std::uint32_t>(p & 0xFFFFFFFF); };
    counter = {high(odd) ^ counter[1] ^ key[0], low(odd), high(even) ^ counter[3] ^ key[1], low(even)};
  }
  return counter;
}

Words words(std::uint64_t seed, Purpose purpose, std::uint64_t chain, std::uint64_t step, std::uint32_t block) {
  constexpr std::uint64_t low = 0xFFFFFFFF;
  const Words counter{
      static_cast<std::uint32_t>(block + ((step >> 32) << 16)), static_cast<std::uint32_t>(step & low),
      static_cast<std::uint32_t>(chain & low),
      static_cast<std::uint32_t>((chain >> 32) + (std::uint64_t{static_cast<std::uint32_t>(purpose)} << 24))};
  return philox4x32_10(counter, {static_cast<std::uint32_t>(seed & low), static_cast<std::uint32_t>(seed >> 32)});
}

double uniform(std::uint32_t word) { return (word + 0.5) / 4294967296.0; }

std::vector<double> uniforms(std::uint64_t seed, Purpose purpose, std::uint64_t chain, std::uint64_t step, int count) {
  std::vector<double> u;
  for (std::uint32_t block = 0; static_cast<int>(u.size()) < count; ++block) {
    for (const std::uint32_t word : words(seed, purpose, chain, step, block)) u.push_back(uniform(word));
  }
  u.resize(static_cast<std::size_t>(count));
  return u;
}

std::vector<double> normals(std::uint64_t seed, std::uint64_t chain, std::uint64_t step, int count, Purpose purpose) {
  std::vector<double> n;
  for (std::uint32_t block = 0; static_cast<int>(n.size()) < count; ++block) {
    const Words r = words(seed, purpose, chain, step, block);
    for (const std::size_t pair : {std::size_t{0}, std::size_t{2}}) {
      const double rho = std::sqrt(-2 * std::log(uniform(r[pair])));
      const double phi = 2 * std::numbers::pi * uniform(r[pair + 1]);
      n.push_back(rho * std::sin(phi));
      n.push_back(rho * std::cos(phi));
    }
  }
  n.resize(static_cast<std::size_t>(count));
  return n;
}

namespace {

std::uint32_t avalanche(std::uint32_t h) {  // murmur3's 32-bit finaliser
  h = (h ^ (h >> 16)) * 0x85EBCA6B;
  h = (h ^ (h >> 13)) * 0xC2B2AE35;
  return h ^ (h >> 16);
}

}  // namespace

std::uint64_t permute(std::uint64_t seed, Purpose purpose, std::uint64_t index, std::uint64_t n, std::uint64_t i) {
  int half = 1;
  while (std::uint64_t{1} << (2 * half) < n) ++half;
  const std::uint64_t base = std::uint64_t{1} << half;
  const Words keys[2] = {words(seed, purpose, 0, index, 0), words(seed, purpose, 0, index, 1)};
  do {
    std::uint64_t left = i / base, right = i % base;
    for (std::size_t round = 0; round < 8; ++round) {
      const std::uint32_t f = avalanche(static_cast<std::uint32_t>(right) ^ keys[round / 4][round % 4]);
      left ^= f % base;
      std::swap(left, right);
    }
    i = left * base + right;
  } while (i >= n);
  return i;
}

}  // namespace ref
