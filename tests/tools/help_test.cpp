#include <algorithm>

#include "tools/program.hpp"

namespace ebm::test {
namespace {

using Help = ProgramTest;

TEST_F(Help, OfEveryCommandLeadsWithExamplesOnStdout) {
  for (const std::string command :
       {"data", "train", "sample", "energy", "evaluate", "score", "predict", "plot", "info", "export"}) {
    SCOPED_TRACE(command);
    const Outcome help = succeed({command, "--help"});
    EXPECT_EQ(help.err, "");
    EXPECT_TRUE(help.out.starts_with("Examples:\n  ebm " + command)) << help.out.substr(0, 80);
    for (const char* option : {"--seed", "--device", "--threads", "--quiet"}) {
      EXPECT_NE(help.out.find(option), std::string::npos) << option;
    }
  }
}

TEST_F(Help, OfTheProgramLeadsWithExamplesAndListsTheCommands) {
  const Outcome help = succeed({"--help"});
  EXPECT_TRUE(help.out.starts_with("Examples:\n"));
  for (const char* command :
       {"data", "train", "sample", "energy", "evaluate", "score", "predict", "plot", "info", "export"}) {
    EXPECT_NE(help.out.find(std::string("\n  ") + command), std::string::npos) << command;
  }
}

TEST_F(Help, VersionIsOneLine) {
  const Outcome version = succeed({"--version"});
  EXPECT_TRUE(version.out.starts_with("version ")) << version.out;
  EXPECT_EQ(std::count(version.out.begin(), version.out.end(), '\n'), 1);
}

}  // namespace
}  // namespace ebm::test
