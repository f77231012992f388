// Instances of mma_chains.cuh for up to 16 dimensions and 2 hidden layers of up to 128 units.
#include "kernels/mma_chains.cuh"

namespace ebm {

template MmaKernel mma_kernel<16, 128, 2>(bool split, bool mala);

}  // namespace ebm
