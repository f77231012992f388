// log Z as a model's notes keep it, so that it is computed once: what turns energies into log densities.
#pragma once

#include <optional>
#include <string>

#include "ebmcuda/export.hpp"
#include "ebmcuda/mlp.hpp"

namespace ebm {

struct EBMCUDA_API KnownLogZ {
  double value = 0;    // log of the integral of exp(-E) over data space, nats; over the model's box where it notes one
  double error = 0;    // nats, >= 0: standard error, or the discretisation error of a quadrature
  std::string method;  // how it was found: "quadrature", "ais", or a word of yours
};

// Puts it into the model's notes (docs/files.md), with a fingerprint of everything that E is made of; Mlp::save keeps
// them. Throws ConfigError unless value and error are finite, error >= 0 and method is not empty.
EBMCUDA_API void note_log_z(Mlp& model, const KnownLogZ& log_z);

// What the notes hold; nothing where they hold none, or where parameters, transform, confinement or box have changed
// since.
EBMCUDA_API std::optional<KnownLogZ> noted_log_z(const Mlp& model);

// Whether there is a note about log Z at all, valid or not.
EBMCUDA_API bool has_log_z_note(const Mlp& model);

}  // namespace ebm
