#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "ebmcuda/error.hpp"
#include "tools/plot/canvas.hpp"

namespace ebm::tools {
namespace {

// Matplotlib's viridis (van der Walt and Smith 2015, CC0) at 0, 0.1, ... 1; linear in between, within 0.02 of it.
constexpr std::array<Color, 11> kViridis{{{0.267004f, 0.004874f, 0.329415f},
                                          {0.282623f, 0.140926f, 0.457517f},
                                          {0.253935f, 0.265254f, 0.529983f},
                                          {0.206756f, 0.371758f, 0.553117f},
                                          {0.163625f, 0.471133f, 0.558148f},
                                          {0.127568f, 0.566949f, 0.550556f},
                                          {0.134692f, 0.658636f, 0.517649f},
                                          {0.266941f, 0.748751f, 0.440573f},
                                          {0.477504f, 0.821444f, 0.318195f},
                                          {0.741388f, 0.873449f, 0.149561f},
                                          {0.993248f, 0.906157f, 0.143936f}}};

}  // namespace

std::string_view to_string(Colormap map) { return map == Colormap::viridis ? "viridis" : "gray"; }

Colormap parse_colormap(std::string_view name, std::string_view field) {
  if (name == "viridis") return Colormap::viridis;
  if (name == "gray") return Colormap::gray;
  throw ConfigError(std::string(field), std::string(name), "must be one of viridis gray");
}

Color color_of(Colormap map, double value) {
  const double v = std::isnan(value) ? 0.0 : std::clamp(value, 0.0, 1.0);
  if (map == Colormap::gray) {
    const auto light = static_cast<float>(1 - v);
    return {light, light, light};
  }
  const double position = v * (kViridis.size() - 1);
  const auto low = std::min(static_cast<std::size_t>(position), kViridis.size() - 2);
  const auto t = static_cast<float>(position - static_cast<double>(low));
  const Color a = kViridis[low], b = kViridis[low + 1];
  return {a.r + t * (b.r - a.r), a.g + t * (b.g - a.g), a.b + t * (b.b - a.b)};
}

}  // namespace ebm::tools
