#include "host/files/csv.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <string>

#include "host/core/check.hpp"
#include "host/files/atomic_file.hpp"
#include "host/files/text.hpp"

namespace ebm {
namespace {

constexpr std::size_t kLongestCell = 65536;
constexpr std::size_t kRowsLookedAt = 10;  // below the first, to tell a header
constexpr int kEnd = -1;

std::string_view trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

// The file, byte by byte.
class Characters {
 public:
  Characters(const InputFile& file, std::uint64_t at)
      : file_(file), at_(at), buffer_(static_cast<std::size_t>(std::min<std::uint64_t>(65536, file.size()))) {}
  int peek() {
    if (next_ == filled_ && !fill()) return kEnd;
    return static_cast<unsigned char>(buffer_[next_]);
  }
  int get() {
    const int c = peek();
    if (c != kEnd) ++next_;
    return c;
  }

 private:
  bool fill() {
    const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(buffer_.size(), file_.size() - at_));
    if (n == 0) return false;
    file_.read(at_, std::as_writable_bytes(std::span(buffer_).first(n)));
    at_ += n;
    next_ = 0;
    filled_ = n;
    return true;
  }
  const InputFile& file_;
  std::uint64_t at_;
  std::size_t next_ = 0, filled_ = 0;
  std::vector<char> buffer_;
};

// Records: lines, but for line ends within quotes.
class Scanner {
 public:
  Scanner(const InputFile& file, std::uint64_t begin, char delimiter)
      : file_(file), in_(file, begin), delimiter_(delimiter) {}

  std::size_t line() const noexcept { return record_line_; }  // of the record's begin, from 1
  std::size_t cells() const noexcept { return cells_; }
  std::size_t comments() const noexcept { return comments_; }

  // One record: use(column, text, quoted) for every cell, text without spaces around it. Before it blank(line) for
  // every empty line that stands between it and the record before. False at the end of the file.
  template <class Use, class Blank>
  bool next(const Use& use, const Blank& blank) {
    std::size_t first_blank = 0, blanks = 0;
    for (;;) {
      record_line_ = line_;
      cells_ = 0;
      End end = cell();
      if (end == End::comment) {
        ++comments_;
        continue;
      }
      const bool empty = !quoted_ && trimmed(text_).empty() && end != End::cell;
      if (empty && end == End::file) return false;
      if (empty) {
        // Lines between comments and before the first record are not rows.
        if (records_ > 0 && blanks++ == 0) first_blank = record_line_;
        continue;
      }
      for (std::size_t i = 0; i < blanks; ++i) blank(first_blank + i);
      ++records_;
      while (true) {
        use(cells_, quoted_ ? std::string_view(text_) : trimmed(text_), quoted_);
        ++cells_;
        if (end != End::cell || (delimiter_ == ' ' && only_line_end_follows())) return true;
        end = cell();
      }
    }
  }

 private:
  enum class End { cell, record, file, comment };

  [[noreturn]] void fail(const std::string& what) const {
    file_.fail(fmt::format("line {}, column {}: {}", record_line_, cells_, what));
  }
  static bool is_line_end(int c) { return c == '\n' || c == '\r'; }
  bool is_blank(int c) const { return (c == ' ' || c == '\t') && c != delimiter_; }
  // After a line end's first byte.
  void finish_line(int c) {
    if (c == '\r' && in_.peek() == '\n') in_.get();
    ++line_;
  }
  // Runs of blanks separate: those at a line's end do not.
  bool only_line_end_follows() {
    while (in_.peek() == ' ' || in_.peek() == '\t') in_.get();
    const int c = in_.peek();
    if (c != kEnd && !is_line_end(c)) return false;
    if (c != kEnd) finish_line(in_.get());
    return true;
  }
  void put(int c) {
    if (text_.size() == kLongestCell) fail(fmt::format("a cell of more than {} bytes", kLongestCell));
    text_ += static_cast<char>(c);
  }

