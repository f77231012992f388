// Every sampler. To add one, write its file and name it twice here: its include, and its line of EBM_SAMPLERS. This
// file has no guard: engines include it a second time for the bodies (body.hpp).
#include "ebmcuda/samplers/hmc.hpp"
#include "ebmcuda/samplers/langevin.hpp"
#include "ebmcuda/samplers/mala.hpp"
#include "ebmcuda/samplers/malt.hpp"
#include "ebmcuda/samplers/metropolis.hpp"

#if !defined(EBM_SAMPLERS)
// X(name, type): the function run_<name> of the body, and the struct of options.
#define EBM_SAMPLERS(X)         \
  X(langevin, LangevinDynamics) \
  X(mala, Mala)                 \
  X(hmc, Hmc)                   \
  X(malt, Malt)

namespace ebm {
enum class SamplerKind : int {
#define EBM_SAMPLER_KIND(name, type) name,
  EBM_SAMPLERS(EBM_SAMPLER_KIND)
#undef EBM_SAMPLER_KIND
};
inline constexpr SamplerKind kSamplerKinds[] = {
#define EBM_SAMPLER_KIND(name, type) SamplerKind::name,
    EBM_SAMPLERS(EBM_SAMPLER_KIND)
#undef EBM_SAMPLER_KIND
};
// What a Metropolis-adjusted chain proposes; acceptance is counted by move. Append only.
enum class Move : int { local, jump, difference };
inline constexpr int kMoves = 3;
}  // namespace ebm
#endif
