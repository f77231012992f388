// ebm train DATA: maximum likelihood by contrastive divergence.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <memory>
#include <optional>
#include <set>

#include "ebmcuda/checkpoint.hpp"
#include "ebmcuda/ensemble.hpp"
#include "ebmcuda/error.hpp"
#include "tools/command.hpp"
#include "tools/console.hpp"
#include "tools/errors.hpp"
#include "tools/inputs.hpp"
#include "tools/model_box.hpp"
#include "tools/options.hpp"
#include "tools/outputs.hpp"
#include "tools/ranks.hpp"
#include "tools/train_log.hpp"
#include "tools/train_options.hpp"

namespace ebm::tools {
namespace {

namespace fs = std::filesystem;

struct TrainCommandOptions {
  CommonOptions common;
  DataOptions data;
  TrainSettings settings;
  fs::path out;
  std::optional<fs::path> log, checkpoint, config;
  std::optional<std::int64_t> checkpoint_every, stop_at;
  int members = 1;
  bool resume = false, overwrite = false;
};

// SIGINT, SIGTERM or SIGHUP (the terminal is gone): training stops between two iterations and is saved. The handler is
// for one signal only, so a second Ctrl-C ends the program at once; not so SIGHUP, which shell and kernel both send.
volatile std::sig_atomic_t stop_signal = 0;

class CatchSignals {
 public:
  CatchSignals() {
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
      struct sigaction before {};
      sigaction(signal, nullptr, &before);
      if (before.sa_handler == SIG_IGN) continue;  // nohup, a shell's background: whoever started us wants that
      struct sigaction action {};
      action.sa_handler = [](int caught) { stop_signal = caught; };
      action.sa_flags = SA_RESTART | (signal == SIGHUP ? 0 : SA_RESETHAND);
      sigaction(signal, &action, nullptr);
    }
  }
};

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

void check(const CommandLine& line, const TrainCommandOptions& options) {
  line.require_given("--out", "where the model goes (.safetensors)");
  if (options.resume && !options.checkpoint) throw ConfigError("--resume", "given", "needs --checkpoint FILE");
  if (options.checkpoint_every) {
    if (!options.checkpoint) {
      throw ConfigError("--checkpoint-every", fmt::format("{}", *options.checkpoint_every), "needs --checkpoint FILE");
    }
    if (*options.checkpoint_every < 1) {
      throw ConfigError("--checkpoint-every", fmt::format("{}", *options.checkpoint_every), "must be >= 1");
    }
  }
  if (options.stop_at) {
    if (!options.checkpoint) {
      throw ConfigError("--stop-at", fmt::format("{}", *options.stop_at), "needs --checkpoint FILE");
    }
    if (*options.stop_at < 1) throw ConfigError("--stop-at", fmt::format("{}", *options.stop_at), "must be >= 1");
  }
}

// "m.2.safetensors" of "m.safetensors".
fs::path numbered(const fs::path& path, std::size_t member) {
  return path.parent_path() / fmt::format("{}.{}{}", path.stem().string(), member, path.extension().string());
}

// The runs of an ensemble: seeds and files of their own.
std::vector<TrainCommandOptions> members_of(const TrainCommandOptions& options) {
  if (options.members == 1) return {options};
  std::vector<TrainCommandOptions> members(static_cast<std::size_t>(options.members), options);
  for (std::size_t m = 0; m < members.size(); ++m) {
    TrainCommandOptions& member = members[m];
    // A checkpoint has its seed.
    if (!options.resume || options.common.seed_given) member.common.seed_given = member_seed(options.common.seed(), m);
    member.out = numbered(options.out, m);
    if (options.log) member.log = numbered(*options.log, m);
    if (options.checkpoint) member.checkpoint = numbered(*options.checkpoint, m);
  }
  return members;
}

void claim_outputs(const TrainCommandOptions& options, Outputs* outputs) {
  outputs->claim("--out", options.out);
  if (options.log) outputs->claim("--log", *options.log);
  if (options.checkpoint) outputs->claim("--checkpoint", *options.checkpoint);
  if (options.overwrite) return;
  require_replaceable_model("--out", options.out);
  if (options.log && !options.resume)
    require_replaceable_log("--log", *options.log);  // TrainLog reads one to go on with
  if (options.checkpoint && !options.resume) require_replaceable_checkpoint("--checkpoint", *options.checkpoint);
}

Outputs claim_all(const std::vector<TrainCommandOptions>& members) {
  const TrainCommandOptions& options = members.front();
  Outputs outputs;
  outputs.protect(options.data.path);
  if (options.data.labels) outputs.protect(*options.data.labels);
  if (options.config) outputs.protect(*options.config);
  if (options.settings.init_model) outputs.protect(*options.settings.init_model);
  if (const auto& file = options.settings.held_out.file) outputs.protect(*file);
  for (const TrainCommandOptions& member : members) claim_outputs(member, &outputs);
  return outputs;
}

// What model and checkpoint take at least, before an hour goes into them.
void reserve(const TrainCommandOptions& options, const Trainer& trainer, std::uint64_t dim, std::uint64_t parameters,
             Outputs* outputs) {
  outputs->reserve("--out", options.out, parameters * sizeof(float));
  if (!options.checkpoint) return;
  const auto& objective = trainer.options().objective;
  std::uint64_t bytes = (trainer.options().ema > 0 ? 4 : 3) * parameters * sizeof(float);
  if (objective.chain_start == ChainStart::persistent) {
    bytes += static_cast<std::uint64_t>(objective.buffer.capacity) * (dim * sizeof(float) + sizeof(std::uint64_t));
  }
  outputs->reserve("--checkpoint", *options.checkpoint, bytes);
}

// More --steps than a finished run had: it goes on to as many. (For one that is not finished they contradict it.)
std::optional<std::int64_t> more_steps(const TrainCommandOptions& options, const Console& console) {
  if (!options.settings.steps) return std::nullopt;
  const TrainingRun run = read_run(*options.checkpoint);
  if (!run.finished() || *options.settings.steps <= run.iteration) return std::nullopt;
  console.info("the finished run of {} goes on to {}; learning rates are from here on those of a run of {}",
               run.iteration, *options.settings.steps, *options.settings.steps);
  return options.settings.steps;
}

Trainer make_trainer(const TrainCommandOptions& options, const Data& data, const Matrix& held_out, const Device& device,
                     const Console& console) {
  if (options.resume) {
    Trainer trainer =
        Trainer::resume(*options.checkpoint, data.x, device, data.labels, more_steps(options, console), held_out);
    require_no_contradiction(options.settings, options.common.seed_given, data, trainer.options(), trainer.raw_model());
    return trainer;
  }
  const int dim = static_cast<int>(data.x.cols());
  const TrainerOptions trainer_options =
      options.settings.apply(TrainerOptions::defaults(dim, data.x.rows()), options.common.seed_given);
  // Options first: their messages are about what was typed, the model's follow from it.
  trainer_options.validate(dim, data.x.rows());
  if (dim > 3 && !options.settings.steps && !options.settings.weight_decay) {
    console.info("{} iterations and weight decay {} for {} rows (--steps, --weight-decay)", trainer_options.iterations,
                 trainer_options.optimizer.weight_decay, data.x.rows());
  }
  Mlp model = options.settings.initial_model(data, trainer_options.seed, console);
  return Trainer(with_class_names(std::move(model), data), data.x, trainer_options, device, data.labels, held_out);
}

// What the whole run, or the part of it done here, came to.
struct Totals {
  ChainStats stats;
  TrainProgress last;
  bool reported = false;
};

class Run {
 public:
  Run(const CommandLine& line, const TrainCommandOptions& options, const Console& console, const Data& data,
      Trainer trainer)
      : line_(line),
        options_(options),
        console_(console),
        trainer_(std::move(trainer)),
        labelled_(!data.labels.empty()),
        bar_(console, "train", trainer_.options().iterations),
        chain_steps_per_iteration_(
            static_cast<double>(trainer_.options().batch_size * trainer_.options().objective.n_steps *
                                trainer_.options().objective.replicas())) {}

