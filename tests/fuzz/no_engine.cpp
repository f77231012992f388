// The program's error messages know of ranks and those of devices; no fuzzer opens one.
#include "ebmcuda/error.hpp"
#include "host/engine/engine.hpp"

namespace ebm {

std::unique_ptr<Engine> make_engine(const Device&) { throw Error("fuzzers have no engine"); }

}  // namespace ebm
