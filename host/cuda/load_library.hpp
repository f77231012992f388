// Libraries that are loaded at run time, and their functions.
#pragma once

#include <dlfcn.h>

#include <optional>
#include <string>
#include <vector>

namespace ebm::cuda {

// False where the library has no such function.
template <class Function>
bool take(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  return function != nullptr;
}

// The file that a function of a library came from.
template <class Function>
std::string file_of(Function* function) {
  Dl_info info{};
  return dladdr(reinterpret_cast<const void*>(function), &info) != 0 && info.dli_fname != nullptr ? info.dli_fname : "";
}

// The functions of the first of the libraries with these names that fill(library, functions) says is the one: it takes
// the functions and asks for the version, for a file may bear another's name. It stays open for the life of the
// process.
template <class Functions, class Fill>
std::optional<Functions> open_first(const std::vector<std::string>& names, const Fill& fill) {
  for (const std::string& name : names) {
    void* const library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) continue;
    Functions functions{};
    if (fill(library, functions)) return functions;
    dlclose(library);
  }
  return {};
}

}  // namespace ebm::cuda