  End cell() {
    text_.clear();
    quoted_ = false;
    if (delimiter_ == ' ') {
      while (in_.peek() == ' ' || in_.peek() == '\t') in_.get();
    }
    bool only_blanks = true, closed = false;
    for (;;) {
      const int c = in_.get();
      if (c == kEnd) return End::file;
      if (is_line_end(c)) {
        finish_line(c);
        return End::record;
      }
      if (c == delimiter_ || (delimiter_ == ' ' && c == '\t')) return End::cell;
      if (closed) {
        if (!is_blank(c)) fail("there is text after the closing quotation mark");
        continue;
      }
      if (c == '"' && only_blanks) {
        quote();
        closed = true;
        continue;
      }
      if (c == '#' && only_blanks && cells_ == 0 && !is_marker()) return skip_comment();
      only_blanks = only_blanks && is_blank(c);
      put(c);
    }
  }
  // A spreadsheet's #N/A is a missing value.
  bool is_marker() { return in_.peek() == 'N'; }
  End skip_comment() {
    for (;;) {
      const int c = in_.get();
      if (c == kEnd) return End::comment;
      if (!is_line_end(c)) continue;
      finish_line(c);
      return End::comment;
    }
  }
  void quote() {
    text_.clear();
    quoted_ = true;
    for (;;) {
      const int c = in_.get();
      if (c == kEnd) fail("a quotation mark is opened and never closed");
      if (c == '"') {
        if (in_.peek() != '"') return;
        in_.get();
      }
      if (c == '\n' || (c == '\r' && in_.peek() != '\n')) ++line_;
      put(c);
    }
  }

  const InputFile& file_;
  Characters in_;
  char delimiter_;
  std::string text_;
  bool quoted_ = false;
  std::size_t line_ = 1, record_line_ = 1, cells_ = 0, records_ = 0, comments_ = 0;
};

constexpr std::string_view kMissing[] = {"", "NA", "N/A", "n/a", "#N/A", "<NA>", "null", "NULL", "Null", "None", "?"};

// from_chars calls a number too small for its type out of range; such a number is 0 or denormal, not an error.
std::optional<double> parse_double(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (end != text.data() + text.size() || error == std::errc::invalid_argument) return std::nullopt;
  if (error == std::errc{}) return value;
  return std::strtod(std::string(text).c_str(), nullptr);  // 0, denormal or infinite
}

// The float nearest to `text`, which reads as the double `value`. Rounding twice differs from rounding once only where
// the double lies halfway between two floats, or where floats are denormal.
float narrowed(std::string_view text, double value) {
  constexpr std::uint64_t kBelowFloat = (std::uint64_t{1} << 29) - 1, kHalf = std::uint64_t{1} << 28;
  const bool halfway = (std::bit_cast<std::uint64_t>(value) & kBelowFloat) == kHalf;
  if (halfway || std::abs(value) < static_cast<double>(std::numeric_limits<float>::min())) {
    if (const auto direct = parse_number<float>(text)) return *direct;
  }
  return static_cast<float>(value);
}

Cell cell_of(std::string_view text) {
  Cell cell;
  cell.text = text;
  std::string_view number = trimmed(text);
  if (std::ranges::find(kMissing, number) != std::end(kMissing)) {
    cell.kind = Cell::Kind::missing;
    return cell;
  }
  if (number.starts_with('+') && !number.starts_with("+-")) number.remove_prefix(1);
  const auto value = parse_double(number);
  // What is written without "inf" and reads as infinite is a number no double holds.
  if (!value || (std::isinf(*value) && number.find_first_of("nN") == std::string_view::npos)) {
    cell.kind = Cell::Kind::text;
    return cell;
  }
  cell.value = *value;
  cell.narrow = narrowed(number, *value);
  return cell;
}

// A whole number, written in full, that a double rounds: the difference between two such would be lost unseen.
bool is_rounded_integer(std::string_view text, double value) {
  if (std::abs(value) < 0x1p53) return false;
  const auto whole = parse_number<std::int64_t>(trimmed(text));
  return whole && (std::abs(value) >= 0x1p63 || static_cast<std::int64_t>(value) != *whole);
}

// What the first row holds in a column, or those below it do.
struct Kinds {
  bool number = false, text = false, whole = false;
};

bool is_whole(const Cell& cell) {
  return std::trunc(cell.value) == cell.value && cell.text.find_first_of(".eE") == std::string_view::npos;
}

// Of the delimiters that give the last two of the first three records the same number of cells, the one with most
// numbers in the last; "," when none separates anything. (The first may be a header of another width.)
char find_delimiter(const InputFile& file, std::uint64_t begin) {
  char best = ',';
  std::size_t most_numbers = 0;
  bool found = false;
  for (const char candidate : {',', ';', '\t'}) {
    Scanner scanner(file, begin, candidate);
    std::size_t numbers = 0, cells = 0;
    bool same = true;
    try {
      for (int record = 0; record < 3; ++record) {
        std::size_t numbers_here = 0;
        const auto count = [&](std::size_t, std::string_view text, bool) {
          numbers_here += cell_of(text).kind == Cell::Kind::number ? 1 : 0;
        };
        if (!scanner.next(count, [](std::size_t) {})) break;
        same = record == 0 || scanner.cells() == cells;
        cells = scanner.cells();
        numbers = numbers_here;
      }
    } catch (const FormatError&) {
      continue;  // a quotation mark out of place: not this delimiter, or the rows will say it
    }
    if (!same || cells < 2 || (found && numbers <= most_numbers)) continue;
    best = candidate;
    most_numbers = numbers;
    found = true;
  }
  return best;
}

}  // namespace

