// What ebm evaluate says about a classifier, and about points of another kind.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>

#include "ebmcuda/device.hpp"
#include "ebmcuda/matrix.hpp"
#include "ebmcuda/mlp.hpp"

namespace ebm::tools {

// Accuracy, cross-entropy, Brier score and calibration error of p(y | x), each with its interval.
nlohmann::ordered_json classification_of(const Mlp& model, MatrixView x, std::span<const int> labels,
                                         std::uint64_t seed, const Device& device);

// The same at the temperature that is best for rows that the model was not trained on, and which that is.
nlohmann::ordered_json scaled_classification_of(const Mlp& model, MatrixView x, std::span<const int> labels,
                                                MatrixView held_out, std::span<const int> held_out_labels,
                                                std::uint64_t seed, const Device& device);

// How well E(x), and max p(y | x) where there are classes, tell `other` from `x`.
nlohmann::ordered_json out_of_distribution_of(const Mlp& model, MatrixView x, MatrixView other, const Device& device);

}  // namespace ebm::tools
