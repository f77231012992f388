#include "tools/train_log.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "ebmcuda/error.hpp"

namespace ebm::tools {
namespace {

using Json = nlohmann::ordered_json;

bool is_entry(const Json& json) {
  return json.is_object() && json.contains("iteration") && json["iteration"].is_number_integer() &&
         json.contains("seconds") && json["seconds"].is_number();
}

}  // namespace

LogPart log_part(std::istream& in, const std::string& name, std::int64_t iterations) {
  LogPart part;
  std::string line;
  for (int number = 1; std::getline(in, line) && !in.eof(); ++number) {
    const Json json = Json::parse(line, nullptr, false);
    if (!is_entry(json)) throw FormatError(name, fmt::format("line {} is not a line of a training log", number));
    if (json["iteration"].get<std::int64_t>() > iterations) break;
    part.bytes += line.size() + 1;
    part.seconds = json["seconds"].get<double>();
  }
  return part;
}

bool begins_as_log(const std::filesystem::path& path) {
  constexpr std::string_view kBegin = "{\"iteration\":";
  constexpr std::size_t kLongestLine = 4096;
  std::string head(kLongestLine, '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(head.data(), static_cast<std::streamsize>(head.size()));
  head.resize(static_cast<std::size_t>(file.gcount()));
  const std::size_t end = head.find('\n');
  if (end == std::string::npos) return head.starts_with(kBegin);
  return is_entry(Json::parse(head.substr(0, end), nullptr, false));
}

TrainLog::TrainLog(std::filesystem::path path, std::optional<std::int64_t> resume_at) : path_(std::move(path)) {
  if (resume_at && std::filesystem::exists(path_)) {
    std::ifstream file(path_, std::ios::binary);
    const LogPart kept = log_part(file, path_.string(), *resume_at);
    seconds_before_ = kept.seconds;
    std::error_code error;
    std::filesystem::resize_file(path_, kept.bytes, error);
    if (error) throw WriteError(path_.string(), error.message());
  }
  file_.reset(std::fopen(path_.c_str(), resume_at ? "ab" : "wb"));
  if (file_ == nullptr) throw WriteError(path_.string(), std::strerror(errno));
}

void TrainLog::write(const TrainProgress& progress, bool with_labels) {
  const ChainStats& stats = progress.stats;
  Json json{{"iteration", progress.iteration},
            {"energy_data", progress.energy_data},
            {"energy_samples", progress.energy_samples},
            {"energy_gap", progress.energy_gap()},
            {"gradient_norm", progress.gradient_norm},
            {"restarts", stats.restarts},
            {"seconds", progress.seconds},
            {"chain_steps_per_second", progress.chain_steps_per_second},
            {"step_size", progress.step_size},
            {"acceptance", stats.acceptance()},
            {"reinitialized", stats.reinitialized},
            {"spread", progress.spread},  // NaN, printed null, without persistent chains
            {"rollbacks", progress.rollbacks}};
  for (int m = 0; m < kMoves; ++m) {
    const auto move = static_cast<Move>(m);
    json[fmt::format("{}proposed", prefix_of(move))] = stats[move].proposed;
    json[fmt::format("{}accepted", prefix_of(move))] = stats[move].accepted;
  }
  if (stats.swaps.proposed > 0) {  // with tempering
    json["swaps_proposed"] = stats.swaps.proposed;
    json["swaps_accepted"] = stats.swaps.accepted;
  }
  if (const auto& held_out = progress.held_out) {
    json["held_out_energy_gap"] = held_out->energy_gap;
    json["held_out_log_likelihood"] = held_out->log_likelihood ? Json(*held_out->log_likelihood) : Json(nullptr);
    json["held_out_log_z_error"] = held_out->log_likelihood ? Json(held_out->log_z_error) : Json(nullptr);
  }
  if (with_labels) json["cross_entropy"] = progress.cross_entropy;
  const std::string line = json.dump() + "\n";
  if (std::fwrite(line.data(), 1, line.size(), file_.get()) != line.size() || std::fflush(file_.get()) != 0) {
    throw WriteError(path_.string(), std::strerror(errno));
  }
}

}  // namespace ebm::tools