CsvSource::CsvSource(const InputFile& file, CsvHeader header, char delimiter) : TableSource(file) {
  std::array<char, 3> mark{};
  if (file.size() >= 2) {
    const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(3, file.size()));
    file.read(0, std::as_writable_bytes(std::span(mark).first(n)));
    const std::string_view start(mark.data(), n);
    if (start.starts_with("\xFF\xFE") || start.starts_with("\xFE\xFF")) {
      file.fail("byte 0: is UTF-16; UTF-8 is read (iconv -f UTF-16 -t UTF-8)");
    }
    if (start == "\xEF\xBB\xBF") begin_ = 3;
  }
  require(delimiter == 0 || delimiter == ',' || delimiter == ';' || delimiter == '\t' || delimiter == ' ', "delimiter",
          static_cast<int>(delimiter), "must be , ; tab or space");
  delimiter_ = delimiter != 0 ? delimiter : find_delimiter(file, begin_);
  look_at_first_rows(header);
  count_rows();
}

void CsvSource::look_at_first_rows(CsvHeader header) {
  Scanner scanner(file_, begin_, delimiter_);
  std::vector<Kinds> first;
  std::size_t width_below = 0, rows = 0;
  bool counts_up = true, counts_up_from_second = true;
  const auto nothing = [](std::size_t) {};
  const auto look_at_first = [&](std::size_t column, std::string_view text, bool) {
    const Cell cell = cell_of(text);
    const bool number = cell.kind == Cell::Kind::number;
    first.push_back({number, cell.kind == Cell::Kind::text, number && is_whole(cell)});
    const auto position = static_cast<double>(column);
    counts_up = counts_up && number && cell.value == position;
    counts_up_from_second =
        counts_up_from_second && (column == 0 ? text.empty() : number && cell.value == position - 1);
  };
  if (!scanner.next(look_at_first, nothing)) return;
  const std::size_t first_line = scanner.line();
  cols_ = first.size();
  std::vector<Kinds> below(cols_);
  std::vector<bool> fraction(cols_, true);  // in every row below
  const auto look_below = [&](std::size_t column, std::string_view text, bool) {
    if (column >= cols_) return;
    const Cell cell = cell_of(text);
    const bool number = cell.kind == Cell::Kind::number;
    below[column].number |= number;
    below[column].text |= cell.kind == Cell::Kind::text;
    if (!number || is_whole(cell)) fraction[column] = false;
  };
  for (; rows < kRowsLookedAt && scanner.next(look_below, nothing); ++rows) {
    if (rows == 0) width_below = scanner.cells();
  }
  const bool other_width = rows > 0 && width_below != cols_;
  std::size_t fractions_everywhere = 0;
  bool any_text = false, any_number = false, all_whole = true, text_over_number = false, numbers_below = false;
  for (std::size_t c = 0; c < cols_; ++c) {
    any_text |= first[c].text;
    any_number |= first[c].number;
    if (first[c].number && !first[c].whole) all_whole = false;
    text_over_number |= first[c].text && below[c].number && !below[c].text;
    numbers_below |= below[c].number;
    if (rows > 0 && fraction[c]) ++fractions_everywhere;
  }
  const auto remark = [&](const std::string& what) { remarks_.push_back(fmt::format("line {} {}", first_line, what)); };
  const char* as_data = "(header = yes if it holds names, header = no to say that it does not)";
  const char* as_names = "(header = no if it is a row, header = yes to say that it is not)";
  bool named = header == CsvHeader::yes;
  if (header == CsvHeader::automatic) {
    if (any_text && other_width) {
      named = true;
    } else if (text_over_number) {
      named = true;
      if (any_number) remark(fmt::format("is taken for a header though some of its cells are numbers {}", as_names));
    } else if (any_text && !any_number) {
      named = true;
      if (rows > 0 && !numbers_below)
        remark(fmt::format("is taken for a header though the rows below are text too {}", as_names));
    } else if (!any_text && cols_ >= 2 && counts_up_from_second) {
      named = true;
      remark(
          "is taken for a header: nothing, 0, 1, ... as tables with row numbers have it; column 0 has no name and may "
          "hold row numbers (columns = 1: leaves it out)");
    } else if (any_number && all_whole && rows > 0 && 2 * fractions_everywhere > cols_) {
      remark(fmt::format("is read as a row of data, but holds whole numbers over others {}", as_data));
    } else if (cols_ >= 2 && counts_up && rows > 0) {
      remark(fmt::format("is read as a row of data, but counts 0 .. {} as a header does {}", cols_ - 1, as_data));
    }
  }
  has_header_ = named;
  names_usable_ = named && !other_width;
  if (named && other_width) {
    remark(fmt::format("is a header of {} cells over rows of {}: its names can't be used", cols_, width_below));
  }
}

