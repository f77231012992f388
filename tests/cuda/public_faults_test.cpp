// Every CUDA call of every public operation fails once: out of memory, a wrong value, a launch without resources, and
// the two sticky errors. Asserted: an exception of the right type that says where; nothing left allocated; afterwards
// the operation gives what it gives without failures, and a handle (chains, energies, a trainer) goes on from where it
// stood to the same bits; after a sticky error a handle refuses with the first one. tests/cuda/fault_test.cpp has the
// engine's own promises. Quick by default; EBMCUDA_TEST_FAULTS=all strikes every call (scripts/gate.sh faults).
#include <gtest/gtest.h>

#include <functional>

#include "ebmcuda/chains.hpp"
#include "ebmcuda/log_z.hpp"
#include "ebmcuda/replay_buffer.hpp"
#include "ebmcuda/trainer.hpp"
#include "fault_sweep.hpp"
#include "faulty_device_test.hpp"
#include "host/cuda/devices.hpp"
#include "support/networks.hpp"
#include "tests/files/support.hpp"

namespace {

using namespace support;

using Values = std::vector<float>;

constexpr cudaError_t kOrdinary[] = {cudaErrorMemoryAllocation, cudaErrorInvalidValue, cudaErrorLaunchOutOfResources};
constexpr cudaError_t kSticky[] = {cudaErrorLaunchFailure, cudaErrorIllegalAddress};
constexpr long kFew = 6;  // calls of an operation that fail, for each code, unless all do

void add(std::span<const float> values, Values* result) { result->insert(result->end(), values.begin(), values.end()); }
void add(const ebm::Matrix& values, Values* result) { add(values.values(), result); }
void add(const ebm::Mlp& model, Values* result) { add(model.parameters(), result); }
void add(double value, Values* result) { result->push_back(static_cast<float>(value)); }

ebm::Mlp network(int dim, std::vector<int> hidden = {5}) {
  return random_network(shape_of(dim, std::move(hidden), ebm::Activation::silu, ebm::Head::scalar, 0.5f), 1);
}

ebm::Sampler boxed_mala(int dim) {
  const auto d = static_cast<std::size_t>(dim);
  return ebm::Mala{
      .step_size = 0.05f, .jump_prob = 0.2f, .grad_clip = {}, .clamp = ebm::Box{Values(d, -2.0f), Values(d, 2.0f)}};
}

// ------------------------------------------------------------------------------------------ operations in one call

Values sampled(const ebm::Mlp& model, const ebm::Sampler& sampler, const ebm::Device& device,
               std::optional<ebm::Tempering> tempering = {}) {
  ebm::SampleOptions options;
  options.n_chains = 3;
  options.n_steps = 4;
  options.thin = 2;
  options.tempering = std::move(tempering);
  const ebm::SampleResult result = ebm::sample(model, sampler, options, device);
  Values values;
  add(result.x, &values);
  add(result.energy, &values);
  for (const ebm::Matrix& x : result.trajectory) add(x, &values);
  for (const std::uint64_t count : {result.stats.steps, result.stats.restarts, result.replicas.round_trips}) {
    add(static_cast<double>(count), &values);
  }
  return values;
}

Values sample_boxed(const ebm::Device& device) { return sampled(network(2), boxed_mala(2), device); }
Values sample_hmc(const ebm::Device& device) {
  return sampled(network(2), ebm::Hmc{.step_size = 0.2f, .leapfrog_steps = 3, .grad_clip = {}, .clamp = {}}, device);
}
// Too wide for shared memory: weights and activations stay in device memory.
Values sample_wide(const ebm::Device& device) {
  return sampled(network(1, {8192}), ebm::LangevinDynamics{.step_size = 0.01f}, device);
}
// A shape whose tensor-core kernel is compiled ahead.
Values sample_langevin(const ebm::Device& device) {
  return sampled(network(2, {128, 128}), ebm::LangevinDynamics{.step_size = 0.01f}, device);
}
Values sample_tempered(const ebm::Device& device) {
  ebm::Tempering tempering;
  tempering.replicas = 3;
  tempering.inverse_temperatures = Values{1.0f, 0.5f, 0.25f};
  return sampled(network(2), boxed_mala(2), device, tempering);
}

Values annealed(const ebm::Device& device) {
  ebm::AisOptions options;
  options.temperatures = 2;
  options.chains = 2;
  options.burn_in = 2;
  // The shortest of paths: the model is N(0, 1), and data spare the hundreds of chains that look for the base.
  const ebm::Mlp model(shape_of(1, {1}, ebm::Activation::tanh, ebm::Head::scalar, 1.0f));
  const ebm::Matrix data = random_points(4, 1, 5);
  const ebm::AisResult result = ebm::ais_log_z(model, options, data, device);
  Values values;
  for (const double w : result.log_weights) add(w, &values);
  for (const double v : {result.log_z_forward, result.log_z_reverse, result.acceptance}) add(v, &values);
  add(result.samples, &values);
  return values;
}

Values quadrature(const ebm::Device& device) {
  ebm::QuadratureOptions options;
  options.points = 65;
  options.box = ebm::Box{{-12.0f}, {12.0f}};
  options.max_error = 10;
  const ebm::QuadratureResult result = ebm::quadrature_log_z(network(1), options, {}, device);
  return {static_cast<float>(result.log_z), static_cast<float>(result.error)};
}

Values replayed(const ebm::Device& device) {
  const ebm::Mlp model = network(2);
  const ebm::Sampler sampler = boxed_mala(2);
  ebm::ReplayBuffer buffer(model, {.capacity = 5, .reinit_prob = 0.5f}, 3, sampler);
  Values values;
  for (std::int64_t i = 0; i < 2; ++i) {
    const ebm::ReplayBuffer start = buffer;
    try {
      add(buffer.run(model, sampler, i, 3, 2, device), &values);
    } catch (const ebm::Error&) {
      EXPECT_EQ(buffer.positions(), start.positions()) << "a run that failed changed the buffer";
      EXPECT_EQ(buffer.steps(), start.steps());
      throw;
    }
  }
  add(buffer.positions(), &values);
  return values;
}

Values evaluated_once(const ebm::Device& device) {
  const ebm::Mlp model = network(2);
  const ebm::Matrix x = random_points(3, 2, 2);
  Values values, energies;
  add(ebm::energy(model, x, device), &values);
  add(ebm::energy_gradient(model, x, device, &energies), &values);
  add(energies, &values);
  add(ebm::parameter_gradient(model, x, Values{1, 2, 3}, device), &values);
  add(ebm::log_likelihood(model, x, 0.5, device).mean, &values);
  return values;
}

// From the opening of the trainer on, looks at held-out data among it.
Values trained(const ebm::Device& device) {
  ebm::TrainerOptions options;
  options.iterations = 3;
  options.batch_size = 2;
  options.log_every = 2;
  options.objective.n_steps = 2;
  options.objective.buffer.capacity = 3;
  const ebm::Matrix data = random_points(5, 1, 3), held_out = random_points(4, 1, 4);
  ebm::Trainer trainer(network(1), data, options, device, {}, held_out);
  Values values;
  trainer.fit([&](const ebm::TrainProgress& report) {
    add(report.gradient_norm, &values);
    add(report.held_out ? report.held_out->energy_gap : 0, &values);
    return true;
  });
  add(trainer.model(), &values);
  return values;
}

struct Operation {
  const char* name;
  Values (*run)(const ebm::Device&);
  ebm::Precision precision = ebm::Precision::fp32;
  long few = kFew, most = 1L << 20;  // calls that are struck, without EBMCUDA_TEST_FAULTS=all and with it
};
void PrintTo(const Operation& operation, std::ostream* out) { *out << operation.name; }

class PublicFaultTest : public FaultyDeviceTest<Operation> {
 protected:
  static ebm::Device device() { return ebm::Device::cuda(0, GetParam().precision); }
  static std::set<long> struck(long calls) { return struck_calls(calls, GetParam().few, GetParam().most); }
};

TEST_P(PublicFaultTest, FailsAsItShouldAndWorksAfterwards) {
  const auto run = [device = device()] { return GetParam().run(device); };
  const Values expected = run();
  const long live = faulty::state().live;
  faulty::reset();
  EXPECT_EQ(run(), expected);
  ASSERT_EQ(faulty::state().live, live);
  const long calls = faulty::state().calls, releases = faulty::state().releases;
  ASSERT_GT(calls, 10);
  for (const cudaError_t code : kOrdinary) {
    for (const long k : struck(calls)) {
      faulty::reset(k, code);
      Values found;
      const bool unnoticed = goes_through([&] { found = run(); });
      SCOPED_TRACE(testing::Message() << faulty::state().failed << ", call " << k << " of " << calls);
      if (unnoticed) {
        expect_harmless(k);
        EXPECT_EQ(found, expected);
      }
      faulty::reset();
      ASSERT_EQ(faulty::state().live, live);
      EXPECT_EQ(run(), expected);
    }
  }
  // What fails to be freed is lost, alone and without an exception, and the result stands.
  for (const long k : struck(releases)) {
    faulty::reset();
    faulty::state().release_fail_at = k;
    faulty::state().code = cudaErrorInvalidValue;
    const long before = faulty::state().live;
    EXPECT_EQ(run(), expected) << "release " << k;
    EXPECT_LE(faulty::state().live, before + 1) << faulty::state().failed;
  }
}

TEST_P(PublicFaultTest, AStickyErrorIsReportedAsOne) {
  const auto run = [device = device()] { return GetParam().run(device); };
  run();
  faulty::reset();
  run();
  const long calls = faulty::state().calls;
  for (const cudaError_t code : kSticky) {
    for (const long k : struck(calls)) {
      faulty::reset(k, code, true);
      if (goes_through(run)) expect_harmless(k);
      EXPECT_FALSE(goes_through(run)) << "a lost device worked";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Operations, PublicFaultTest,
                         testing::Values(Operation{"sample_boxed", sample_boxed}, Operation{"sample_hmc", sample_hmc},
                                         Operation{"sample_wide", sample_wide},
                                         Operation{"sample_langevin", sample_langevin},
                                         Operation{"sample_fp16", sample_langevin, ebm::Precision::fp16},
                                         Operation{"sample_fp16x3", sample_langevin, ebm::Precision::fp16x3},
                                         Operation{"sample_tempered", sample_tempered},
                                         Operation{"ais", annealed, ebm::Precision::fp32, 1, 24},
                                         Operation{"quadrature", quadrature}, Operation{"replay_buffer", replayed},
                                         Operation{"energy_functions", evaluated_once}, Operation{"training", trained}),
                         [](const auto& operation) { return std::string(operation.param.name); });

// ------------------------------------------------------------------------------------------------------- handles

// A handle with the calls that are made on it, in order, each of which may be made again when it has failed.
struct Story {
  std::vector<std::function<void()>> calls;
  std::function<Values()> outcome;
  std::shared_ptr<void> owner = nullptr;  // of what the calls refer to
};
struct HandleCase {
  const char* name;
  Story (*begin)(const ebm::Device&);
  ebm::Precision precision = ebm::Precision::fp32;
};
void PrintTo(const HandleCase& handle, std::ostream* out) { *out << handle.name; }

Story chains_story(const ebm::Device& device, const ebm::Sampler& sampler, ebm::ChainsOptions options,
                   std::vector<int> hidden) {
  struct Set {
    ebm::Chains chains;
    Values seen;
    cudaStream_t stream = nullptr;
  };
  options.seed = 3;
  const auto set =
      std::make_shared<Set>(Set{ebm::Chains(ebm::Energy(network(2, std::move(hidden)), device), sampler, options), {}});
  // What is left to do when a run has failed.
  const auto run_to = [](Set& s, std::uint64_t transitions, bool queued) {
    const std::uint64_t evaluations =
        std::visit([](const auto& own) { return static_cast<std::uint64_t>(own.evaluations()); }, s.chains.sampler());
    const std::uint64_t left = transitions - s.chains.step() / evaluations;
    if (queued) {
      s.chains.run(static_cast<std::int64_t>(left), nullptr);
    } else {
      s.chains.run(static_cast<std::int64_t>(left));
    }
  };
  Set* const s = set.get();
  Story story;
  story.calls = {[s, run_to] { run_to(*s, 3, false); },   [s, run_to] { run_to(*s, 5, true); },
                 [s] { s->chains.set_step_size(0.02f); }, [s, run_to] { run_to(*s, 7, false); },
                 [s] { s->seen = s->chains.energies(); }, [s] { s->chains.wait(); }};
  if (!options.tempering) {
    story.calls.emplace_back([s] { s->chains.device_positions(nullptr); });
    story.calls.emplace_back([s] { s->chains.write_positions(nullptr); });
  }
  story.calls.emplace_back([s, run_to] { run_to(*s, 9, false); });
  story.outcome = [s] {
    Values values = s->seen;
    add(s->chains.positions(), &values);
    add(s->chains.energies(), &values);
    for (const std::uint8_t flag : s->chains.restarted()) add(flag, &values);
    const ebm::ChainStats stats = s->chains.stats();
    add(static_cast<double>(stats.steps), &values);
    for (const ebm::MoveCount& move : stats.moves) add(static_cast<double>(move.accepted), &values);
    add(static_cast<double>(stats.swaps.accepted), &values);
    add(static_cast<double>(s->chains.step()), &values);
    return values;
  };
  story.owner = set;
  return story;
}

Story boxed_chains(const ebm::Device& device) { return chains_story(device, boxed_mala(2), {.n_chains = 3}, {5}); }
Story langevin_chains(const ebm::Device& device) {
  return chains_story(device, ebm::LangevinDynamics{}, {.n_chains = 3}, {128, 128});
}
Story annealing_chains(const ebm::Device& device) {
  ebm::ChainsOptions options{.n_chains = 3};
  options.base = ebm::GaussianEnergy{{0, 0}, ebm::Matrix(2, 2, {1, 0.5f, 0, 1})};
  options.beta = 0.5f;
  return chains_story(device, ebm::Mala{.step_size = 0.05f}, options, {5});
}
Story tempered_chains(const ebm::Device& device) {
  ebm::ChainsOptions options{.n_chains = 3};
  options.tempering.emplace();
  options.tempering->replicas = 3;
  options.tempering->swap_every = 2;
  options.tempering->inverse_temperatures = Values{1.0f, 0.5f, 0.25f};
  return chains_story(device, ebm::Mala{.step_size = 0.05f}, options, {5});
}

// New parameters are there as a whole or not at all.
Story energy_handle(const ebm::Device& device) {
  struct Handle {
    ebm::Energy energy;
    ebm::Matrix x = random_points(3, 2, 2);
    Values before, after, values = Values(3), gradient = Values(6), outputs = Values(3), slope;
    float* memory = nullptr;
    explicit Handle(ebm::Energy loaded) : energy(std::move(loaded)) {}
    Handle(const Handle&) = delete;
    Handle& operator=(const Handle&) = delete;
    ~Handle() { cudaFree(memory); }
  };
  const ebm::Mlp model = network(2, {128, 128});
  const auto handle = std::make_shared<Handle>(ebm::Energy(model, device));
  Handle* const h = handle.get();
  h->before.assign(model.parameters().begin(), model.parameters().end());
  h->after = h->before;
  for (float& w : h->after) w *= 1.5f;
  EXPECT_EQ(cudaMalloc(reinterpret_cast<void**>(&h->memory), 12 * sizeof(float)), cudaSuccess);
  EXPECT_EQ(cudaMemset(h->memory, 0, 12 * sizeof(float)), cudaSuccess);
  Story story;
  story.calls = {[h] { h->energy.values(h->x, h->values); },
                 [h] { h->energy.gradient(h->x, h->gradient); },
                 [h] {
                   try {
                     h->energy.set_parameters(h->after);
                   } catch (const ebm::DeviceError& error) {
                     if (error.sticky()) throw;
                     EXPECT_EQ(h->energy.values(h->x), h->values) << "a part of the new parameters is there";
                     throw;
                   } catch (const ebm::OutOfMemory&) {
                     EXPECT_EQ(h->energy.values(h->x), h->values) << "a part of the new parameters is there";
                     throw;
                   }
                 },
                 [h] { h->energy.outputs(h->x, h->outputs); },
                 [h] {
                   h->slope = h->energy.parameter_gradient(h->x, Values{1, 2, 3});
                 },
                 [h] {
                   h->energy.values({h->memory, 3, 2}, h->memory + 6, nullptr);
                 },
                 [h] {
                   h->energy.gradient({h->memory, 3, 2}, h->memory + 6, nullptr, nullptr);
                 },
                 [h] {
                   h->energy.outputs({h->memory, 3, 2}, h->memory + 6, nullptr);
                 }};
  story.outcome = [h] {
    Values values = h->values;
    for (const Values* part : {&h->gradient, &h->outputs, &h->slope}) add(*part, &values);
    add(h->energy.values(h->x), &values);
    return values;
  };
  story.owner = handle;
  return story;
}

Story trainer_story(const ebm::Device& device, const ebm::Mlp& model, ebm::TrainerOptions options) {
  struct Run {
    ebm::Trainer trainer;
    ebm::test::TemporaryDirectory directory;
  };
  options.iterations = 7;
  options.batch_size = 2;
  options.log_every = 2;
  options.objective.n_steps = 2;
  options.objective.buffer.capacity = 3;
  const ebm::Matrix data = random_points(5, 2, 3);
  ebm::Trainer trainer(model, data, options, device);
  const std::shared_ptr<Run> run(new Run{std::move(trainer), {}});
  Run* const r = run.get();
  Story story;
  story.calls = {[r] { r->trainer.fit({}, 3 - r->trainer.iteration()); },
                 [r] { r->trainer.save_checkpoint(r->directory.path() / "c"); },
                 [r] { static_cast<void>(r->trainer.model()); },
                 [r] { static_cast<void>(r->trainer.buffer()); },
                 [r] { static_cast<void>(r->trainer.step_size()); },
                 [r] { r->trainer.fit(); }};
  story.outcome = [r] {
    Values values;
    add(static_cast<double>(r->trainer.iteration()), &values);
    add(r->trainer.raw_model(), &values);
    add(r->trainer.model(), &values);
    add(r->trainer.buffer().positions(), &values);
    add(r->trainer.step_size(), &values);
    return values;
  };
  story.owner = run;
  return story;
}

Story mala_trainer(const ebm::Device& device) {
  ebm::TrainerOptions options;
  options.objective.sampler = boxed_mala(2);
  return trainer_story(device, network(2), options);
}
Story langevin_trainer(const ebm::Device& device) {
  ebm::TrainerOptions options;
  options.objective.sampler = ebm::LangevinDynamics{.step_size = 0.01f};
  return trainer_story(device, network(2, {128, 128}), options);
}
Story tempered_trainer(const ebm::Device& device) {
  ebm::TrainerOptions options;
  options.objective.tempering.emplace();
  options.objective.tempering->replicas = 3;
  return trainer_story(device, network(2), options);
}
// Every report is a divergence: each goes back to the start and opens the session again.
Story rolled_back_trainer(const ebm::Device& device) {
  ebm::TrainerOptions options;
  options.on_divergence = ebm::OnDivergence::rollback;
  options.optimizer.learning_rate = 1e4f;
  options.optimizer.decay = ebm::LearningRateDecay::constant;
  Story story = trainer_story(device, network(2), options);
  for (auto& call : story.calls) {
    call = [inner = call] {
      try {
        inner();
      } catch (const ebm::DivergenceError&) {
      }
    };
  }
  return story;
}

class HandleFaultTest : public FaultyDeviceTest<HandleCase> {
 protected:
  static Story begin() { return GetParam().begin(ebm::Device::cuda(0, GetParam().precision)); }
};

TEST_P(HandleFaultTest, GoesOnAfterAnOrdinaryFailure) {
  Values expected;
  long calls = 0;
  for (int i = 0; i < 2; ++i) {  // the second one counts: it finds all kernels opened
    const Story story = begin();
    faulty::reset();
    for (const auto& call : story.calls) call();
    calls = faulty::state().calls;
    expected = story.outcome();
  }
  ASSERT_GT(calls, 10);
  const long live = faulty::state().live;
  for (const cudaError_t code : kOrdinary) {
    for (const long k : struck_calls(calls, kFew)) {
      {
        const Story story = begin();
        faulty::reset(k, code);
        int failures = 0;
        for (const auto& call : story.calls) {
          while (!goes_through(call)) ++failures;
          ASSERT_LE(failures, 1);
        }
        ASSERT_NE(faulty::state().failed, nullptr);
        SCOPED_TRACE(testing::Message() << faulty::state().failed << ", call " << k << " of " << calls);
        if (failures == 0) expect_harmless(k);
        faulty::reset();
        EXPECT_EQ(story.outcome(), expected);
      }
      ASSERT_EQ(faulty::state().live, live) << "call " << k;
    }
  }
}

TEST_P(HandleFaultTest, RefusesAfterAStickyError) {
  long calls = 0;
  {
    const Story story = begin();
    faulty::reset();
    for (const auto& call : story.calls) call();
    calls = faulty::state().calls;
  }
  for (const cudaError_t code : kSticky) {
    for (const long k : struck_calls(calls, kFew)) {
      const Story story = begin();
      faulty::reset(k, code, true);
      std::size_t i = 0;
      while (i < story.calls.size() && goes_through(story.calls[i])) ++i;
      if (i == story.calls.size()) {
        expect_harmless(k);
      } else {
        const auto again = [&] {  // what is left of the call may need no device
          story.calls[i]();
          story.outcome();
        };
        EXPECT_FALSE(goes_through(again)) << "a lost device was used, call " << k;
      }
      faulty::reset();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Handles, HandleFaultTest,
    testing::Values(HandleCase{"chains", boxed_chains}, HandleCase{"chains_langevin", langevin_chains},
                    HandleCase{"chains_fp16", langevin_chains, ebm::Precision::fp16},
                    HandleCase{"chains_annealing", annealing_chains}, HandleCase{"chains_tempered", tempered_chains},
                    HandleCase{"energy", energy_handle}, HandleCase{"energy_fp16", energy_handle, ebm::Precision::fp16},
                    HandleCase{"trainer", mala_trainer},
                    HandleCase{"trainer_fp16", langevin_trainer, ebm::Precision::fp16},
                    HandleCase{"trainer_tempered", tempered_trainer},
                    HandleCase{"trainer_rolled_back", rolled_back_trainer}),
    [](const auto& handle) { return std::string(handle.param.name); });

// ---------------------------------------------------------------------------------------------------------- info

// What is asked about the machine never throws: a device that can't be asked is named with the reason.
TEST(InfoFaultTest, DevicesThatFailAreNamed) {
  if (ebm::cuda::device_count() == 0) GTEST_SKIP() << "no CUDA device";
  const std::size_t devices = ebm::available_devices().size();
  faulty::reset();
  static_cast<void>(ebm::available_devices());
  const long calls = faulty::state().calls;
  ASSERT_GE(calls, 2);
  for (const cudaError_t code : {cudaErrorMemoryAllocation, cudaErrorInvalidValue, cudaErrorLaunchFailure}) {
    for (long k = 1; k <= calls; ++k) {
      faulty::reset(k, code);
      const auto found = ebm::available_devices();
      const bool counting = std::string(faulty::state().failed) == "cudaGetDeviceCount";
      faulty::reset();
      if (counting) continue;  // no device is one answer, and the next test has the other
      ASSERT_EQ(found.size(), devices);
      EXPECT_EQ(found[1].detail, std::string("unusable: ") + cudaGetErrorString(code));
    }
  }
}

TEST(InfoFaultTest, AMissingDeviceHasAReason) {
  if (ebm::cuda::device_count() == 0) GTEST_SKIP() << "no CUDA device";
  faulty::reset(1, cudaErrorMemoryAllocation);
  try {
    ebm::Device::cuda(0);
    ADD_FAILURE() << "no exception";
  } catch (const ebm::ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find(cudaGetErrorString(cudaErrorMemoryAllocation)), std::string::npos)
        << error.what();
  }
  faulty::reset();
}

}  // namespace
