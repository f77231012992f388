#include "ebmcuda/error.hpp"
#include "host/files/csv.hpp"
#include "tests/fuzz/input.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ebm;
  if (size == 0) return 0;
  // The last byte chooses among the options.
  const unsigned choice = data[size - 1];
  const InputFile file = fuzz::input(data, size - 1);
  TableOptions options;
  options.header = static_cast<CsvHeader>(choice % 3);
  options.delimiter = "\0,;\t "[choice / 3 % 5];
  options.missing = (choice & 64) != 0 ? MissingValues::drop : MissingValues::refuse;
  options.finite = (choice & 128) != 0;
  try {
    const Matrix matrix = read_table(CsvSource(file, options.header, options.delimiter), options).x;
    fuzz::check(matrix.rows() > 0 && matrix.cols() > 0 && matrix.values().size() == matrix.rows() * matrix.cols());
    fuzz::check(matrix.values().size() <= size);
  } catch (const FormatError&) {
  }
  try {
    options.map_labels = true;
    options.columns = "0";
    options.label_column = "a";
    const Table table = read_table(CsvSource(file, options.header, options.delimiter), options);
    fuzz::check(table.labels.size() == table.x.rows());
    for (const int label : table.labels) {
      fuzz::check(label >= 0 && static_cast<std::size_t>(label) < table.class_names.size());
    }
  } catch (const FormatError&) {
  } catch (const ConfigError&) {
  }
  try {
    fuzz::check(!read_csv_labels(file).empty());
  } catch (const FormatError&) {
  }
  return 0;
}
