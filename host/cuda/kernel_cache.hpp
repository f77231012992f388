// Compiled kernels on disk; see runtime_compiler.hpp for where.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ebm::cuda {

// The code that was stored under exactly this key, whole.
std::optional<std::string> find_cached_kernel(const std::string& key);
// Never throws: a cache that cannot be written is a cache that is not there.
void store_cached_kernel(const std::string& key, const std::string& code) noexcept;

// Of the bytes (host/core/fingerprint.hpp): names files and notices damage; keys are compared whole.
std::uint64_t fingerprint(std::string_view text) noexcept;

}  // namespace ebm::cuda
