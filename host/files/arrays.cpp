#include <algorithm>
#include <array>
#include <cctype>
#include <string>
#include <utility>

#include "ebmcuda/files.hpp"
#include "host/core/check.hpp"
#include "host/files/atomic_file.hpp"
#include "host/files/csv.hpp"
#include "host/files/input_file.hpp"
#include "host/files/npy.hpp"
#include "host/files/npz.hpp"
#include "host/files/table_source.hpp"

namespace ebm {
namespace {

constexpr std::string_view kReadEndings = "the name must end in .npy, .npz, .csv or .tsv";
constexpr std::string_view kWrittenEndings = "the name must end in .npy or .csv";

enum class Format { npy, npz, csv, tsv, unknown };

Format format_of(const std::filesystem::path& path) {
  std::string ending = path.extension().string();
  std::ranges::transform(ending, ending.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (ending == ".npy") return Format::npy;
  if (ending == ".npz") return Format::npz;
  if (ending == ".tsv") return Format::tsv;
  return ending == ".csv" ? Format::csv : Format::unknown;
}

// FILE.npz:NAME is the array NAME of FILE.npz, unless a file is called so.
std::pair<std::filesystem::path, std::string> split_array_name(const std::filesystem::path& path) {
  const std::string text = path.string();
  const std::size_t colon = text.rfind(':');
  std::error_code ignored;
  if (colon == std::string::npos || std::filesystem::exists(path, ignored)) return {path, {}};
  const std::filesystem::path archive = text.substr(0, colon);
  if (format_of(archive) != Format::npz) return {path, {}};
  return {archive, text.substr(colon + 1)};
}

// Standard input has no name to tell by.
Format format_by_content(const InputFile& file) {
  std::array<char, 6> start{};
  if (file.size() < start.size()) return Format::csv;
  file.read(0, std::as_writable_bytes(std::span(start)));
  const std::string_view text(start.data(), start.size());
  if (text == "\x93NUMPY") return Format::npy;
  return text.starts_with("PK\x03\x04") || text.starts_with("PK\x05\x06") ? Format::npz : Format::csv;
}

// Opens `path` and calls read(source).
template <class Read>
Table with_source(const std::filesystem::path& path, const TableOptions& options, const Read& read) {
  const bool standard_input = path == "-";
  const auto [name, array] = standard_input ? std::pair(path, std::string()) : split_array_name(path);
  const InputFile file = standard_input ? InputFile::standard_input() : InputFile(name);
  const Format format = standard_input ? format_by_content(file) : format_of(name);
  if (format == Format::unknown) file.fail(std::string(kReadEndings));
  if (format == Format::csv || format == Format::tsv) {
    const char delimiter = options.delimiter == 0 && format == Format::tsv ? '\t' : options.delimiter;
    return read(CsvSource(file, options.header, delimiter));
  }
  require(options.header == CsvHeader::automatic, "header", options.header == CsvHeader::yes ? "yes" : "no",
          fmt::format("{} is an array, which has none", path.string()));
  require(options.delimiter == 0, "delimiter", std::string(1, options.delimiter),
          fmt::format("{} is an array, which has none", path.string()));
  if (format == Format::npy) return read(NpySource(file, [&] { return std::make_unique<FileStream>(file); }));
  const std::string member = find_npz_array(file, array);
  return read(NpySource(file, [&] { return open_npz_array(file, member); }));
}

Format output_format(const std::filesystem::path& path) {
  const Format format = format_of(path);
  require(format == Format::npy || format == Format::csv, "path", path.string(), kWrittenEndings);
  return format;
}

}  // namespace

Table read_table(const std::filesystem::path& path, const TableOptions& options) {
  return with_source(path, options, [&](const TableSource& source) { return read_table(source, options); });
}

Table read_label_table(const std::filesystem::path& path, const TableOptions& options) {
  return with_source(path, options, [&](const TableSource& source) { return read_label_table(source, options); });
}

Matrix read_matrix(const std::filesystem::path& path) {
  TableOptions options;
  options.finite = false;
  return read_table(path, options).x;
}

std::vector<int> read_labels(const std::filesystem::path& path) { return read_label_table(path).labels; }

void write_matrix(const std::filesystem::path& path, MatrixView x) {
  if (output_format(path) == Format::csv) return write_csv(path, x);
  const std::uint64_t shape[] = {x.rows, x.cols};
  write_npy(path, shape, x.values());
}

void write_vector(const std::filesystem::path& path, std::span<const float> values) {
  if (output_format(path) == Format::csv) return write_csv(path, MatrixView{values.data(), values.size(), 1});
  const std::uint64_t shape[] = {values.size()};
  write_npy(path, shape, values);
}

void write_labels(const std::filesystem::path& path, std::span<const int> labels) {
  if (output_format(path) == Format::csv) return write_csv(path, labels);
  const std::uint64_t shape[] = {labels.size()};
  write_npy(path, shape, labels);
}

void write_file(const std::filesystem::path& path, std::string_view bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

}  // namespace ebm
