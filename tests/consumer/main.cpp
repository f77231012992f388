// What somebody who links the library writes first; built by both consumer projects, as C++20 with nothing but our
// headers.
#include <cmath>
#include <cstdio>
#include <ebmcuda/ebmcuda.hpp>

int main() {
  const ebm::Mlp model = ebm::Mlp::random({.dim = 2, .hidden = {16, 16}, .confinement = 1.0f}, 7);
  ebm::SampleOptions options;
  options.n_chains = 8;
  options.n_steps = 10;
  const ebm::SampleResult result = ebm::sample(model, ebm::LangevinDynamics{}, options, ebm::Device::cpu());
  const bool good = result.x.rows() == 8 && result.x.cols() == 2 && std::isfinite(result.energy[0]);
  std::printf("%s: %s\n", result.engine.c_str(), good ? "ok" : "wrong");
  return good ? 0 : 1;
}