  void go() {
    if (options_.log && leads()) {
      log_.emplace(*options_.log, options_.resume ? std::optional(trainer_.iteration()) : std::nullopt);
      seconds_before_ = log_->seconds_before();
    }
    const CatchSignals catch_signals;
    const std::int64_t end =
        std::min(options_.stop_at.value_or(trainer_.options().iterations), trainer_.options().iterations);
    start_ = report_time_ = now();
    report_iteration_ = trainer_.iteration();
    bar_.update(trainer_.iteration());
    std::int64_t slice = 1;  // grows until a call takes about a fifth of a second, so that Ctrl-C and the bar are quick
    while (trainer_.iteration() < end && !trainer_.out_of_patience() && agree_to_go_on(&slice)) {
      std::int64_t n = std::min(slice, end - trainer_.iteration());
      if (options_.checkpoint_every) n = std::min(n, until_checkpoint());
      const double before = now();
      try {
        trainer_.fit([this](const TrainProgress& progress) { return report(progress), true; }, n);
      } catch (const DivergenceError& error) {
        save_diverged(error);
      }
      const double took = now() - before;
      slice = took < 0.1 ? slice * 2 : (took > 0.3 ? std::max<std::int64_t>(slice / 2, 1) : slice);
      bar_.update(trainer_.iteration(), note_);
      if (options_.checkpoint_every && until_checkpoint() == *options_.checkpoint_every) save_checkpoint();
    }
    bar_.finish();
    finish();
  }

