// The disk cache of compiled kernels: it gives back what was stored under a key and nothing else, whatever happens to
// its files. Needs no device.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "host/cuda/kernel_cache.hpp"
#include "tests/files/support.hpp"

namespace {

namespace fs = std::filesystem;

using ebm::test::TemporaryDirectory;

class KernelCacheTest : public testing::Test {
 protected:
  void SetUp() override { setenv("EBMCUDA_CACHE_DIR", cache().c_str(), 1); }
  void TearDown() override { unsetenv("EBMCUDA_CACHE_DIR"); }
  std::string cache() const { return (directory_.path() / "deep" / "cache").string(); }
  fs::path only_file() const {
    fs::path found;
    for (const auto& entry : fs::directory_iterator(cache())) {
      EXPECT_TRUE(found.empty()) << "one key, one file";
      found = entry.path();
    }
    return found;
  }

  TemporaryDirectory directory_;
  const std::string key_ = "key, with a line\nand another", code_ = std::string("\177ELF\0code\n", 10);
};

TEST_F(KernelCacheTest, GivesBackWhatWasStored) {
  EXPECT_FALSE(ebm::cuda::find_cached_kernel(key_));
  ebm::cuda::store_cached_kernel(key_, code_);
  EXPECT_EQ(ebm::cuda::find_cached_kernel(key_), code_);
  ebm::cuda::store_cached_kernel(key_, code_ + "2");
  EXPECT_EQ(ebm::cuda::find_cached_kernel(key_), code_ + "2");
  EXPECT_FALSE(ebm::cuda::find_cached_kernel(key_ + " "));
}

TEST_F(KernelCacheTest, DamageIsNoticed) {
  ebm::cuda::store_cached_kernel(key_, code_);
  const fs::path file = only_file();
  std::ifstream in(file, std::ios::binary);
  const std::string whole((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  const auto write = [&](const std::string& text) {
    std::ofstream(file, std::ios::binary | std::ios::trunc)
        .write(text.data(), static_cast<std::streamsize>(text.size()));
  };
  for (std::size_t size = 0; size < whole.size(); ++size) {
    write(whole.substr(0, size));
    EXPECT_FALSE(ebm::cuda::find_cached_kernel(key_)) << size << " bytes of " << whole.size();
  }
  for (std::size_t i = 0; i < whole.size(); ++i) {
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    write(damaged);
    EXPECT_FALSE(ebm::cuda::find_cached_kernel(key_)) << "byte " << i;
  }
  write(whole + "x");
  EXPECT_FALSE(ebm::cuda::find_cached_kernel(key_));
  write(whole);
  EXPECT_EQ(ebm::cuda::find_cached_kernel(key_), code_);
}

// A file under this key's name that holds another key: what a collision of fingerprints would leave.
TEST_F(KernelCacheTest, KeysAreComparedWhole) {
  ebm::cuda::store_cached_kernel("other", code_);
  const fs::path other = only_file();
  ebm::cuda::store_cached_kernel(key_, code_);
  for (const auto& entry : fs::directory_iterator(cache())) {
    if (entry.path() != other) fs::copy_file(other, entry.path(), fs::copy_options::overwrite_existing);
  }
  EXPECT_FALSE(ebm::cuda::find_cached_kernel(key_));
}

TEST_F(KernelCacheTest, NoFolderIsNoError) {
  setenv("EBMCUDA_CACHE_DIR", "", 1);
  ebm::cuda::store_cached_kernel(key_, code_);
  EXPECT_FALSE(ebm::cuda::find_cached_kernel(key_));
  setenv("EBMCUDA_CACHE_DIR", "/dev/null/cannot", 1);
  ebm::cuda::store_cached_kernel(key_, code_);
  EXPECT_FALSE(ebm::cuda::find_cached_kernel(key_));
}

}  // namespace
