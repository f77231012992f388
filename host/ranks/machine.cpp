#include "host/ranks/machine.hpp"

#include <unistd.h>

#include <climits>
#include <fstream>

namespace ebm {

std::string host_name() {
  char name[HOST_NAME_MAX + 1] = "";
  ::gethostname(name, sizeof name - 1);
  return name;
}

std::string machine_name() {
  std::string boot;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot;
  return host_name() + "/" + boot;
}

}  // namespace ebm
