// Ranks that are threads of the test: a Mail that is a few queues.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "ebmcuda/communicator.hpp"

namespace ebm::test {

// Runs task(communicator) on n ranks at once, each a thread, with `timeout` seconds until a silent one is given up.
// Returns what each threw: its what(), or nothing. A rank that has thrown tells the others, as the program does.
std::vector<std::string> on_ranks(int n, const std::function<void(const Communicator&)>& task, double timeout = 60);

// Expects that nobody threw.
void expect_ranks(int n, const std::function<void(const Communicator&)>& task);

}  // namespace ebm::test