void CsvSource::count_rows() {
  Scanner scanner(file_, begin_, delimiter_);
  const auto ignore = [](std::size_t, std::string_view, bool) {};
  const auto nothing = [](std::size_t) {};
  std::size_t comments_above = 0;
  if (has_header_) scanner.next(ignore, nothing);
  std::size_t width = 0;
  while (scanner.next(ignore, [&](std::size_t) { rows_ += width > 0 ? 1 : 0; })) {
    if (width == 0) {
      width = scanner.cells();
      comments_above = scanner.comments();
    }
    if (scanner.cells() != width) {
      file_.fail(fmt::format("line {} has {} columns; the lines before it have {}{}", scanner.line(), scanner.cells(),
                             width, rows_ == 1 && !has_header_ ? " (header = yes if the first holds names)" : ""));
    }
    ++rows_;
  }
  cols_ = width;
  if (rows_ == 0) file_.fail("holds no rows of numbers");
  if (const std::size_t among = scanner.comments() - comments_above; among > 0) {
    remarks_.push_back(fmt::format("{} line{} among the rows begin{} with # and {} skipped as comments", among,
                                   among == 1 ? "" : "s", among == 1 ? "s" : "", among == 1 ? "was" : "were"));
  }
}

std::vector<std::size_t> CsvSource::columns_named(std::string_view name) const {
  std::vector<std::size_t> found;
  if (!names_usable_) return found;
  Scanner scanner(file_, begin_, delimiter_);
  scanner.next(
      [&](std::size_t column, std::string_view text, bool) {
        if (text == name && found.size() < 2) found.push_back(column);
      },
      [](std::size_t) {});
  return found;
}

