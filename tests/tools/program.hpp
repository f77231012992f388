// Runs the built `ebm` in a directory of its own and looks at what it did.
#pragma once

#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "ebmcuda/matrix.hpp"
#include "ebmcuda/mlp.hpp"

namespace ebm::test {

namespace fs = std::filesystem;
using Json = nlohmann::json;

struct Outcome {
  int status = -1;  // exit status; 128 + n when signal n ended it
  std::string out, err;
};

// A directory that lives as long as the test. The program runs in it, so tests speak of files by their plain names.
class ProgramTest : public ::testing::Test {
 protected:
  ProgramTest();
  ~ProgramTest() override;

  Outcome run(const std::vector<std::string>& arguments) const;
  // As run, with `input` on standard input, which is a pipe.
  Outcome run_with_input(const std::vector<std::string>& arguments, const std::string& input) const;
  // As run; sends `signal` once `path` exists and holds something.
  Outcome run_and_signal(const std::vector<std::string>& arguments, const std::string& path, int signal) const;
  // With stdout and stderr on one pseudo-terminal of 100 columns; NAME=value pairs are added to the environment.
  Outcome run_on_terminal(const std::vector<std::string>& arguments,
                          const std::vector<std::string>& environment = {}) const;
  // As run_on_terminal, but the terminal goes away, as a closed window does, once `path` exists and holds something.
  Outcome run_and_hang_up(const std::vector<std::string>& arguments, const std::string& path) const;
  // A shell's script in which "$0" is the program.
  Outcome run_script(const std::string& script) const;

  // Expects exit 0 and silence about errors, and hands back the outcome.
  Outcome succeed(const std::vector<std::string>& arguments) const;
  // Expects exit 2, each of `parts` in the message, nothing on stdout, and every file as it was.
  void expect_wrong_request(const std::vector<std::string>& arguments, const std::vector<std::string>& parts) const;

  fs::path path(const std::string& name) const { return directory_ / name; }
  bool exists(const std::string& name) const { return fs::exists(path(name)); }
  std::string read(const std::string& name) const;
  void write(const std::string& name, const std::string& text) const;
  std::vector<Json> read_log(const std::string& name) const;
  // File name -> content of everything in the directory.
  std::map<std::string, std::string> contents() const;

  // A small file of points on a circle with noise from a fixed formula, [n, 2].
  void write_ring(const std::string& name, std::size_t n = 200) const;
  // All parameters zero: E = confinement/2 |x|^2, so p is a Gaussian that can be written down.
  Mlp gaussian_model(int dim, float confinement = 1.0f) const;

 private:
  Outcome wait_for(int process) const;
  int start(const std::vector<std::string>& arguments, int input = -1, const char* program = nullptr) const;
  int start_on_terminal(const std::vector<std::string>& arguments, const std::vector<std::string>& environment,
                        int* terminal) const;
  bool holds_something(const std::string& name) const;
  fs::path directory_;
};

}  // namespace ebm::test
