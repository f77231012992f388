// The baselines that ebm evaluate puts beside a model.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>

#include "ebmcuda/matrix.hpp"
#include "tools/console.hpp"

namespace ebm::tools {

struct BaselineRequest {
  MatrixView rows;   // what they are fitted to, without the noise of `dequantize`
  MatrixView noisy;  // and with it
  MatrixView data;   // what they are judged on
  float dequantize = 0;
  std::uint64_t seed = 0;
};

// Mean log-likelihoods in nats with what was chosen by validation, and the best of them. Null, with the reason under
// `refused`, where there is nothing to fit: a model is judged all the same.
nlohmann::ordered_json baselines_of(const BaselineRequest& request, const Console& console);

}  // namespace ebm::tools
