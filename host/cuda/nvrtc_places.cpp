#include "host/cuda/nvrtc_places.hpp"

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

class Places {
 public:
  explicit Places(int version) : version_(version), file_(fmt::format("libnvrtc.so.{}", version)) {}

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
  // The wheels under <root>/lib/python3.*/{site,dist}-packages: one package per version, and before CUDA 13 per
  // library.
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
        add_folder(python / packages / "nvidia" / fmt::format("cu{}", version_) / "lib");
        add_folder(python / packages / "nvidia/cuda_nvrtc/lib");
      }
    }
  }
  void add_bare() { add_file(file_); }

  std::vector<std::string> take() { return std::move(places_); }

 private:
  int version_;
  std::string file_;
  std::vector<std::string> places_;
};

// The root of the installation that the `python3` of $PATH belongs to; empty: there is none.
fs::path python_root() {
  std::istringstream path(variable("PATH").string());
  for (std::string folder; std::getline(path, folder, ':');) {
    std::error_code unreadable;
    if (!folder.empty() && fs::exists(fs::path(folder) / "python3", unreadable)) return fs::path(folder).parent_path();
  }
  return {};
}

}  // namespace

std::vector<std::string> nvrtc_places(int version) {
  Places places(version);
  if (const fs::path own = variable("EBMCUDA_NVRTC"); !own.empty()) {
    std::error_code unreadable;
    if (fs::is_directory(own, unreadable)) {
      places.add_folder(own);
    } else {
      places.add_file(own);
    }
    return places.take();
  }
  places.add_toolkit(variable("CUDA_HOME"));
  places.add_toolkit(variable("CUDA_PATH"));
  places.add_folder(EBMCUDA_TOOLKIT_LIBRARIES);
  places.add_python(variable("VIRTUAL_ENV"));
  places.add_python(variable("CONDA_PREFIX"));
  places.add_python(python_root());
  if (const fs::path home = variable("HOME"); !home.empty()) places.add_python(home / ".local");
  places.add_bare();
  return places.take();
}

}  // namespace ebm::cuda
