// SiLU, 64 dimensions and 3 hidden layers of up to 128 units.
#include "kernels/chains/mma_compiled.cuh"

template const void* ebm::compiled_mma_kernel<2>(const ebm::MmaVariant&);
