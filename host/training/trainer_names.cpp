#include "ebmcuda/trainer.hpp"
#include "host/core/names.hpp"

namespace ebm {
namespace {

constexpr Name<ChainStart> kChainStarts[] = {
    {ChainStart::persistent, "persistent"}, {ChainStart::data, "data"}, {ChainStart::fresh, "fresh"}};
constexpr Name<BufferStart> kBufferStarts[] = {
    {BufferStart::uniform, "uniform"}, {BufferStart::gaussian, "gaussian"}, {BufferStart::data, "data"}};
constexpr Name<LearningRateDecay> kDecays[] = {{LearningRateDecay::constant, "constant"},
                                               {LearningRateDecay::cosine, "cosine"},
                                               {LearningRateDecay::linear, "linear"}};
constexpr Name<KeptModel> kKept[] = {{KeptModel::best, "best"}, {KeptModel::last, "last"}};

}  // namespace

std::string_view to_string(ChainStart start) { return name_of<ChainStart>(kChainStarts, start); }
ChainStart parse_chain_start(std::string_view name, std::string_view field) {
  return parse_name<ChainStart>(kChainStarts, name, field);
}
std::string_view to_string(BufferStart start) { return name_of<BufferStart>(kBufferStarts, start); }
BufferStart parse_buffer_start(std::string_view name, std::string_view field) {
  return parse_name<BufferStart>(kBufferStarts, name, field);
}
std::string_view to_string(LearningRateDecay decay) { return name_of<LearningRateDecay>(kDecays, decay); }
std::string_view to_string(KeptModel kept) { return name_of<KeptModel>(kKept, kept); }
KeptModel parse_kept_model(std::string_view name, std::string_view field) {
  return parse_name<KeptModel>(kKept, name, field);
}
LearningRateDecay parse_learning_rate_decay(std::string_view name, std::string_view field) {
  return parse_name<LearningRateDecay>(kDecays, name, field);
}

}  // namespace ebm
