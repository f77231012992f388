// Where a density has its modes, how much mass each holds, and whether chains agree about that. A point belongs to the
// mode that a descent of E from it leads to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "ebmcuda/device.hpp"
#include "ebmcuda/export.hpp"
#include "ebmcuda/matrix.hpp"
#include "ebmcuda/mlp.hpp"

namespace ebm {

struct EBMCUDA_API ModesOptions {
  double tolerance = 1e-3;     // > 0: a descent ends where every element of grad E is within it
  int evaluations = 500;       // >= 1: of E and its gradient a descent takes at most
  double longest_step = 0.25;  // > 0: of a descent, so that it stays in its basin
  // >= 0, nats: two ends with less of a barrier between them, on the straight line, are one mode. It makes one of ends
  // in a flat valley, and of dents in a rough floor.
  double barrier = 0.1;
};

// The lowest end found in it. Energies are those that were descended.
struct EBMCUDA_API Mode {
  std::vector<float> position;  // [D]
  double energy = 0;
  std::size_t points = 0;  // of the trajectory that belong to it
  double mass = 0;         // their share
  // Of `mass`, from the scatter of the chains' own shares: chains are independent, the points of one are not. NaN for
  // one chain.
  double standard_error = 0;
  // Split R-hat of "the chain is in this mode" over the trajectory: near 1 when chains agree, infinite when none moves.
  // NaN for fewer than four positions a chain, or one chain.
  double rhat = 0;
};

struct EBMCUDA_API ModeReport {
  std::vector<Mode> modes;  // by mass, the largest first
  // [kept positions][chains]: which mode each point belongs to.
  std::vector<std::vector<std::size_t>> mode_of;
  // [modes, modes]: how often a chain that was in the row's mode was in the column's at its next kept position.
  std::vector<std::vector<std::uint64_t>> transitions;
  std::size_t unfinished = 0;  // descents that ended by `evaluations`; they belong to the mode they are in
  // Whether the masses can be believed: "" when chains agree, else what says that they do not.
  std::string disagreement;
};

// E [n] and its gradient [n, D] of the points x [n, D].
using EnergyGradient = std::function<void(MatrixView x, std::span<float> energy, std::span<float> gradient)>;

// Modes of any E whose chains' positions, [n, D] at each kept time, are `trajectory`; end points alone are a trajectory
// of one. Descents are by L-BFGS. Throws ConfigError for options out of range, no point, or rows that do not match.
EBMCUDA_API ModeReport find_modes(const EnergyGradient& energy, const std::vector<Matrix>& trajectory,
                                  const ModesOptions& options = {});
// Of a model, descending in model space, where steps and the options' lengths are in standard deviations; positions in
// data units.
EBMCUDA_API ModeReport find_modes(const Mlp& model, const std::vector<Matrix>& trajectory,
                                  const ModesOptions& options = {}, const Device& device = Device::automatic());

}  // namespace ebm
