// What the environment says about the ranks that this process was started among.
#pragma once

#include <filesystem>
#include <optional>

namespace ebm {

// A place where ranks find one another without MPI, and which of them this is.
struct Meeting {
  std::filesystem::path place;
  int rank = 0, size = 1;
};

// Of EBMCUDA_RENDEZVOUS and the variables beside it (Communicator::world()); none where it is not set. Throws
// ConfigError that names the variable.
std::optional<Meeting> meeting_of_environment();
// ConfigError, by the names of the variables, where these are no rank of so many.
void require_meeting(const Meeting& meeting);

// Whether a launcher of MPI programs started this process, and as one of how many as far as that is known (else 1).
bool launched_by_mpi();
int launched_ranks();

}  // namespace ebm
