#include "host/ranks/launcher.hpp"

#include <algorithm>
#include <cstdlib>

#include "host/core/check.hpp"
#include "host/files/text.hpp"

namespace ebm {
namespace {

constexpr int kMostRanks = 4096;

// Open MPI and PRRTE; MPICH, Intel MPI and Slurm's PMI; anything with PMIx.
constexpr const char* kRankVariables[] = {"OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK"};
constexpr const char* kSizeVariables[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_NTASKS"};

// Our own, torchrun's, srun's: the first of which one is set.
struct Pair {
  const char *rank, *size;
};
constexpr Pair kPairs[] = {{"EBMCUDA_RANK", "EBMCUDA_WORLD"}, {"RANK", "WORLD_SIZE"}, {"SLURM_PROCID", "SLURM_NTASKS"}};

int number(const char* name) {
  const char* text = std::getenv(name);
  require(text != nullptr, name, "unset", "must be given with EBMCUDA_RENDEZVOUS and its other half");
  const std::optional<int> n = parse_number<int>(text);
  require(n.has_value(), name, text, "must be a whole number");
  return *n;
}

}  // namespace

void require_meeting(const Meeting& meeting) {
  require(meeting.size >= 1 && meeting.size <= kMostRanks, "EBMCUDA_WORLD", meeting.size,
          fmt::format("must be in 1 .. {}", kMostRanks));
  require(meeting.rank >= 0 && meeting.rank < meeting.size, "EBMCUDA_RANK", meeting.rank,
          fmt::format("must be in 0 .. {}, below EBMCUDA_WORLD", meeting.size - 1));
  require(!meeting.place.empty(), "EBMCUDA_RENDEZVOUS", "empty", "must name a file or a folder that all ranks see");
}

std::optional<Meeting> meeting_of_environment() {
  const char* place = std::getenv("EBMCUDA_RENDEZVOUS");
  for (const char* name : {"EBMCUDA_RANK", "EBMCUDA_WORLD"}) {
    const char* const value = std::getenv(name);
    require(place != nullptr || value == nullptr, name, value == nullptr ? "" : value,
            "needs EBMCUDA_RENDEZVOUS, a file or a folder that all ranks see");
  }
  if (place == nullptr) return {};
  for (const auto& [rank, size] : kPairs) {
    if (std::getenv(rank) == nullptr && std::getenv(size) == nullptr) continue;
    Meeting meeting{place, number(rank), number(size)};
    require_meeting(meeting);
    return meeting;
  }
  reject("EBMCUDA_RENDEZVOUS", place, "needs EBMCUDA_RANK and EBMCUDA_WORLD, or what torchrun or srun set");
}

bool launched_by_mpi() {
  return std::ranges::any_of(kRankVariables, [](const char* name) { return std::getenv(name) != nullptr; });
}

int launched_ranks() {
  for (const char* name : kSizeVariables) {
    if (const char* text = std::getenv(name)) return std::max(1, std::atoi(text));
  }
  return 1;
}

}  // namespace ebm
