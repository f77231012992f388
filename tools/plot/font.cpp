// A stroke font drawn for this program. A glyph is its width and its strokes; a stroke is a list of points, x as a
// digit and y as a letter (c the baseline, g the height of small letters, i that of capitals, a the descenders' end). A
// ~ in front rounds the stroke: its points become the control points of a quadratic B-spline.
#include <algorithm>
#include <array>
#include <cmath>

#include "tools/plot/canvas.hpp"

namespace ebm::tools {
namespace {

struct Glyph {
  int width;
  const char* strokes;
};

constexpr Glyph kUnknown{4, "0c4c4i0i0c"};

// From the space, 32, to ~, 126.
constexpr std::array<Glyph, 95> kGlyphs{{
    {2, ""},                                    // space
    {0, "0i0e 0c0c"},                           // !
    {2, "0i0h 2i2h"},                           // "
    {4, "1c1i 3c3i 0e4e 0g4g"},                 // #
    {4, "~4h4i0i0f4f4c0c0d 2b2j"},              // $
    {5, "0c5i ~0g2g2i0i0g ~3c5c5e3e3c"},        // %
    {4, "~4c0g0i3i3g0f0c3c4e"},                 // &
    {0, "0i0h"},                                // '
    {1, "~1i0h0b1a"},                           // (
    {1, "~0i1h1b0a"},                           // )
    {4, "2e2i 0f4h 0h4f"},                      // *
    {4, "0e4e 2c2g"},                           // +
    {1, "1c0b"},                                // ,
    {3, "0e3e"},                                // -
    {0, "0c0c"},                                // .
    {3, "0b3i"},                                // /
    {4, "~0c4c4i0i0c"},                         // 0
    {2, "0h2i2c"},                              // 1
    {4, "~0h0i4i4f0c 0c4c"},                    // 2
    {4, "~0h0i4i4f1f ~1f4f4c0c0d"},             // 3
    {4, "3c3i0e4e"},                            // 4
    {4, "4i0i0f ~0f1g4g4c0c0d"},                // 5
    {4, "~4h4i0i0e ~0c4c4g0g0c"},               // 6
    {4, "0i4i1c"},                              // 7
    {4, "~0c4c4f0f0c ~0f4f4i0i0f"},             // 8
    {4, "~0d0c4c4g ~0e4e4i0i0e"},               // 9
    {0, "0c0c 0f0f"},                           // :
    {1, "1c0b 1f1f"},                           // ;
    {3, "3c0e3g"},                              // <
    {4, "0d4d 0f4f"},                           // =
    {3, "0c3e0g"},                              // >
    {4, "~0h0i4i4f2f2e 2c2c"},                  // ?
    {5, "~4d3e2d2f4f4d5d5h0h0b4b"},             // @
    {4, "0c2i4c 1e3e"},                         // A
    {4, "0c0i ~0i2i4i4f2f0f ~0f2f4f4c2c0c"},    // B
    {4, "~4h4i0i0c4c4d"},                       // C
    {4, "0c0i ~0i2i4i4c2c0c"},                  // D
    {4, "4i0i0c4c 0f3f"},                       // E
    {4, "4i0i0c 0f3f"},                         // F
    {4, "~4h4i0i0c4c4f 4f2f"},                  // G
    {4, "0c0i 4c4i 0f4f"},                      // H
    {0, "0c0i"},                                // I
    {3, "~0d0c3c3e 3e3i"},                      // J
    {4, "0c0i 4i0e 1f4c"},                      // K
    {4, "0i0c4c"},                              // L
    {5, "0c0i3d5i5c"},                          // M
    {4, "0c0i4c4i"},                            // N
    {5, "~0c5c5i0i0c"},                         // O
    {4, "0c0i ~0i2i4i4f2f0f"},                  // P
    {5, "~0c5c5i0i0c 3e5b"},                    // Q
    {4, "0c0i ~0i2i4i4f2f0f 2f4c"},             // R
    {4, "~4h4i0i0f4f4c0c0d"},                   // S
    {4, "0i4i 2i2c"},                           // T
    {4, "0i0e ~0e0c4c4e 4e4i"},                 // U
    {4, "0i2c4i"},                              // V
    {6, "0i1c3i5c6i"},                          // W
    {4, "0c4i 0i4c"},                           // X
    {4, "0i2f4i 2f2c"},                         // Y
    {4, "0i4i0c4c"},                            // Z
    {1, "1i0i0b1b"},                            // [
    {3, "0i3b"},                                // backslash
    {1, "0i1i1b0b"},                            // ]
    {4, "0g2i4g"},                              // ^
    {4, "0b4b"},                                // _
    {1, "0i1h"},                                // `
    {4, "~0c4c4g0g0c 4c4g"},                    // a
    {4, "~0c4c4g0g0c 0c0i"},                    // b
    {4, "~4f4g0g0c4c4d"},                       // c
    {4, "~0c4c4g0g0c 4c4i"},                    // d
    {4, "0e4e ~4e4g0g0c4c4d"},                  // e
    {3, "~3i1i1g 1g1c 0g3g"},                   // f
    {4, "~0c4c4g0g0c ~4g4c4a0a0b"},             // g
    {4, "0c0i ~0e0g4g4e 4e4c"},                 // h
    {0, "0c0g 0i0i"},                           // i
    {1, "1g1c ~1c1a0a 1i1i"},                   // j
    {3, "0c0i 3g0d 1e3c"},                      // k
    {0, "0c0i"},                                // l
    {6, "0c0g ~0e0g3g3e 3e3c ~3e3g6g6e 6e6c"},  // m
    {4, "0c0g ~0e0g4g4e 4e4c"},                 // n
    {4, "~0c4c4g0g0c"},                         // o
    {4, "~0c4c4g0g0c 0a0g"},                    // p
    {4, "~0c4c4g0g0c 4a4g"},                    // q
    {2, "0c0g ~0e0g2g"},                        // r
    {3, "~3f3g0g0e3e3c0c0d"},                   // s
    {3, "1i1d ~1d1c3c 0g3g"},                   // t
    {4, "0g0e ~0e0c4c4e 4g4c"},                 // u
    {4, "0g2c4g"},                              // v
    {6, "0g1c3g5c6g"},                          // w
    {3, "0c3g 0g3c"},                           // x
    {4, "0g2c 4g1a"},                           // y
    {3, "0g3g0c3c"},                            // z
    {2, "~2i1i1e0e ~0e1e1b2b"},                 // {
    {0, "0b0i"},                                // |
    {2, "~0i1i1e2e ~2e1e1b0b"},                 // }
    {4, "~0d0f2f2d4d4f"},                       // ~
}};

constexpr double kGap = 1.9;  // between two letters
constexpr int kPieces = 6;    // straight pieces of each arc

// The quadratic B-spline of control points: from the first to the last for an open stroke, all the way round for a
// closed one. It touches the middle of every inner edge.
Polyline rounded(const Polyline& control) {
  const auto middle = [](Point a, Point b) { return Point{(a.x + b.x) / 2, (a.y + b.y) / 2}; };
  const bool closed = control.front().x == control.back().x && control.front().y == control.back().y;
  const std::size_t n = control.size() - (closed ? 1 : 0);
  Polyline curve;
  const auto arc = [&](Point from, Point over, Point to) {
    for (int k = 0; k <= kPieces; ++k) {
      const double t = static_cast<double>(k) / kPieces, s = 1 - t;
      curve.push_back(
          {s * s * from.x + 2 * s * t * over.x + t * t * to.x, s * s * from.y + 2 * s * t * over.y + t * t * to.y});
    }
  };
  for (std::size_t i = closed ? 0 : 1; closed ? i < n : i + 1 < n; ++i) {
    const Point before = control[(i + n - 1) % n], at = control[i], after = control[(i + 1) % n];
    const Point from = !closed && i == 1 ? before : middle(before, at);
    const Point to = !closed && i + 2 == n ? after : middle(at, after);
    arc(from, at, to);
  }
  return curve;
}

void add_glyph(const Glyph& glyph, double x, std::vector<Polyline>& strokes) {
  Polyline points;
  bool smooth = false;
  const auto end_stroke = [&] {
    if (!points.empty()) strokes.push_back(smooth && points.size() > 2 ? rounded(points) : points);
    points.clear();
    smooth = false;
  };
  for (const char* at = glyph.strokes; *at != '\0';) {
    if (*at == ' ' || *at == '~') {
      end_stroke();
      smooth = *at == '~';
      ++at;
      continue;
    }
    points.push_back({x + (at[0] - '0'), static_cast<double>(at[1] - 'c')});
    at += 2;
  }
  end_stroke();
}

}  // namespace

TextOutline outline(std::string_view text) {
  TextOutline result;
  for (const char c : text) {
    const Glyph& glyph = c >= ' ' && c <= '~' ? kGlyphs[static_cast<std::size_t>(c - ' ')] : kUnknown;
    add_glyph(glyph, result.width, result.strokes);
    result.width += glyph.width + kGap;
  }
  result.width = std::max(0.0, result.width - kGap);
  return result;
}

}  // namespace ebm::tools
