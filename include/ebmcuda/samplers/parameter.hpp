// How a sampler lists its parameters: once, in its own file. Validation, the command line, TOML, checkpoints, the notes
// in a model file, describe() and the table of docs/sampling.md walk these lists; none of them names a parameter again.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "ebmcuda/export.hpp"

namespace ebm {

// Limits of the positions in data units: D values each, or one value that holds for every dimension.
struct EBMCUDA_API Box {
  std::vector<float> lo;
  std::vector<float> hi;
};

struct EBMCUDA_API MoveCount {
  std::uint64_t proposed = 0, accepted = 0;
  MoveCount& operator+=(const MoveCount& other) {
    proposed += other.proposed;
    accepted += other.accepted;
    return *this;
  }
  bool operator==(const MoveCount&) const = default;
};

// The finite numbers that a parameter takes.
struct EBMCUDA_API Range {
  double lowest = -std::numeric_limits<double>::infinity();
  double highest = std::numeric_limits<double>::infinity();
  bool lowest_allowed = true;

  bool contains(double value) const;
  std::string text() const;  // "must be > 0", "must be in [0, 1]", ...
};
inline constexpr Range kPositive{0, std::numeric_limits<double>::infinity(), false};
inline constexpr Range kNonNegative{0};
inline constexpr Range kProbability{0, 1};

struct EBMCUDA_API Parameter {
  std::string_view name;  // of the struct's field; the option is --name with hyphens
  Range range;            // of numbers; a Box is checked against the model
  std::string_view help;  // one line
};

// What a struct of options offers:
//
//   static constexpr std::string_view kName
//   template <class Self, class Visit> static void parameters(Self& self, Visit&& visit);
//
// which calls visit(const Parameter&, field) for every field in order, `self` const or not. Fields are float,
// std::int64_t, std::optional<float>, std::optional<std::vector<float>> or std::optional<Box>.

inline constexpr Parameter kStepSize{"step_size", kPositive, "step h, in model space"};
inline constexpr Parameter kLeapfrog{"leapfrog_steps", {1, 1024}, "gradient evaluations of a transition"};
inline constexpr Parameter kGradClip{"grad_clip", kPositive, "limit every element of grad E to [-C, C]"};
inline constexpr Parameter kClamp{"clamp", {}, "keep positions in this box, data units"};
inline constexpr Parameter kJumpProb{"jump_prob", kProbability, "share of steps that propose the uniform start"};

}  // namespace ebm
