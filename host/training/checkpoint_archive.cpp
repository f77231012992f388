#include "host/training/checkpoint_archive.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace ebm {

bool field_text::from_text(std::string_view text, std::vector<int>& values) {
  values.clear();
  while (true) {
    const auto comma = text.find(',');
    const auto value = parse_number<int>(text.substr(0, comma));
    if (!value) return false;
    values.push_back(*value);
    if (comma == std::string_view::npos) return true;
    text.remove_prefix(comma + 1);
  }
}

CheckpointWriter::CheckpointWriter(std::filesystem::path path) : path_(std::move(path)) {
  metadata_["format"] = kCheckpointFormat;
  metadata_["version"] = *std::rbegin(kCheckpointVersions);
}

void CheckpointWriter::notes(const std::map<std::string, std::string>& notes) {
  for (const auto& [key, value] : notes) metadata_[std::string(kNotePrefix) + key] = value;
}

void CheckpointWriter::commit() { write_safetensors(path_, std::move(tensors_), metadata_); }

void CheckpointWriter::fail(const std::string& what) const {
  throw WriteError(path_.string(), "not written, because it could not be resumed: " + what);
}

CheckpointReader::CheckpointReader(InputFile file) : file_(std::move(file)) {
  const auto value = [&](const char* key) {
    const auto it = file_.metadata().find(key);
    if (it == file_.metadata().end()) return std::string();
    taken_keys_.insert(key);
    return it->second;
  };
  const std::string format = value("format"), version = value("version");
  if (format != kCheckpointFormat) {
    fail(fmt::format("__metadata__: format is {}, not '{}': no checkpoint", in_quotes(format), kCheckpointFormat));
  }
  const auto known = std::ranges::find(kCheckpointVersions, version);
  if (known == std::end(kCheckpointVersions)) {
    fail(fmt::format("__metadata__: version is {}; this library reads {}", in_quotes(version),
                     fmt::join(kCheckpointVersions, ", ")));
  }
  version_ = 1 + static_cast<int>(known - std::begin(kCheckpointVersions));
}

const std::string& CheckpointReader::take(const std::string& key) {
  const auto it = file_.metadata().find(key);
  if (it == file_.metadata().end()) fail(fmt::format("__metadata__: {} is missing", key));
  taken_keys_.insert(key);
  return it->second;
}

bool CheckpointReader::choice(const std::string& key, std::string_view no, std::string_view yes, bool) {
  const std::string& text = take(key);
  if (text != no && text != yes) {
    fail(fmt::format("__metadata__: {} is {}: must be {} or {}", key, in_quotes(text), no, yes));
  }
  return text == yes;
}

const TensorInfo& CheckpointReader::take_tensor(const std::string& name, const std::vector<std::uint64_t>& shape) {
  const TensorInfo* tensor = file_.find(name);
  if (tensor == nullptr) fail(fmt::format("tensor '{}' is missing", name));
  if (shape.empty() ? tensor->shape.size() != 1 : tensor->shape != shape) {
    file_.fail(*tensor, fmt::format("the shape is [{}]; [{}] is what belongs here", fmt::join(tensor->shape, ", "),
                                    shape.empty() ? "N" : fmt::format("{}", fmt::join(shape, ", "))));
  }
  taken_tensors_.insert(name);
  return *tensor;
}

void CheckpointReader::notes(std::map<std::string, std::string>& notes) {
  for (const auto& [key, value] : file_.metadata()) {
    if (!key.starts_with(kNotePrefix)) continue;
    notes[key.substr(kNotePrefix.size())] = value;
    taken_keys_.insert(key);
  }
}

void CheckpointReader::finish() const {
  for (const auto& [key, value] : file_.metadata()) {
    if (!taken_keys_.contains(key)) fail(fmt::format("__metadata__: unknown key {}", in_quotes(key)));
  }
  for (const TensorInfo& tensor : file_.tensors()) {
    if (!taken_tensors_.contains(tensor.name)) file_.fail(tensor, "is unknown");
  }
}

}  // namespace ebm
