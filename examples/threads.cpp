// Several host threads, each with chains of its own on one loaded network.
//
// A device with one thread per call leaves the threads to you; with more, calls take turns on the device's pool. Either
// way a chain depends on its id and not on who runs it: four sets of 250 are one set of 1,000.
#include <algorithm>
#include <cstdio>
#include <ebmcuda/ebmcuda.hpp>
#include <thread>

int main() {
  const ebm::Energy energy(ebm::Mlp::random({.dim = 4, .hidden = {32, 32}, .confinement = 1.0f}, /*seed=*/3),
                           ebm::Device::cpu(/*threads=*/1));
  const ebm::Mala sampler{.step_size = 0.1f};
  constexpr std::size_t kThreads = 4, kChains = 250;

  std::vector<ebm::Matrix> parts(kThreads);
  std::vector<ebm::ChainStats> stats(kThreads);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      ebm::Chains chains(energy, sampler, {.n_chains = kChains, .seed = 5, .first_chain = t * kChains});
      chains.run(200);
      parts[t] = chains.positions();
      stats[t] = chains.stats();
    });
  }
  for (std::thread& thread : threads) thread.join();

  ebm::ChainStats together;
  for (const ebm::ChainStats& s : stats) together += s;
  std::printf("%llu chain-steps on %zu threads, acceptance %.2f\n", static_cast<unsigned long long>(together.steps),
              kThreads, together.acceptance());

  ebm::Chains all(energy, sampler, {.n_chains = kThreads * kChains, .seed = 5});
  all.run(200);
  const ebm::Matrix whole = all.positions();
  for (std::size_t t = 0; t < kThreads; ++t) {
    const auto expected = whole.view().slice(t * kChains, (t + 1) * kChains).values();
    if (!std::ranges::equal(parts[t].values(), expected)) {
      std::printf("thread %zu has other chains\n", t);
      return 1;
    }
  }
  return 0;
}