 private:
  std::int64_t until_checkpoint() const {
    return *options_.checkpoint_every - trainer_.iteration() % *options_.checkpoint_every;
  }

  void save_checkpoint() { trainer_.save_checkpoint(*options_.checkpoint); }
  void save_model() const {
    ranks().on_first("model", [&] { trainer_.model().save(options_.out); });
  }

  // Clocks and signals are each rank's own: the first says how far to go, and a signal to one stops all.
  bool agree_to_go_on(std::int64_t* slice) {
    struct Wish {
      std::int64_t slice = 0, stop = 0;
    };
    const std::vector<Wish> wishes = ranks().gather_value("slice", Wish{*slice, stop_signal != 0 ? 1 : 0});
    *slice = wishes.front().slice;
    stopped_ = std::ranges::any_of(wishes, [](const Wish& wish) { return wish.stop != 0; });
    return !stopped_;
  }

  // The run ends, at the last good state where the policy keeps one.
  [[noreturn]] void save_diverged(const DivergenceError& error) {
    if (trainer_.options().on_divergence == OnDivergence::warn) {
      throw Failure(fmt::format("{}; nothing was written (try a smaller {}; {} rollback tries one by itself)",
                                error.what(), "--learning-rate", "--on-divergence"));
    }
    std::string saved = options_.out.string();
    save_model();
    if (options_.checkpoint) {
      save_checkpoint();
      saved += fmt::format(", the run in {}", options_.checkpoint->string());
    }
    throw Failure(fmt::format("{}; the model there is in {}", error.what(), saved));
  }

  // Each kind of sign once, until it has been away; every rollback.
  void say_divergence(const TrainProgress& progress) {
    std::set<DivergenceSign::Kind> now;
    for (const DivergenceSign& sign : progress.signs) {
      now.insert(sign.kind);
      if (said_.contains(sign.kind) && !progress.rolled_back_to) continue;
      console_.warn("iteration {}: {}: the run diverges (what helps: {})", progress.iteration, sign.what,
                    options_in(line_, sign.advice));
    }
    said_ = progress.rolled_back_to ? std::set<DivergenceSign::Kind>{} : now;
    if (progress.rolled_back_to) {
      console_.warn("rollback {} of {}: back to iteration {}, learning rate {:.3g}", progress.rollbacks, kMaxRollbacks,
                    *progress.rolled_back_to,
                    std::ldexp(trainer_.options().optimizer.learning_rate, -2 * progress.rollbacks));
    }
  }

