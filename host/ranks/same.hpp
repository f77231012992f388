// That all ranks were given the same.
#pragma once

#include <fmt/format.h>

#include <bit>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "ebmcuda/communicator.hpp"
#include "ebmcuda/mlp.hpp"
#include "host/core/fingerprint.hpp"

namespace ebm {

// Fields by name, gathered at once: the first that differs is named.
class SameFields {
 public:
  template <class Value>
  void add(std::string field, const Value& value) {
    fields_.emplace_back(std::move(field), fmt::format("{}", value));
  }
  // Long values by their fingerprint.
  template <class T>
  void add_values(std::string field, std::span<const T> values) {
    Fingerprint print;
    print.add(values.size());
    for (const T& v : values) {
      if constexpr (std::is_same_v<T, float>) {
        print.add(std::bit_cast<std::uint32_t>(v));
      } else {
        print.add(static_cast<std::uint64_t>(v));
      }
    }
    fields_.emplace_back(std::move(field), fmt::format("fingerprint {:016x}", print.value()));
  }
  void add_shape(const MlpShape& shape);
  void add_model(const Mlp& model);

  // ConfigError on all ranks.
  void require(const Communicator& ranks) const;

 private:
  std::vector<std::pair<std::string, std::string>> fields_;
};

}  // namespace ebm
