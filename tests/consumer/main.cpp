// What somebody who links the library writes first; built by both consumer projects, as C++20 with nothing but our
// headers. Beyond calls, what passes between library and program: exceptions by type, in both directions, and callbacks.
#include <cmath>
#include <cstdio>
#include <ebmcuda/ebmcuda.hpp>

namespace {

struct OwnError {};

// Whether `call` throws exactly the library's `Wanted`.
template <class Wanted, class Call>
bool throws(const Call& call) {
  try {
    call();
  } catch (const Wanted& error) {
    return dynamic_cast<const ebm::Error*>(&error) != nullptr;
  } catch (...) {
    return false;
  }
  return false;
}

int failures = 0;

void check(bool good, const char* what) {
  std::printf("%s: %s\n", what, good ? "ok" : "wrong");
  failures += good ? 0 : 1;
}

}  // namespace

int main() {
  const ebm::Mlp model = ebm::Mlp::random({.dim = 2, .hidden = {16, 16}, .confinement = 1.0f}, 7);
  ebm::SampleOptions options;
  options.n_chains = 8;
  options.n_steps = 10;
  const ebm::SampleResult result = ebm::sample(model, ebm::LangevinDynamics{}, options, ebm::Device::cpu());
  check(result.x.rows() == 8 && result.x.cols() == 2 && std::isfinite(result.energy[0]), result.engine.c_str());

  check(throws<ebm::ConfigError>([] { ebm::Device::cpu(-1); }), "ConfigError");
  check(throws<ebm::FormatError>([] { ebm::read_matrix("no such file.npy"); }), "FormatError");
  check(throws<ebm::WriteError>([&] { model.save("no such folder/m.safetensors"); }), "WriteError");

  auto training = ebm::TrainerOptions::defaults(2);
  training.iterations = 4;
  training.batch_size = 8;
  training.log_every = 1;
  const ebm::Matrix data = ebm::draw(ebm::Density2d::two_moons, 64, 0);
  ebm::Trainer trainer(model, data, training, ebm::Device::cpu());
  bool caught = false;
  try {
    trainer.fit([](const ebm::TrainProgress&) -> bool { throw OwnError{}; });
  } catch (const OwnError&) {
    caught = true;
  }
  check(caught, "a callback's own exception");
  trainer.fit();
  check(trainer.iteration() == 4, "training");
  return failures == 0 ? 0 : 1;
}
