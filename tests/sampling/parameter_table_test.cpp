// The table of docs/sampling.md says what the samplers' own lists say.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include "ebmcuda/sampler.hpp"

namespace ebm {
namespace {

struct Row {
  std::string_view sampler;
  std::string* table;

  template <class Value>
  void operator()(const Parameter& p, const Value& value) const {
    std::string option(p.name);
    for (char& c : option) c = c == '_' ? '-' : c;
    *table += fmt::format("| `{}` | `{}` | {} | {} | {} |\n", sampler, option, text(value), range(p, value), p.help);
  }

 private:
  template <class Number>
  static std::string text(Number value) {
    return fmt::format("{}", value);
  }
  template <class Value>
  static std::string text(const std::optional<Value>&) {
    return "unset";
  }
  template <class Value>
  static std::string range(const Parameter& p, const Value&) {
    return p.range.text().substr(sizeof("must be ") - 1);
  }
  static std::string range(const Parameter&, const std::optional<Box>&) { return "lo < hi"; }
};

TEST(SamplerParameters, AreListedInTheDocs) {
  std::string table = "| sampler | option | default | range | meaning |\n|---|---|---|---|---|\n";
#define EBM_ROWS(name, type)                             \
  {                                                      \
    const type sampler{};                                \
    type::parameters(sampler, Row{type::kName, &table}); \
  }
  EBM_SAMPLERS(EBM_ROWS)
#undef EBM_ROWS
  const Tempering tempering{};
  Tempering::parameters(tempering, Row{Tempering::kName, &table});

  std::ifstream file(EBM_SAMPLING_PAGE);
  ASSERT_TRUE(file) << EBM_SAMPLING_PAGE;
  const std::string page{std::istreambuf_iterator<char>(file), {}};
  EXPECT_NE(page.find("\n\n" + table + "\n"), std::string::npos) << "the table has to read\n" << table;
}

}  // namespace
}  // namespace ebm
