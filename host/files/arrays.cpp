#include <algorithm>
#include <cctype>
#include <string>

#include "ebmcuda/files.hpp"
#include "host/core/check.hpp"
#include "host/files/atomic_file.hpp"
#include "host/files/csv.hpp"
#include "host/files/input_file.hpp"
#include "host/files/npy.hpp"

namespace ebm {
namespace {

constexpr std::string_view kEndings = "the name must end in .npy or .csv";

enum class Format { npy, csv, unknown };

Format format_of(const std::filesystem::path& path) {
  std::string ending = path.extension().string();
  std::ranges::transform(ending, ending.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (ending == ".npy") return Format::npy;
  return ending == ".csv" ? Format::csv : Format::unknown;
}

Format output_format(const std::filesystem::path& path) {
  const Format format = format_of(path);
  require(format != Format::unknown, "path", path.string(), kEndings);
  return format;
}

}  // namespace

Matrix read_matrix(const std::filesystem::path& path) {
  const InputFile file(path);
  const Format format = format_of(path);
  if (format == Format::unknown) file.fail(std::string(kEndings));
  return format == Format::npy ? read_npy_matrix(file) : read_csv_matrix(file);
}

std::vector<int> read_labels(const std::filesystem::path& path) {
  const InputFile file(path);
  const Format format = format_of(path);
  if (format == Format::unknown) file.fail(std::string(kEndings));
  return format == Format::npy ? read_npy_labels(file) : read_csv_labels(file);
}

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
