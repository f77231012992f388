#include "host/engine/engine.hpp"

namespace ebm {

std::unique_ptr<Engine> make_engine(const Device& device) {
#if EBMCUDA_WITH_CUDA
  if (device.kind() == Device::Kind::cuda)
    return cuda::make_engine(device.ordinal(), device.precision(), device.stream());
#endif
  return cpu::make_engine(device.threads());
}

}  // namespace ebm
