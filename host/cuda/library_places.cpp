#include "host/cuda/library_places.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <sstream>

namespace ebm::cuda {
namespace {

namespace fs = std::filesystem;

fs::path variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// The root of the installation that the `python3` of $PATH belongs to; empty: there is none.
fs::path python_root() {
  std::istringstream path(variable("PATH").string());
  for (std::string folder; std::getline(path, folder, ':');) {
    std::error_code unreadable;
    if (!folder.empty() && fs::exists(fs::path(folder) / "python3", unreadable)) return fs::path(folder).parent_path();
  }
  return {};
}

class Places {
 public:
  // `packages`: below `nvidia` in a Python's packages.
  Places(std::string file, std::vector<std::string> packages)
      : file_(std::move(file)), packages_(std::move(packages)) {}

  // What $variable names, and then nothing else.
  bool add_own(const char* name) {
    const fs::path own = variable(name);
    if (own.empty()) return false;
    std::error_code unreadable;
    if (fs::is_directory(own, unreadable)) {
      add_folder(own);
    } else {
      add_file(own);
    }
    return true;
  }
  void add_toolkits() {
    add_toolkit(variable("CUDA_HOME"));
    add_toolkit(variable("CUDA_PATH"));
    add_folder(EBMCUDA_TOOLKIT_LIBRARIES);
  }
  void add_pythons() {
    add_python(variable("VIRTUAL_ENV"));
    add_python(variable("CONDA_PREFIX"));
    add_python(python_root());
    if (const fs::path home = variable("HOME"); !home.empty()) add_python(home / ".local");
  }
  void add_bare() { add_file(file_); }
  std::vector<std::string> take() { return std::move(places_); }

 private:
  void add_file(const fs::path& file) { places_.push_back(file.string()); }
  void add_folder(const fs::path& folder) {
    std::error_code unreadable;
    if (!folder.empty() && fs::exists(folder / file_, unreadable)) add_file(folder / file_);
  }
  void add_toolkit(const fs::path& root) {
    if (root.empty()) return;
    for (const char* below : {"lib64", "lib", "targets/x86_64-linux/lib", "targets/sbsa-linux/lib"}) {
      add_folder(root / below);
    }
  }
  // The wheels under <root>/lib/python3.*/{site,dist}-packages.
  void add_python(const fs::path& root) {
    if (root.empty()) return;
    std::error_code unreadable;
    std::vector<fs::path> pythons;
    for (fs::directory_iterator at(root / "lib", unreadable), end; at != end; at.increment(unreadable)) {
      if (at->path().filename().string().starts_with("python3")) pythons.push_back(at->path());
    }
    std::ranges::sort(pythons, std::greater());
    for (const fs::path& python : pythons) {
      for (const char* packages : {"site-packages", "dist-packages"}) {
        for (const std::string& package : packages_) add_folder(python / packages / "nvidia" / package / "lib");
      }
    }
  }

  std::string file_;
  std::vector<std::string> packages_;
  std::vector<std::string> places_;
};

// Of a library that the program may have loaded too: then its copy.
std::vector<std::string> shared_places(const char* own, Places places) {
  if (places.add_own(own)) return places.take();
  places.add_bare();
  places.add_toolkits();
  places.add_pythons();
  return places.take();
}

}  // namespace

std::vector<std::string> nvrtc_places(int version) {
  // One package per version, and before CUDA 13 per library.
  Places places(fmt::format("libnvrtc.so.{}", version), {fmt::format("cu{}", version), "cuda_nvrtc"});
  if (places.add_own("EBMCUDA_NVRTC")) return places.take();
  places.add_toolkits();
  places.add_pythons();
  places.add_bare();
  return places.take();
}

std::vector<std::string> nccl_places() { return shared_places("EBMCUDA_NCCL", Places("libnccl.so.2", {"nccl"})); }

std::vector<std::string> cublaslt_places(int version) {
  return shared_places("EBMCUDA_CUBLASLT",
                       Places(fmt::format("libcublasLt.so.{}", version), {fmt::format("cu{}", version), "cublas"}));
}

}  // namespace ebm::cuda
