// Instances of mma_chains.cuh for up to 64 dimensions and 3 hidden layers of up to 128 units.
#include "kernels/mma_chains.cuh"

namespace ebm {

template MmaKernel mma_kernel<64, 128, 3>(bool split, bool mala);

}  // namespace ebm
