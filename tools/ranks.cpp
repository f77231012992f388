#include "tools/ranks.hpp"

namespace ebm::tools {
namespace {

Communicator& joined() {
  static Communicator communicator;
  return communicator;
}

}  // namespace

void join_ranks() { joined() = Communicator::world(); }
void leave_ranks() { joined() = {}; }
const Communicator& ranks() { return joined(); }

}  // namespace ebm::tools
