// The samplers' bodies for a Tile of the device, which has been defined: to be included inside its namespace, so not
// guarded. EBM_UNROLL stands before loops over a chain's blocks; whoever does not define it leaves them to the
// compiler.
#if !defined(EBM_UNROLL)
#define EBM_UNROLL
#endif
#define EBM_SAMPLER_BODY
#define EBM_BODY __device__ __forceinline__
#define EBM_LAMBDA
#define EBM_NO_UNROLL _Pragma("unroll 1")
#include "ebmcuda/samplers/all.hpp"
#undef EBM_SAMPLER_BODY
#undef EBM_BODY
#undef EBM_LAMBDA
#undef EBM_UNROLL
#undef EBM_NO_UNROLL
