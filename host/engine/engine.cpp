#include "host/engine/engine.hpp"

#include "host/ranks/shared_engine.hpp"

namespace ebm {

std::unique_ptr<Engine> make_engine(const Device& device) {
  const auto open = [&]() -> std::unique_ptr<Engine> {
#if EBMCUDA_WITH_CUDA
    if (device.kind() == Device::Kind::cuda) {
      return cuda::make_engine(device.ordinal(), device.precision(), device.stream(), device.ranks());
    }
#endif
    return cpu::make_engine(device.threads(), device.ranks());
  };
  auto engine = open();
  return device.ranks().size() == 1 ? std::move(engine) : shared_engine(std::move(engine), device.ranks());
}

}  // namespace ebm
