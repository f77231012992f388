// Networks and points for tests, and the way from the product's types to the reference's.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ebmcuda/matrix.hpp"
#include "ebmcuda/mlp.hpp"
#include "host/engine/engine.hpp"
#include "reference/chains.hpp"
#include "reference/network.hpp"

namespace support {

inline constexpr ebm::Activation kActivations[] = {ebm::Activation::silu, ebm::Activation::softplus,
                                                   ebm::Activation::tanh, ebm::Activation::gelu,
                                                   ebm::Activation::elu,  ebm::Activation::relu};
inline constexpr ebm::Head kHeads[] = {ebm::Head::scalar, ebm::Head::logits};

ebm::MlpShape shape_of(int dim, std::vector<int> hidden, ebm::Activation activation = ebm::Activation::silu,
                       ebm::Head head = ebm::Head::scalar, float confinement = 0.0f);
// Weights N(0, 2 / fan_in) and biases N(0, 0.3^2) from a standard generator: activations of order one in every layer,
// so that no layer hides an error of another. Draws are the tests' own, not the library's.
ebm::Mlp random_network(const ebm::MlpShape& shape, std::uint64_t seed);
// [rows, cols] of N(0, scale^2).
ebm::Matrix random_points(std::size_t rows, std::size_t cols, std::uint64_t seed, float scale = 1.0f);

ref::Network to_reference(const ebm::Mlp& model);
// The points [n, D], each moved to the nearest point of the sampler's box.
ebm::Matrix inside(const ebm::Sampler& sampler, ebm::Matrix x);

// Every Metropolis-adjusted sampler, short trajectories, at a step that is h in mala's units.
std::vector<ebm::Sampler> exact_samplers(float h, float jump_prob, std::optional<float> grad_clip,
                                         std::optional<ebm::Box> clamp);

ref::Kernel to_reference(const ebm::Transition& transition);
ref::Vector to_reference(std::span<const float> values);
std::vector<ref::Vector> to_reference(ebm::MatrixView x);

// |a - b| / |b| over all elements, Euclidean; NaN and infinity never compare as close.
double relative_error(std::span<const float> a, const ref::Vector& b);
ref::Vector flatten(const std::vector<ref::Vector>& rows);

}  // namespace support
