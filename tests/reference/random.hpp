// The random numbers of the Contract, written from the published Philox4x32-10 (Salmon, Moraes, Dror and Shaw, SC11).
// Double precision, no code of the product.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace ref {

using Words = std::array<std::uint32_t, 4>;

// Ten rounds of the bijection; the key is raised by the Weyl constants between rounds.
Words philox4x32_10(Words counter, std::array<std::uint32_t, 2> key);

enum class Purpose : std::uint32_t {
  langevin_noise = 0,
  initial_position = 1,
  reinitialization = 2,
  replay_slot = 3,
  accept = 4,
  momentum = 5,
  data_order = 7,
  data_noise = 8,
  move = 9,
  difference = 10,
  second_half_noise = 15,
  replica_swap = 16,
  data_smoothing = 17,
};

// The four words of one block: the Contract's counter layout.
Words words(std::uint64_t seed, Purpose purpose, std::uint64_t chain, std::uint64_t step, std::uint32_t block);

// (r + 0.5) 2^-32.
double uniform(std::uint32_t word);
// `count` uniforms: number i is word i % 4 of block i / 4.
std::vector<double> uniforms(std::uint64_t seed, Purpose purpose, std::uint64_t chain, std::uint64_t step, int count);
// `count` Box-Muller normals, in the order of curand_normal4.
std::vector<double> normals(std::uint64_t seed, std::uint64_t chain, std::uint64_t step, int count,
                            Purpose purpose = Purpose::langevin_noise);

// The keyed bijection of 0 .. n-1 that draws replay slots and orders data: a Feistel network of 8 rounds on the
// smallest even power of two >= n, walked until the result is below n.
std::uint64_t permute(std::uint64_t seed, Purpose purpose, std::uint64_t index, std::uint64_t n, std::uint64_t i);

}  // namespace ref