std::string CsvSource::about_names() const {
  if (!has_header_) return "the file has no header, so columns go by number";
  if (!names_usable_) return "its header does not fit the rows, so columns go by number";
  constexpr std::size_t kShown = 12;
  std::string names = "the header names";
  Scanner scanner(file_, begin_, delimiter_);
  scanner.next(
      [&](std::size_t column, std::string_view text, bool) {
        if (column < kShown) names += (column > 0 ? ", " : " ") + in_quotes(text);
        if (column == kShown) names += ", ...";
      },
      [](std::size_t) {});
  return names;
}

std::string CsvSource::column_text(std::size_t wanted) const {
  std::string result = std::to_string(wanted);
  if (!names_usable_) return result;
  Scanner scanner(file_, begin_, delimiter_);
  scanner.next(
      [&](std::size_t column, std::string_view text, bool) {
        if (column == wanted && !text.empty()) result += " (" + in_quotes(text) + ")";
      },
      [](std::size_t) {});
  return result;
}

std::string CsvSource::place(std::size_t, std::size_t column) const {
  return fmt::format("line {}, column {}", line_, column_text(column));
}

void CsvSource::read(std::span<const std::size_t> columns, CellSink& sink) const {
  constexpr auto kUnread = std::numeric_limits<std::uint32_t>::max();
  std::vector<std::uint32_t> slots(cols_, kUnread);
  for (std::size_t slot = 0; slot < columns.size(); ++slot) slots[columns[slot]] = static_cast<std::uint32_t>(slot);
  Scanner scanner(file_, begin_, delimiter_);
  if (has_header_) scanner.next([](std::size_t, std::string_view, bool) {}, [](std::size_t) {});
  std::size_t row = 0;
  const auto take = [&](std::size_t column, std::string_view text, bool) {
    if (column >= slots.size() || slots[column] == kUnread) return;
    line_ = scanner.line();
    const Cell cell = cell_of(text);
    if (cell.kind == Cell::Kind::number && is_rounded_integer(text, cell.value)) {
      file_.fail(fmt::format("{}: {} is a whole number beyond 2^53, which would be rounded; subtract an offset first",
                             place(row, column), in_quotes(text)));
    }
    sink.take(row, slots[column], cell);
  };
  const auto blank = [&](std::size_t line) {
    if (row == 0) return;
    line_ = line;
    Cell cell;
    cell.kind = Cell::Kind::missing;
    for (std::size_t slot = 0; slot < columns.size(); ++slot) sink.take(row, slot, cell);
    ++row;
  };
  while (row < rows_ && scanner.next(take, blank)) {
    if (scanner.cells() != cols_) file_.fail(fmt::format("line {} changed while it was read", scanner.line()));
    ++row;
  }
  if (row != rows_) file_.fail("became shorter while it was read");
}

Matrix read_csv_matrix(const InputFile& file) {
  TableOptions options;
  options.finite = false;
  return read_table(CsvSource(file, options.header, options.delimiter), options).x;
}

std::vector<int> read_csv_labels(const InputFile& file) {
  return read_label_table(CsvSource(file, CsvHeader::automatic, 0), {}).labels;
}

void write_csv(const std::filesystem::path& path, MatrixView x) {
  AtomicFile file(path);
  fmt::memory_buffer line;
  for (std::size_t i = 0; i < x.rows; ++i) {
    line.clear();
    fmt::format_to(std::back_inserter(line), "{}\n", fmt::join(x.row(i), ","));
    file.write(std::string_view(line.data(), line.size()));
  }
  file.commit();
}

void write_csv(const std::filesystem::path& path, std::span<const int> column) {
  AtomicFile file(path);
  file.write(fmt::format("{}\n", fmt::join(column, "\n")));
  file.commit();
}

}  // namespace ebm
