// The ranks that the program was started among, by mpirun, srun, torchrun or by hand; one where nobody did.
#pragma once

#include "ebmcuda/communicator.hpp"

namespace ebm::tools {

// Before any work, and after it: the last thing that a rank does.
void join_ranks();
void leave_ranks();

const Communicator& ranks();
// Of several ranks one speaks, writes what they have in common, and does alone what can't be shared out.
inline bool leads() { return ranks().first(); }

}  // namespace ebm::tools
