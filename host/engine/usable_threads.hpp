#pragma once

namespace ebm {

// Hardware threads the process may use, at least one.
int usable_threads();

}  // namespace ebm
