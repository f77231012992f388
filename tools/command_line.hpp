// One command's options. CLI11 stays behind this: its headers would cost seconds in every file that saw them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "ebmcuda/error.hpp"
#include "ebmcuda/sampler.hpp"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace ebm::tools {

// Every value arrives as text and is parsed here, so that all messages read alike ("--steps = 1.5: must be a whole
// number") and command line and --config take one path. Each throws ConfigError that names `option`.
void parse(std::string_view option, const std::string& text, std::int64_t& value);  // 1e5 is whole too
void parse(std::string_view option, const std::string& text, std::uint64_t& value);
void parse(std::string_view option, const std::string& text, int& value);
void parse(std::string_view option, const std::string& text, float& value);
void parse(std::string_view option, const std::string& text, double& value);
void parse(std::string_view option, const std::string& text, std::string& value);            // not empty
void parse(std::string_view option, const std::string& text, std::filesystem::path& value);  // not empty
void parse(std::string_view option, const std::string& text, std::vector<int>& value);       // "128,128"
void parse(std::string_view option, const std::string& text, std::vector<double>& value);    // "1.5,-2e3"
void parse(std::string_view option, const std::string& text, std::vector<float>& value);     // "1,0.5"
void parse(std::string_view option, const std::string& text, Box& value);                    // "LO,HI"
template <class Value>
void parse(std::string_view option, const std::string& text, std::optional<Value>& value) {
  parse(option, text, value.emplace());
}

// Calls use(i) for text == names[i]; ConfigError that lists the names else.
void parse_choice(std::string_view option, const std::string& text, std::span<const std::string_view> names,
                  const std::function<void(std::size_t)>& use);

// The values that a numeric option may take, ends included, as its messages say them.
template <class Value>
struct Between {
  Value lo, hi;
};

// What is wrong with a request where no single field and value says it (exit 2): an unknown option, one that is
// missing.
class WrongRequest : public Error {
 public:
  using Error::Error;
};

class CommandLine {
 public:
  // `help` leads the command's --help: examples, then what it does.
  CommandLine(CLI::App& ebm, const std::string& name, const std::string& summary, const std::string& help);

  // Options added from here on stand under this heading.
  void group(const std::string& heading) { group_ = heading; }

  // An option such as "--steps", or a positional such as "DATA". `value` must outlive the command line.
  template <class Value>
  void add(const std::string& name, Value& value, const std::string& type, const std::string& help) {
    add_text(
        name, [name, &value](const std::string& text) { parse(name, text, value); }, type, help);
  }
  // As above, for a number within a range that every refusal names.
  template <class Value, class Limit>
  void add(const std::string& name, Value& value, Between<Limit> range, const std::string& type,
           const std::string& help) {
    add_text(
        name,
        [name, range, &value](const std::string& text) {
          Limit number{};
          bool good = true;
          try {
            parse(name, text, number);
          } catch (const ConfigError&) {
            good = false;
          }
          if (!good || !(number >= range.lo && number <= range.hi)) {
            using Shown = std::conditional_t<std::is_integral_v<Limit>, std::int64_t, double>;
            refuse_range(name, text, static_cast<Shown>(range.lo), static_cast<Shown>(range.hi));
          }
          value = number;
        },
        type, help);
  }
  // One of a few words.
  void add_words(const std::string& name, std::initializer_list<std::string_view> names,
                 const std::function<void(std::size_t)>& use, const std::string& type, const std::string& help) {
    add_text(
        name,
        [name, words = std::vector<std::string_view>(names), use](const std::string& text) {
          parse_choice(name, text, words, use);
        },
        type, help);
  }
  // An enumerator by its name: parse_name(text, name) throws ConfigError that lists the names.
  template <class Value, class ParseName>
  void add_choice(const std::string& name, Value& value, ParseName parse_name, const std::string& help) {
    add_text(
        name, [=, &value](const std::string& text) { value = parse_name(text, name); }, "NAME", help);
  }
  void add_flag(const std::string& names, bool& value, const std::string& help);
  // A flag with its opposite, "--baselines,!--no-baselines".
  void add_switch(const std::string& names, std::optional<bool>& value, const std::string& help);
  // The positional just added must be given.
  void required();
  // Words beyond the positionals go to `take`, in order; without it they are refused.
  void take_extras(std::function<void(const std::vector<std::string>&)> take) { extras_ = std::move(take); }
  // Once the words have been read. Throws WrongRequest for those that nobody takes.
  void finish_words() const;

  bool given(const std::string& name) const;
  std::string text_of(const std::string& name) const;  // as given
  // A required option is checked when the command runs, so that --config may give it. Throws WrongRequest.
  void require_given(const std::string& name, std::string_view what) const;

  CLI::App& app() const { return *app_; }

 private:
  [[noreturn]] static void refuse_range(const std::string& name, const std::string& text, std::int64_t lo,
                                        std::int64_t hi);
  [[noreturn]] static void refuse_range(const std::string& name, const std::string& text, double lo, double hi);
  void add_text(const std::string& name, std::function<void(const std::string&)> read, const std::string& type,
                const std::string& help);
  CLI::App* app_;
  CLI::Option* last_ = nullptr;
  std::string group_ = "Options";
  std::function<void(const std::vector<std::string>&)> extras_;
};

}  // namespace ebm::tools
