// --config FILE.toml: the options of a command by their names, dashes or underscores. The command line wins.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace CLI {
class App;
}

namespace ebm::tools {

// Sets every option of `command` that the file names and the command line does not. Throws FormatError (no such file,
// not TOML) and ConfigError (an unknown key, with the nearest option; a value that is no number, text, list or truth
// value), before any option has been set by the file.
void apply_config(CLI::App& command, const std::filesystem::path& path);
// The same of a file's content; `name` is what messages call it.
void apply_config(CLI::App& command, std::string_view toml, const std::string& name);

}  // namespace ebm::tools
