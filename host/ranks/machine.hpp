// Which machine this is.
#pragma once

#include <string>

namespace ebm {

std::string host_name();
// Alike for processes of one machine; a name alone may be two machines', or a container's.
std::string machine_name();

}  // namespace ebm
