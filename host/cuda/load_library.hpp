// Functions of libraries that are loaded at run time.
#pragma once

#include <dlfcn.h>

namespace ebm::cuda {

// False where the library has no such function.
template <class Function>
bool take(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  return function != nullptr;
}

}  // namespace ebm::cuda
