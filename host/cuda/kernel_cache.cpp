#include "host/cuda/kernel_cache.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "host/core/fingerprint.hpp"
#include "host/files/atomic_file.hpp"

namespace ebm::cuda {
namespace {

namespace fs = std::filesystem;

std::optional<fs::path> folder() {
  if (const char* own = std::getenv("EBMCUDA_CACHE_DIR")) {
    if (*own == '\0') return {};
    return fs::path(own);
  }
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache != '\0') {
    return fs::path(cache) / "ebmcuda";
  }
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0') {
    return fs::path(home) / ".cache" / "ebmcuda";
  }
  return {};
}

fs::path file_of(const fs::path& cache, const std::string& key) {
  return cache / fmt::format("{:016x}.kernel", fingerprint(key));
}

// "ebmcuda kernel", lengths of key and code, fingerprint of the code; then both.
std::string header(const std::string& key, const std::string& code) {
  return fmt::format("ebmcuda kernel {} {} {:016x}\n", key.size(), code.size(), fingerprint(code));
}

}  // namespace

std::uint64_t fingerprint(std::string_view text) noexcept {
  Fingerprint print;
  for (const char c : text) print.add(static_cast<unsigned char>(c));
  return print.value();
}

std::optional<std::string> find_cached_kernel(const std::string& key) {
  const auto cache = folder();
  if (!cache) return {};
  std::ifstream in(file_of(*cache, key), std::ios::binary);
  if (!in) return {};
  std::ostringstream all;
  all << in.rdbuf();
  const std::string text = all.str();
  const std::size_t line = text.find('\n');
  if (line == std::string::npos || text.compare(line + 1, key.size(), key) != 0) return {};
  std::string code = text.substr(std::min(text.size(), line + 1 + key.size()));
  if (text.compare(0, line + 1, header(key, code)) != 0) return {};
  return code;
}

void store_cached_kernel(const std::string& key, const std::string& code) noexcept {
  try {
    const auto cache = folder();
    if (!cache) return;
    fs::create_directories(*cache);
    AtomicFile file(file_of(*cache, key));
    file.write(header(key, code));
    file.write(key);
    file.write(code);
    file.commit();
  } catch (const std::exception&) {
    // The kernel is in hand; only the next process pays.
  }
}

}  // namespace ebm::cuda
