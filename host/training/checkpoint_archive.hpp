// The two directions of a checkpoint's fields: numbers and names are metadata strings, arrays are tensors. Both classes
// have the same members, so that one visit of a struct serves both.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "ebmcuda/error.hpp"
#include "ebmcuda/trainer.hpp"
#include "host/files/safetensors.hpp"
#include "host/files/text.hpp"
#include "host/training/checkpoint.hpp"

namespace ebm {

constexpr std::string_view kCheckpointFormat = "ebmcuda checkpoint";
// 1: until version 0.1 of the library, without divergence policies; 2: without data_noise. All are read; the last is
// written.
constexpr std::string_view kCheckpointVersions[] = {"1", "2", "3", "4"};
constexpr std::string_view kUnset = "unset";  // an option without a value
constexpr std::string_view kNotePrefix = "note.";

// Field values as text and back; the text of a float is the shortest that reads back to the same bits.
namespace field_text {

template <class Number>
requires std::is_arithmetic_v<Number> std::string to_text(Number value) { return fmt::format("{}", value); }
template <class Enum>
requires std::is_enum_v<Enum> std::string to_text(Enum value) { return std::string(to_string(value)); }
inline std::string to_text(const std::string& text) { return text; }
inline std::string to_text(const std::vector<int>& values) { return fmt::format("{}", fmt::join(values, ",")); }
template <class Value>
std::string to_text(const std::optional<Value>& value) {
  return value ? to_text(*value) : std::string(kUnset);
}

// These return false for a text that is no value of the field. Names throw ConfigError with the names allowed.
template <class Number>
requires std::is_arithmetic_v<Number>
bool from_text(std::string_view text, Number& value) {
  const auto number = parse_number<Number>(text);
  if (number) value = *number;
  return number.has_value();
}
inline bool from_text(std::string_view text, Activation& value) {
  value = parse_activation(text);
  return true;
}
inline bool from_text(std::string_view text, Head& value) {
  value = parse_head(text);
  return true;
}
inline bool from_text(std::string_view text, SamplerKind& value) {
  value = parse_sampler_kind(text);
  return true;
}
inline bool from_text(std::string_view text, ChainStart& value) {
  value = parse_chain_start(text);
  return true;
}
inline bool from_text(std::string_view text, BufferStart& value) {
  value = parse_buffer_start(text);
  return true;
}
inline bool from_text(std::string_view text, TransformKind& value) {
  value = parse_transform_kind(text);
  return true;
}
inline bool from_text(std::string_view text, KeptModel& value) {
  value = parse_kept_model(text);
  return true;
}
inline bool from_text(std::string_view text, LearningRateDecay& value) {
  value = parse_learning_rate_decay(text);
  return true;
}
inline bool from_text(std::string_view text, OnDivergence& value) {
  value = parse_on_divergence(text);
  return true;
}
inline bool from_text(std::string_view text, std::string& value) {
  value = text;
  return true;
}
bool from_text(std::string_view text, std::vector<int>& values);
template <class Value>
bool from_text(std::string_view text, std::optional<Value>& value) {
  value.reset();
  return text == kUnset || from_text(text, value.emplace());
}

}  // namespace field_text

class CheckpointWriter {
 public:
  static constexpr bool kReads = false;
  explicit CheckpointWriter(std::filesystem::path path);

  // Whether the file's version has the fields that came with `version`.
  bool since(int) const { return true; }

  template <class Value>
  void operator()(const std::string& key, const Value& value) {
    metadata_[key] = field_text::to_text(value);
  }
  bool flag(const std::string& key, bool value) { return choice(key, "no", "yes", value); }
  bool choice(const std::string& key, std::string_view no, std::string_view yes, bool value) {
    metadata_[key] = value ? yes : no;
    return value;
  }
  // `shape` defaults to one axis. The values must outlive commit().
  template <class Number>
  void tensor(const std::string& name, const std::vector<Number>& values, std::vector<std::uint64_t> shape = {}) {
    if (shape.empty()) shape = {values.size()};
    tensors_.push_back(TensorData::of(name, std::move(shape), std::span<const Number>(values)));
  }
  void notes(const std::map<std::string, std::string>& notes);
  void commit();
  [[noreturn]] void fail(const std::string& what) const;

 private:
  std::filesystem::path path_;
  std::map<std::string, std::string> metadata_;
  std::vector<TensorData> tensors_;
};

class CheckpointReader {
 public:
  static constexpr bool kReads = true;
  // Throws FormatError when the file is no checkpoint.
  explicit CheckpointReader(InputFile file);

  bool since(int version) const { return version_ >= version; }

  template <class Value>
  void operator()(const std::string& key, Value& value) {
    const std::string& text = take(key);
    try {
      if (field_text::from_text(text, value)) return;
    } catch (const ConfigError& error) {
      fail(fmt::format("__metadata__: {} is {}: {}", key, in_quotes(text), error.allowed()));
    }
    fail(fmt::format("__metadata__: {} is {}, which is no value of that field", key, in_quotes(text)));
  }
  // Whether the file has the key: for what older checkpoints lack.
  bool has(const std::string& key) const { return file_.metadata().contains(key); }
  bool flag(const std::string& key, bool) { return choice(key, "no", "yes", false); }
  bool choice(const std::string& key, std::string_view no, std::string_view yes, bool);
  // An empty `shape` allows one axis of any length.
  template <class Number>
  void tensor(const std::string& name, std::vector<Number>& values, const std::vector<std::uint64_t>& shape = {}) {
    values = file_.read<Number>(take_tensor(name, shape));
  }
  void notes(std::map<std::string, std::string>& notes);
  // Throws FormatError when the file holds a key or tensor that nobody asked for.
  void finish() const;
  [[noreturn]] void fail(const std::string& what) const { file_.fail(what); }

 private:
  const std::string& take(const std::string& key);
  const TensorInfo& take_tensor(const std::string& name, const std::vector<std::uint64_t>& shape);

  SafetensorsReader file_;
  int version_ = 0;
  std::set<std::string> taken_keys_, taken_tensors_;
};

}  // namespace ebm
