#include "host/engine/engine.hpp"

#include "host/ranks/shared_engine.hpp"

namespace ebm {

std::unique_ptr<Engine> make_engine(const Device& device) {
#if EBMCUDA_WITH_CUDA
  if (device.kind() == Device::Kind::cuda)
    return cuda::make_engine(device.ordinal(), device.precision(), device.stream());
#endif
  auto engine = cpu::make_engine(device.threads(), device.ranks());
  return device.ranks().size() == 1 ? std::move(engine) : shared_engine(std::move(engine), device.ranks());
}

}  // namespace ebm
