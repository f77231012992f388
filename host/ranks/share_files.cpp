// Files that ranks write together.
#include <algorithm>
#include <numeric>
#include <optional>

#include "ebmcuda/files.hpp"
#include "ebmcuda/share.hpp"
#include "host/core/check.hpp"
#include "host/files/atomic_file.hpp"
#include "host/files/npy_header.hpp"
#include "host/ranks/shares.hpp"

namespace ebm {
namespace {

// The places of this rank's rows among everybody's.
struct Rows {
  std::uint64_t before = 0, all = 0;
};

Rows place_rows(std::uint64_t mine, const Communicator& ranks) {
  const std::vector<std::uint64_t> counts = ranks.gather_value("rows", mine);
  const auto own = counts.begin() + ranks.rank();
  return {std::accumulate(counts.begin(), own, std::uint64_t{0}),
          std::accumulate(counts.begin(), counts.end(), std::uint64_t{0})};
}

// `blocks` hold this rank's rows of `row_bytes` each.
void write_npy_share(const std::filesystem::path& path, std::span<const std::uint64_t> shape,
                     std::span<const std::span<const float>> blocks, std::uint64_t row_bytes, Rows rows,
                     const Communicator& ranks) {
  const std::string header = make_npy_header("<f4", shape);
  std::optional<AtomicFile> file;
  std::string temporary;
  ranks.on_first("the file is begun", [&] {
    file.emplace(path);
    file->write(header);
    file->resize(header.size() + blocks.size() * rows.all * row_bytes);
    temporary = file->temporary();
  });
  temporary = ranks.gather_text("the file's name", temporary).front();
  std::optional<AtomicFilePart> part;
  if (!file) part.emplace(temporary, path.string());
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    const std::uint64_t at = header.size() + (b * rows.all + rows.before) * row_bytes;
    const auto bytes = std::as_bytes(blocks[b]);
    file ? file->write_at(at, bytes) : part->write_at(at, bytes);
  }
  if (part) part->sync();
  ranks.barrier("the file is filled");
  ranks.on_first("the file is put in place", [&] { file->commit(); });
}

bool is_csv(const std::filesystem::path& path) { return path.extension() == ".csv"; }

}  // namespace

RowShare row_share(std::uint64_t rows, const Communicator& ranks) {
  const Share share = share_of(rows, ranks.rank(), ranks.size());
  return {share.first, share.count};
}

Matrix gather_rows(const Matrix& share, const Communicator& ranks) {
  std::vector<std::vector<float>> parts(static_cast<std::size_t>(ranks.size()));
  ranks.exchange("rows to rank 0", std::as_bytes(share.values()), 0, [&](int from, std::size_t bytes) {
    auto& part = parts[static_cast<std::size_t>(from)];
    part.resize(bytes / sizeof(float));
    return std::as_writable_bytes(std::span(part));
  });
  if (!ranks.first()) return {};
  std::vector<float> all;
  for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
  const std::size_t rows = share.cols() == 0 ? 0 : all.size() / share.cols();
  return Matrix(rows, share.cols(), std::move(all));
}

void write_matrix_share(const std::filesystem::path& path, std::span<const Matrix> blocks, const Communicator& ranks) {
  require(!blocks.empty(), "blocks", "0", "must hold at least one matrix");
  const std::size_t mine = blocks.front().rows(), cols = blocks.front().cols();
  for (const Matrix& block : blocks) {
    require(block.rows() == mine && block.cols() == cols, "blocks", fmt::format("{} x {}", block.rows(), block.cols()),
            fmt::format("all must have the shape of the first, {} x {}", mine, cols));
  }
  if (is_csv(path) || (ranks.size() == 1 && blocks.size() == 1)) {
    std::vector<float> all;
    for (const Matrix& block : blocks) {
      const Matrix rows = gather_rows(block, ranks);
      all.insert(all.end(), rows.values().begin(), rows.values().end());
    }
    return ranks.on_first("the file is written", [&] {
      write_matrix(path, MatrixView{all.data(), all.size() / cols, cols});
    });
  }
  const Rows rows = place_rows(mine, ranks);
  const std::uint64_t shape[] = {blocks.size() * rows.all, cols};
  std::vector<std::span<const float>> values;
  for (const Matrix& block : blocks) values.push_back(block.values());
  write_npy_share(path, shape, values, cols * sizeof(float), rows, ranks);
}

void write_vector_share(const std::filesystem::path& path, std::span<const float> values, const Communicator& ranks) {
  if (is_csv(path) || ranks.size() == 1) {
    const Matrix all = gather_rows(Matrix(values.size(), 1, {values.begin(), values.end()}), ranks);
    return ranks.on_first("the file is written", [&] { write_vector(path, all.values()); });
  }
  const Rows rows = place_rows(values.size(), ranks);
  const std::uint64_t shape[] = {rows.all};
  const std::span<const float> block[] = {values};
  write_npy_share(path, shape, block, sizeof(float), rows, ranks);
}

}  // namespace ebm
