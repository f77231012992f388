// No message promises an option that does not exist: every "--name" in a string of the program and the library is an
// option of some command.
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "tools/program.hpp"

namespace ebm::test {
namespace {

using NamedOptions = ProgramTest;

const std::regex kOption("--([a-z][a-z0-9-]*[a-z0-9])");

std::set<std::string> named_in(const std::string& text) {
  std::set<std::string> names;
  for (std::sregex_iterator it(text.begin(), text.end(), kOption), end; it != end; ++it) names.insert((*it)[1]);
  return names;
}

// The string literals of a source file; comments may speak of other programs.
std::string literals_of(const fs::path& path) {
  std::ifstream file(path);
  std::string line, result;
  const std::regex literal("\"(?:[^\"\\\\]|\\\\.)*\"");
  while (std::getline(file, line)) {
    if (const std::size_t comment = line.find("// "); comment != std::string::npos) line.resize(comment);
    for (std::sregex_iterator it(line.begin(), line.end(), literal), end; it != end; ++it) result += it->str() + "\n";
  }
  return result;
}

TEST_F(NamedOptions, Exist) {
  std::set<std::string> exist = named_in(succeed({"--help"}).out);
  for (const char* command :
       {"data", "train", "sample", "energy", "evaluate", "score", "predict", "export", "info", "plot"}) {
    exist.merge(named_in(succeed({command, "--help"}).out));
  }
  ASSERT_TRUE(exist.contains("ais-temperatures"));
  std::size_t seen = 0;
  for (const char* folder : {"tools", "host"}) {
    for (const auto& entry : fs::recursive_directory_iterator(fs::path(EBM_SOURCE) / folder)) {
      const std::string extension = entry.path().extension().string();
      if (extension != ".cpp" && extension != ".hpp" && extension != ".cu") continue;
      if (entry.path().filename() == "nvrtc.cpp") continue;  // the compiler's options
      for (const std::string& name : named_in(literals_of(entry.path()))) {
        ++seen;
        EXPECT_TRUE(exist.contains(name)) << "--" << name << " in " << entry.path();
      }
    }
  }
  EXPECT_GT(seen, 50u) << "the walk reads nothing";
}

}  // namespace
}  // namespace ebm::test
