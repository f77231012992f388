// An engine whose ranks share out what they are asked for: rows of points, chains, chunks of a batch. Every rank asks
// for the same and gets the whole, the bits of one rank: no row and no chain knows its neighbours, and sums keep their
// order. What is too little to be worth a message, every rank does for itself.
#pragma once

#include <memory>

#include "host/engine/engine.hpp"

namespace ebm {

// `engine` trains over the same ranks by itself. Throws ConfigError, on all ranks, when their devices differ.
std::unique_ptr<Engine> shared_engine(std::unique_ptr<Engine> engine, Communicator ranks);

}  // namespace ebm