  void report(TrainProgress progress) {
    // Times of the whole run, not of the slice that fit() saw.
    const double time = now();
    const auto iterations = static_cast<double>(progress.iteration - report_iteration_);
    progress.seconds = seconds_before_ + time - start_;
    progress.chain_steps_per_second = iterations * chain_steps_per_iteration_ / std::max(time - report_time_, 1e-9);
    report_iteration_ = progress.iteration;
    report_time_ = time;
    say_divergence(progress);
    if (progress.rolled_back_to) {  // the lines since then were good ones
      report_iteration_ = *progress.rolled_back_to;
      return;
    }
    if (log_) log_->write(progress, labelled_);
    totals_.stats += progress.stats;
    totals_.last = progress;
    totals_.reported = true;
    note_ = fmt::format("gap {:+.3g}", progress.energy_gap());
    if (progress.stats[Move::local].proposed > 0)
      note_ += fmt::format("  acceptance {:.2f}", progress.stats.acceptance());
    if (progress.held_out) report_held_out(*progress.held_out, progress.iteration);
    note_ += fmt::format("  {}step/s", si_text(progress.chain_steps_per_second) + " ");
  }

  void report_held_out(const HeldOutReport& report, std::int64_t iteration) {
    note_ += fmt::format("  held-out gap {:+.3g}", report.energy_gap);
    if (report.refusal.empty() || told_refusal_) return;
    console_.warn("no held-out likelihood at iteration {}: {}", iteration, report.refusal);
    told_refusal_ = true;
  }

  bool done() const { return trainer_.iteration() >= trainer_.options().iterations || trainer_.out_of_patience(); }

  void finish() {
    const std::int64_t iteration = trainer_.iteration();
    if (options_.checkpoint) save_checkpoint();
    if (stopped_ && !done()) {
      if (options_.checkpoint) {
        throw Failure(fmt::format("stopped by a signal at iteration {}; go on with --resume (checkpoint in {})",
                                  iteration, options_.checkpoint->string()));
      }
      if (iteration == 0)
        throw Failure("stopped by a signal before the first iteration; nothing was learnt or written");
      save_model();
      throw Failure(fmt::format(
          "stopped by a signal at iteration {} of {}; the unfinished model is in {} (only --checkpoint FILE "
          "saves what --resume needs)",
          iteration, trainer_.options().iterations, options_.out.string()));
    }
    if (!done()) {
      console_.info("stopped at iteration {} of {}; go on with --resume (checkpoint in {})", iteration,
                    trainer_.options().iterations, options_.checkpoint->string());
      return;
    }
    save_model();
    summarize();
  }

