// How ranks without MPI find one another: rank 0 says in a file where it listens, the others come there, and all learn
// where everybody listens. In the end there is a connection from each to each.
//
// The file is replaced as a whole and taken away when all have come; one that a killed run left is replaced too. It
// holds a number that nobody knows who has not read it, and with which every connection begins: whoever comes from
// elsewhere is sent away.
#pragma once

#include <vector>

#include "host/files/descriptor.hpp"
#include "host/ranks/launcher.hpp"

namespace ebm {

// Connections by rank, none at this rank's own place. Waits `timeout` seconds for the others. Throws RankError that
// names the one that did not come or has ended; ConfigError, on all ranks that are there, where two have the same rank
// or another number of them; WriteError on rank 0 where it can't write the file.
std::vector<Descriptor> meet(const Meeting& meeting, double timeout);

}  // namespace ebm
