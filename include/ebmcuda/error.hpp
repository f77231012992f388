// Exceptions. Everything the library throws derives from ebm::Error, so one catch clause serves.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include "ebmcuda/export.hpp"

namespace ebm {

class EBMCUDA_API Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A request that can't be served: names the field, the value that was given and what is allowed.
// Thrown before anything is allocated, written or launched.
class EBMCUDA_API ConfigError : public Error {
 public:
  ConfigError(std::string field, std::string value, std::string allowed)
      : Error(field + " = " + value + ": " + allowed),
        field_(std::move(field)),
        value_(std::move(value)),
        allowed_(std::move(allowed)) {}
  const std::string& field() const noexcept { return field_; }
  const std::string& value() const noexcept { return value_; }
  const std::string& allowed() const noexcept { return allowed_; }

 private:
  std::string field_, value_, allowed_;
};

// An input file that is missing, unreadable or not what its format demands.
class EBMCUDA_API FormatError : public Error {
 public:
  FormatError(std::string path, const std::string& what) : Error(path + ": " + what), path_(std::move(path)) {}
  const std::string& path() const noexcept { return path_; }

 private:
  std::string path_;
};

// An output that could not be written (disk full, no permission). What stood there before is unharmed.
class EBMCUDA_API WriteError : public Error {
 public:
  WriteError(std::string path, const std::string& what) : Error(path + ": " + what), path_(std::move(path)) {}
  const std::string& path() const noexcept { return path_; }

 private:
  std::string path_;
};

// Training left the finite numbers: the loss or a parameter became NaN or infinite at `iteration`.
class EBMCUDA_API DivergenceError : public Error {
 public:
  DivergenceError(std::int64_t iteration, const std::string& what)
      : Error("training diverged at iteration " + std::to_string(iteration) + ": " + what), iteration_(iteration) {}
  std::int64_t iteration() const noexcept { return iteration_; }

 private:
  std::int64_t iteration_;
};

// No value of log Z that can be trusted, and why: the integral does not converge, or its error is too large.
class EBMCUDA_API LogZError : public Error {
 public:
  using Error::Error;
};

// A failed call of the CUDA runtime or one of its libraries. `sticky`: the device context is lost and the engine
// refuses further work with this same error.
class EBMCUDA_API DeviceError : public Error {
 public:
  DeviceError(int code, bool sticky, const std::string& what) : Error(what), code_(code), sticky_(sticky) {}
  int code() const noexcept { return code_; }
  bool sticky() const noexcept { return sticky_; }

 private:
  int code_;
  bool sticky_;
};

// Device memory ran out: `bytes` were asked for.
class EBMCUDA_API OutOfMemory : public Error {
 public:
  OutOfMemory(std::uint64_t bytes, const std::string& what) : Error(what), bytes_(bytes) {}
  std::uint64_t bytes() const noexcept { return bytes_; }

 private:
  std::uint64_t bytes_;
};

// Work that ranks do together (ebmcuda/communicator.hpp) can't go on: rank `rank` failed, ended, fell silent or did
// something else.
class EBMCUDA_API RankError : public Error {
 public:
  RankError(int rank, const std::string& what)
      : Error("rank " + std::to_string(rank) + ": " + what), rank_(rank), reason_(what) {}
  int rank() const noexcept { return rank_; }
  const std::string& reason() const noexcept { return reason_; }

 private:
  int rank_;
  std::string reason_;
};

}  // namespace ebm