  void summarize() const {
    const double seconds = now() - start_;
    console_.info("{} iterations in {}", trainer_.iteration(), duration_text(seconds_before_ + seconds));
    if (totals_.reported) {
      const ChainStats& stats = totals_.stats;
      console_.info(
          "chain steps {} ({} per second), restarts {}, reinitialised {}", si_text(static_cast<double>(stats.steps)),
          si_text(static_cast<double>(stats.steps) / std::max(seconds, 1e-9)), stats.restarts, stats.reinitialized);
      if (stats[Move::local].proposed > 0)
        console_.info("acceptance {:.3f}, step size {:.4g}", stats.acceptance(), trainer_.step_size());
      if (stats.swaps.proposed > 0) {
        console_.info("swaps of neighbouring replicas accepted {:.3f}",
                      static_cast<double>(stats.swaps.accepted) / static_cast<double>(stats.swaps.proposed));
      }
      const TrainProgress& last = totals_.last;
      console_.info("energy gap {:+.4g} (data {:.4g}, samples {:.4g})", last.energy_gap(), last.energy_data,
                    last.energy_samples);
    }
    if (trainer_.options().objective.chain_start == ChainStart::persistent) {
      console_.info("spread of the chains {:.3f} (standardised data: 1)", trainer_.buffer().spread());
    }
    if (totals_.last.rollbacks > 0) {
      console_.warn(
          "rolled back {} of at most {} times: the rates of the last part are those of --learning-rate {:.3g}",
          totals_.last.rollbacks, kMaxRollbacks,
          std::ldexp(trainer_.options().optimizer.learning_rate, -2 * totals_.last.rollbacks));
    }
    for (const DivergenceSign& sign : totals_.last.signs) {
      console_.warn("the run ended diverged: {} (what helps: {})", sign.what, options_in(line_, sign.advice));
    }
    summarize_held_out();
    console_.info("wrote {}", options_.out.string());
  }

  // Which state was saved, and what the held-out points say about the ones after it.
  void summarize_held_out() const {
    if (!totals_.last.held_out) return;
    const auto summary = trainer_.held_out();
    if (!summary) {
      console_.warn("no check gave a held-out likelihood: the last state is saved");
      return;
    }
    const bool best = trainer_.options().held_out.keep == KeptModel::best;
    console_.info(
        "held-out log-likelihood {:.4g} nats at iteration {}, its best; {:.4g} at the last check; the {} state is "
        "saved",
        summary->best_log_likelihood, summary->best_iteration, summary->last_log_likelihood, best ? "best" : "last");
    if (trainer_.out_of_patience()) console_.info("stopped at iteration {}: out of patience", trainer_.iteration());
    if (summary->best_iteration < trainer_.iteration() &&
        summary->best_log_likelihood - summary->last_log_likelihood >
            std::max(kOverfit, 2 * totals_.last.held_out->log_z_error)) {
      console_.warn(
          "overfitting: {:.3g} nats were lost on the held-out points after iteration {}; fewer --steps or more "
          "--weight-decay help",
          summary->best_log_likelihood - summary->last_log_likelihood, summary->best_iteration);
    }
  }

  const CommandLine& line_;
  static constexpr double kOverfit = 0.1;  // nats; and twice the last check's standard error
  const TrainCommandOptions& options_;
  const Console& console_;
  Trainer trainer_;
  bool labelled_;
  ProgressBar bar_;
  double chain_steps_per_iteration_;
  std::optional<TrainLog> log_;
  double seconds_before_ = 0, start_ = 0, report_time_ = 0;
  std::int64_t report_iteration_ = 0;
  std::string note_;
  std::set<DivergenceSign::Kind> said_;  // signs of the last report
  bool told_refusal_ = false;
  bool stopped_ = false;  // by a signal
  Totals totals_;
};

void run(const CommandLine& line, const TrainCommandOptions& options) {
  const Console console(options.common.quiet);
  check(line, options);
  const Device device = options.common.open_over_ranks();
  const std::vector<TrainCommandOptions> members = members_of(options);
  Outputs outputs = claim_all(members);
  options.settings.held_out.check();
  Data data = options.data.read(console);
  const Matrix held_out = options.settings.held_out.take(options.data, console, &data);
  const bool outputs_stand = options.resume || options.settings.init_model;
  if (!outputs_stand) require_every_class(console, data, options.settings.classes);
  console.info("data {}", shape_text(data.x));
  // With checkpoints every member has one before any is trained, so that a run that was stopped resumes them all.
  const bool ahead = members.size() > 1 && options.checkpoint && !options.resume;
  for (std::size_t m = 0; ahead && m < members.size(); ++m) {
    make_trainer(members[m], data, held_out, device, Console(m > 0 || options.common.quiet))
        .save_checkpoint(*members[m].checkpoint);
  }
  for (std::size_t m = 0; m < members.size(); ++m) {
    const TrainCommandOptions& member = members[m];
    Trainer trainer = make_trainer(member, data, held_out, device, Console(ahead || m > 0 || options.common.quiet));
    if (members.size() > 1) {
      console.info("member {} of {}, seed {}: {}", m, members.size(), trainer.options().seed, member.out.string());
    }
    const Sampler& sampler = trainer.options().objective.sampler;
    const Mlp model = trainer.raw_model();
    reserve(member, trainer, data.x.cols(), model.shape().parameter_count(), &outputs);
    if (m == 0) {
      warn_if_unconfined(console, model, sampler);
      warn_of_rows_outside(console, data.x, sampler);
    }
    if (m == 0) console.info("{} parameters, {}", model.shape().parameter_count(), describe(sampler));
    if (options.resume) console.info("resumed at iteration {}", trainer.iteration());
    Run(line, member, console, data, std::move(trainer)).go();
  }
}

}  // namespace

