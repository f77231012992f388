// From a sampler's kind at run time to one at compile time.
#pragma once

#include <type_traits>

#include "ebmcuda/samplers/all.hpp"

namespace ebm {

// task(std::integral_constant<SamplerKind, kind>{}); `otherwise` for what is no kind.
template <class Result, class Task>
Result with_sampler(SamplerKind kind, Result otherwise, const Task& task) {
  switch (kind) {
#define EBM_WITH(name, type) \
  case SamplerKind::name:    \
    return task(std::integral_constant<SamplerKind, SamplerKind::name>{});
    EBM_SAMPLERS(EBM_WITH)
#undef EBM_WITH
  }
  return otherwise;
}

}  // namespace ebm
