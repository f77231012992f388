// The JSON lines log of a training run (docs/command-line.md): one object per logged iteration.
#pragma once

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <iosfwd>
#include <memory>
#include <string>

#include "ebmcuda/trainer.hpp"

namespace ebm::tools {

// The part of a log that belongs to the first iterations of a run.
struct LogPart {
  std::uintmax_t bytes = 0;
  double seconds = 0;  // that the run had taken there
};
// Of the log `in`, the lines of the first `iterations` iterations. A last line without its newline is the trace of a
// crash and is left out. Throws FormatError about `name` for a line that is none of a training log.
LogPart log_part(std::istream& in, const std::string& name, std::int64_t iterations);

// Whether the first line of a file is one of a training log, or the beginning of one that a crash cut off.
bool begins_as_log(const std::filesystem::path& path);

class TrainLog {
 public:
  // A new log, or, with `resume_at`, the log of the run that goes on at that iteration: lines beyond it (written after
  // the checkpoint, before the stop) are cut off, so that the whole equals the log of a run never stopped. Throws
  // FormatError when that file is no such log, WriteError when it can't be opened.
  TrainLog(std::filesystem::path path, std::optional<std::int64_t> resume_at);

  // Seconds that the run had taken where it was resumed; 0 for a new one.
  double seconds_before() const noexcept { return seconds_before_; }
  // Appends a line and flushes it. Throws WriteError.
  void write(const TrainProgress& progress, bool with_labels);

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::filesystem::path path_;
  std::unique_ptr<std::FILE, Close> file_;
  double seconds_before_ = 0;
};

}  // namespace ebm::tools