Command add_train_command(CLI::App& ebm) {
  const auto line = std::make_shared<CommandLine>(
      ebm, "train", "Train a model on data by maximum likelihood",

      "Examples:\n"
      "  ebm train moons.npy --out moons.safetensors\n"
      "  ebm train moons.npy --out moons.safetensors --hidden 128,128 --steps 6000 --log moons.jsonl\n"
      "  ebm train digits.csv --columns 0:64 --dequantize 1 --hidden 256,256 --out digits.safetensors\n"
      "  ebm train digits.csv --label-column 64 --head logits --out jem.safetensors           classifier and energy\n"
      "  ebm train moons.npy --out m.safetensors --sampler langevin --langevin-steps 60 --step-size 0.01\n"
      "  ebm train moons.npy --out m.safetensors --checkpoint run.safetensors --checkpoint-every 500\n"
      "  ebm train moons.npy --out m.safetensors --checkpoint run.safetensors --resume\n"
      "  ebm train digits.npy --dequantize 1 --members 3 --out m.safetensors     m.0.safetensors, m.1 and m.2\n"
      "  ebm train moons.npy --config settings.toml --out m.safetensors\n"
      "\n"
      "Fits p(x) = exp(-E(x)) / Z to the rows of DATA and writes the model. Options that are left out take settings\n"
      "measured to serve the dimension of the data (docs/training.md).\n");
  const auto options = std::make_shared<TrainCommandOptions>();
  options->data.add(*line, DataOptions::Labels::classes);
  line->add("--out", options->out, "FILE", "where the model goes (.safetensors)");
  line->add("--members", options->members, Between<int>{1, 64}, "N",
            "train N models with seeds of their own, an ensemble: M.safetensors becomes M.0.safetensors and so on, "
            "as --log and --checkpoint do (default 1)");
  line->add("--log", options->log, "FILE", "JSON lines, one object per logged iteration");
  line->add("--checkpoint", options->checkpoint, "FILE", "everything needed to go on; written at the end, on Ctrl-C");
  line->add("--checkpoint-every", options->checkpoint_every, "N", "and after every N iterations");
  line->add_flag("--resume", options->resume,
                 "go on from --checkpoint; the result has the same bits as an unstopped run. A finished run goes on "
                 "to more --steps");
  line->add_flag("--overwrite", options->overwrite,
                 "replace any file by --out, --log and --checkpoint: an unfinished run, or what is no file of ours");
  line->add("--stop-at", options->stop_at, "N", "write the checkpoint at iteration N and stop there");
  line->add("--config", options->config, "FILE", "TOML with these options' names; the command line wins");
  line->add("--log-every", options->settings.log_every, "N", "iterations per line of --log");
  options->settings.add(*line);
  options->common.add(*line, true);
  return {line, [line, options] { run(*line, *options); }, true};
}

}  // namespace ebm::tools
