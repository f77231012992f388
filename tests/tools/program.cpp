#include "tools/program.hpp"

#include <fcntl.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <fstream>
#include <sstream>
#include <thread>

#include "ebmcuda/files.hpp"

namespace ebm::test {
namespace {

std::vector<char*> argument_pointers(std::vector<std::string>& arguments) {
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  return pointers;
}

[[noreturn]] void become_program(std::vector<std::string> arguments, const char* program = EBM_PROGRAM) {
  arguments.insert(arguments.begin(), program);
  execv(program, argument_pointers(arguments).data());
  _exit(127);
}

int status_of(int process) {
  int status = 0;
  waitpid(process, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::string text_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace

ProgramTest::ProgramTest() {
  std::string name = (fs::temp_directory_path() / "ebm-test-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary directory");
  directory_ = name;
}

ProgramTest::~ProgramTest() {
  std::error_code ignored;
  fs::remove_all(directory_, ignored);
  for (const char* stream : {".out", ".err"}) fs::remove(directory_.string() + stream, ignored);
}

int ProgramTest::start(const std::vector<std::string>& arguments, int input, const char* program) const {
  // Beside the directory, not in it: the tests look at everything that stands there.
  const std::string out = directory_.string() + ".out", err = directory_.string() + ".err";
  const int process = fork();
  if (process != 0) return process;
  const int out_file = open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  const int err_file = open(err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (input >= 0 && dup2(input, STDIN_FILENO) < 0) _exit(126);
  if (dup2(out_file, STDOUT_FILENO) < 0 || dup2(err_file, STDERR_FILENO) < 0 || chdir(directory_.c_str()) != 0)
    _exit(126);
  become_program(arguments, program == nullptr ? EBM_PROGRAM : program);
}

Outcome ProgramTest::wait_for(int process) const {
  Outcome outcome;
  outcome.status = status_of(process);
  outcome.out = text_of(directory_.string() + ".out");
  outcome.err = text_of(directory_.string() + ".err");
  return outcome;
}

Outcome ProgramTest::run(const std::vector<std::string>& arguments) const { return wait_for(start(arguments)); }

Outcome ProgramTest::run_with_input(const std::vector<std::string>& arguments, const std::string& input) const {
  int ends[2] = {-1, -1};
  if (pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
  const int process = start(arguments, ends[0]);
  close(ends[0]);
  signal(SIGPIPE, SIG_IGN);  // the program may refuse before it reads
  for (std::size_t at = 0; at < input.size();) {
    const ssize_t n = ::write(ends[1], input.data() + at, input.size() - at);
    if (n <= 0) break;
    at += static_cast<std::size_t>(n);
  }
  close(ends[1]);
  return wait_for(process);
}

Outcome ProgramTest::run_and_signal(const std::vector<std::string>& arguments, const std::string& file,
                                    int signal) const {
  const int process = start(arguments);
  int status = 0;
  while (waitpid(process, &status, WNOHANG) == 0) {
    if (holds_something(file)) {
      kill(process, signal);
      return wait_for(process);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  ADD_FAILURE() << "the program ended before " << file << " appeared";
  return {};
}

bool ProgramTest::holds_something(const std::string& name) const {
  std::error_code ignored;
  return fs::file_size(path(name), ignored) > 0 && !ignored;
}

int ProgramTest::start_on_terminal(const std::vector<std::string>& arguments,
                                   const std::vector<std::string>& environment, int* terminal) const {
  winsize size{};
  size.ws_col = 100;
  size.ws_row = 24;
  const int process = forkpty(terminal, nullptr, nullptr, &size);
  if (process == 0) {
    setenv("TERM", "xterm", 1);
    unsetenv("NO_COLOR");
    for (std::string pair : environment) {
      const std::size_t equals = pair.find('=');
      setenv(pair.substr(0, equals).c_str(), pair.substr(equals + 1).c_str(), 1);
    }
    if (chdir(directory_.c_str()) != 0) _exit(126);
    become_program(arguments);
  }
  return process;
}

Outcome ProgramTest::run_and_hang_up(const std::vector<std::string>& arguments, const std::string& file) const {
  int terminal = -1;
  const int process = start_on_terminal(arguments, {}, &terminal);
  int status = 0;
  while (!holds_something(file) && waitpid(process, &status, WNOHANG) == 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  close(terminal);
  return {status_of(process), "", ""};
}

Outcome ProgramTest::run_script(const std::string& script) const {
  return wait_for(start({"-c", script, EBM_PROGRAM}, -1, "/bin/sh"));
}

Outcome ProgramTest::run_on_terminal(const std::vector<std::string>& arguments,
                                     const std::vector<std::string>& environment) const {
  int terminal = -1;
  const int process = start_on_terminal(arguments, environment, &terminal);
  Outcome outcome;
  char buffer[4096];
  for (ssize_t n = 0; (n = ::read(terminal, buffer, sizeof buffer)) > 0;) {
    outcome.err.append(buffer, static_cast<std::size_t>(n));
  }
  close(terminal);
  outcome.status = status_of(process);
  return outcome;
}

Outcome ProgramTest::succeed(const std::vector<std::string>& arguments) const {
  const Outcome outcome = run(arguments);
  EXPECT_EQ(outcome.status, 0) << ::testing::PrintToString(arguments) << "\n" << outcome.err;
  return outcome;
}

void ProgramTest::expect_wrong_request(const std::vector<std::string>& arguments,
                                       const std::vector<std::string>& parts) const {
  SCOPED_TRACE(::testing::PrintToString(arguments));
  const auto before = contents();
  const Outcome outcome = run(arguments);
  EXPECT_EQ(outcome.status, 2) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  for (const std::string& part : parts) {
    EXPECT_NE(outcome.err.find(part), std::string::npos) << "the message lacks \"" << part << "\": " << outcome.err;
  }
  EXPECT_TRUE(contents() == before) << "a file was written or changed";
}

std::string ProgramTest::read(const std::string& name) const { return text_of(path(name)); }

void ProgramTest::write(const std::string& name, const std::string& text) const {
  std::ofstream(path(name), std::ios::binary) << text;
}

std::vector<Json> ProgramTest::read_log(const std::string& name) const {
  std::vector<Json> lines;
  std::istringstream text(read(name));
  for (std::string line; std::getline(text, line);) lines.push_back(Json::parse(line));
  return lines;
}

std::map<std::string, std::string> ProgramTest::contents() const {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(directory_)) {
    std::error_code ignored;  // a link that leads round
    files[entry.path().string()] = entry.is_regular_file(ignored) ? text_of(entry.path()) : "";
  }
  return files;
}

void ProgramTest::write_ring(const std::string& name, std::size_t n) const {
  Matrix x(n, 2);
  for (std::size_t i = 0; i < n; ++i) {
    const double angle = 2.39996323 * static_cast<double>(i), radius = 2 + 0.2 * std::sin(1.7 * static_cast<double>(i));
    x(i, 0) = static_cast<float>(1 + radius * std::cos(angle));
    x(i, 1) = static_cast<float>(radius * std::sin(angle));
  }
  write_matrix(path(name), x);
}

Mlp ProgramTest::gaussian_model(int dim, float confinement) const {
  MlpShape shape;
  shape.dim = dim;
  shape.hidden = {8};
  shape.confinement = confinement;
  return Mlp(shape);
}

}  // namespace ebm::test
