// Where libnvrtc, libnccl and libcublasLt are looked for, on a machine made of folders.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>

#include "ebmcuda/device.hpp"
#include "host/cuda/library_places.hpp"
#include "host/cuda/nvrtc.hpp"

namespace {

namespace fs = std::filesystem;
using ebm::cuda::nvrtc_places;

constexpr const char* kVariables[] = {"EBMCUDA_NVRTC", "EBMCUDA_NCCL", "EBMCUDA_CUBLASLT",
                                      "CUDA_HOME",     "CUDA_PATH",    "VIRTUAL_ENV",
                                      "CONDA_PREFIX",  "PATH",         "HOME"};

class LibraryPlacesTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::temp_directory_path() / ("ebmcuda_library_places_" + std::to_string(::getpid()));
    for (const char* name : kVariables) {
      if (const char* value = std::getenv(name)) before_[name] = value;
      unsetenv(name);
    }
  }
  void TearDown() override {
    fs::remove_all(root_);
    for (const char* name : kVariables) unsetenv(name);
    for (const auto& [name, value] : before_) setenv(name.c_str(), value.c_str(), 1);
  }
  // An empty file below the root; its path.
  std::string make(const std::string& path) const {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << "";
    return (root_ / path).string();
  }
  void set(const char* name, const std::string& below) const { setenv(name, (root_ / below).c_str(), 1); }
  // Those below the root, and the last one of all.
  std::vector<std::string> own(int version = 77) const {
    std::vector<std::string> all = nvrtc_places(version), result;
    std::ranges::copy_if(all, std::back_inserter(result),
                         [&](const std::string& place) { return place.starts_with(root_.string()); });
    result.push_back(all.back());
    return result;
  }

  fs::path root_;
  std::map<std::string, std::string> before_;
};

TEST_F(LibraryPlacesTest, EveryPlaceInOrder) {
  const std::vector<std::string> expected = {
      make("home/lib64/libnvrtc.so.77"),
      make("path/targets/x86_64-linux/lib/libnvrtc.so.77"),
      make("venv/lib/python3.11/site-packages/nvidia/cu77/lib/libnvrtc.so.77"),
      make("conda/lib/python3.12/site-packages/nvidia/cuda_nvrtc/lib/libnvrtc.so.77"),
      make("usr/lib/python3/dist-packages/nvidia/cuda_nvrtc/lib/libnvrtc.so.77"),
      make("user/.local/lib/python3.9/site-packages/nvidia/cu77/lib/libnvrtc.so.77"),
      "libnvrtc.so.77",
  };
  make("usr/bin/python3");
  make("home/lib64/libnvrtc.so.76");  // another version's
  set("CUDA_HOME", "home");
  set("CUDA_PATH", "path");
  set("VIRTUAL_ENV", "venv");
  set("CONDA_PREFIX", "conda");
  setenv("PATH", ((root_ / "empty").string() + ":" + (root_ / "usr/bin").string()).c_str(), 1);
  set("HOME", "user");
  EXPECT_EQ(own(), expected);
}

TEST_F(LibraryPlacesTest, WhereNothingIsTheBareNameIsLeft) {
  EXPECT_EQ(own(), std::vector<std::string>{"libnvrtc.so.77"});
  set("CUDA_HOME", "nowhere");
  set("VIRTUAL_ENV", "nowhere");
  EXPECT_EQ(own(), std::vector<std::string>{"libnvrtc.so.77"});
}

// A named library is meant: rejects going on to another one in silence.
TEST_F(LibraryPlacesTest, WhatIsNamedIsTheOnlyPlace) {
  const std::string file = make("mine/libnvrtc.so.77"), home = make("home/lib64/libnvrtc.so.77");
  set("CUDA_HOME", "home");
  set("EBMCUDA_NVRTC", "mine");
  EXPECT_EQ(nvrtc_places(77), std::vector<std::string>{file});
  set("EBMCUDA_NVRTC", "mine/other.so");
  EXPECT_EQ(nvrtc_places(77), std::vector<std::string>{(root_ / "mine/other.so").string()});
  set("EBMCUDA_NVRTC", "home/lib64");
  EXPECT_EQ(nvrtc_places(77), std::vector<std::string>{home});
}

// A library that the process or the dynamic linker has goes first: rejects a second copy of half a gigabyte beside that
// of a Python package, and another one than LD_LIBRARY_PATH names.
TEST_F(LibraryPlacesTest, CublasLtIsTakenFromThoseWhoHaveIt) {
  const std::string wheel = make("conda/lib/python3.12/site-packages/nvidia/cublas/lib/libcublasLt.so.77");
  set("CONDA_PREFIX", "conda");
  EXPECT_EQ(ebm::cuda::cublaslt_places(77), (std::vector<std::string>{"libcublasLt.so.77", wheel}));
  set("EBMCUDA_CUBLASLT", "conda/lib/python3.12/site-packages/nvidia/cublas/lib");
  EXPECT_EQ(ebm::cuda::cublaslt_places(77), std::vector<std::string>{wheel});
}

// A process has one NCCL: that of the program, where it has loaded one, and of the linker's path.
TEST_F(LibraryPlacesTest, NcclIsLookedForByItsBareNameFirst) {
  const std::string home = make("home/lib64/libnccl.so.2");
  const std::string wheel = make("venv/lib/python3.11/site-packages/nvidia/nccl/lib/libnccl.so.2");
  set("CUDA_HOME", "home");
  set("VIRTUAL_ENV", "venv");
  std::vector<std::string> found = ebm::cuda::nccl_places();
  EXPECT_EQ(found.front(), "libnccl.so.2");
  std::erase_if(found, [&](const std::string& place) { return !place.starts_with(root_.string()); });
  EXPECT_EQ(found, (std::vector<std::string>{home, wheel}));
  set("EBMCUDA_NCCL", "home/lib64");
  EXPECT_EQ(ebm::cuda::nccl_places(), std::vector<std::string>{home});
}

// The library's own name, from wherever it is: the folder that it was built with holds the one that is found, also
// where nothing else does.
TEST_F(LibraryPlacesTest, TheOneFoundIsNamed) {
  const auto found = ebm::cuda::Nvrtc::look();
  if (!found) GTEST_SKIP() << "no libnvrtc";
  EXPECT_TRUE(fs::exists(found->path)) << found->path;
  setenv("EBMCUDA_NVRTC", found->path.c_str(), 1);
  const auto named = ebm::cuda::Nvrtc::look();
  ASSERT_TRUE(named.has_value());
  EXPECT_EQ(named->path, found->path);
  set("EBMCUDA_NVRTC", "nowhere");
  EXPECT_FALSE(ebm::cuda::Nvrtc::look().has_value());
  // A library that is no NVRTC.
  make("mine/libnvrtc.so");
  set("EBMCUDA_NVRTC", "mine/libnvrtc.so");
  EXPECT_FALSE(ebm::cuda::Nvrtc::look().has_value());
}

TEST_F(LibraryPlacesTest, TheBuildsDescriptionNamesIt) {
  const std::vector<std::string> lines = ebm::build_description();
  EXPECT_EQ(std::ranges::count_if(lines, [](const std::string& l) { return l.starts_with("run-time compiler "); }), 1);
}

}  // namespace
