#include "tools/plot/canvas.hpp"

#include <algorithm>
#include <cmath>

namespace ebm::tools {
namespace {

double distance_to_segment(Point p, Point a, Point b) {
  const double dx = b.x - a.x, dy = b.y - a.y, length2 = dx * dx + dy * dy;
  const double t = length2 > 0 ? std::clamp(((p.x - a.x) * dx + (p.y - a.y) * dy) / length2, 0.0, 1.0) : 0.0;
  return std::hypot(p.x - a.x - t * dx, p.y - a.y - t * dy);
}

// How much of a pixel lies inside an edge at `distance` beyond its centre (a box filter of one pixel).
float coverage(double distance) { return static_cast<float>(std::clamp(0.5 - distance, 0.0, 1.0)); }

struct Span {
  int begin, end;
};
Span pixels_between(double lo, double hi, int limit) {
  return {std::clamp(static_cast<int>(std::floor(lo)), 0, limit),
          std::clamp(static_cast<int>(std::ceil(hi)), 0, limit)};
}

}  // namespace

Canvas::Canvas(int width, int height, Color background)
    : width_(width),
      height_(height),
      pixels_(static_cast<std::size_t>(width) * static_cast<std::size_t>(height), background) {}

void Canvas::blend(int x, int y, Color color, float alpha) {
  Color& to = pixels_[index(x, y)];
  to = {to.r + alpha * (color.r - to.r), to.g + alpha * (color.g - to.g), to.b + alpha * (color.b - to.b)};
}

void Canvas::set(int x, int y, Color color) {
  if (x >= 0 && x < width_ && y >= 0 && y < height_) pixels_[index(x, y)] = color;
}

void Canvas::fill(int x, int y, int width, int height, Color color) {
  for (int j = std::max(y, 0); j < std::min(y + height, height_); ++j) {
    for (int i = std::max(x, 0); i < std::min(x + width, width_); ++i) pixels_[index(i, j)] = color;
  }
}

void Canvas::disc(Point center, double radius, Color color, float alpha) {
  const Span rows = pixels_between(center.y - radius - 1, center.y + radius + 1, height_);
  const Span columns = pixels_between(center.x - radius - 1, center.x + radius + 1, width_);
  for (int y = rows.begin; y < rows.end; ++y) {
    for (int x = columns.begin; x < columns.end; ++x) {
      blend(x, y, color, alpha * coverage(std::hypot(x + 0.5 - center.x, y + 0.5 - center.y) - radius));
    }
  }
}

void Canvas::stroke(std::span<const Polyline> lines, double width, Color color, float alpha) {
  const double reach = width / 2 + 1;
  double left = width_, right = 0, top = height_, bottom = 0;
  for (const Polyline& polyline : lines) {
    for (const Point& p : polyline) {
      left = std::min(left, p.x - reach);
      right = std::max(right, p.x + reach);
      top = std::min(top, p.y - reach);
      bottom = std::max(bottom, p.y + reach);
    }
  }
  const Span all_columns = pixels_between(left, right, width_), all_rows = pixels_between(top, bottom, height_);
  if (all_columns.begin >= all_columns.end || all_rows.begin >= all_rows.end) return;
  const auto columns = static_cast<std::size_t>(all_columns.end - all_columns.begin);
  std::vector<float> covered(columns * static_cast<std::size_t>(all_rows.end - all_rows.begin), 0.0f);
  const auto at = [&](int x, int y) -> float& {
    return covered[static_cast<std::size_t>(y - all_rows.begin) * columns +
                   static_cast<std::size_t>(x - all_columns.begin)];
  };
  for (const Polyline& polyline : lines) {
    for (std::size_t i = 0; i + 1 < polyline.size(); ++i) {
      const Point a = polyline[i], b = polyline[i + 1];
      const Span rows = pixels_between(std::min(a.y, b.y) - reach, std::max(a.y, b.y) + reach, height_);
      const Span span = pixels_between(std::min(a.x, b.x) - reach, std::max(a.x, b.x) + reach, width_);
      for (int y = rows.begin; y < rows.end; ++y) {
        for (int x = span.begin; x < span.end; ++x) {
          float& value = at(x, y);
          value = std::max(value, coverage(distance_to_segment({x + 0.5, y + 0.5}, a, b) - width / 2));
        }
      }
    }
  }
  for (int y = all_rows.begin; y < all_rows.end; ++y) {
    for (int x = all_columns.begin; x < all_columns.end; ++x) {
      if (at(x, y) > 0) blend(x, y, color, alpha * at(x, y));
    }
  }
}

void Canvas::line(Point a, Point b, double width, Color color) {
  const Polyline one{a, b};
  stroke({&one, 1}, width, color);
}

void Canvas::text(std::string_view text, Point baseline, double size, Align align, Color color, bool turned) {
  TextOutline letters = outline(text);
  const double unit = size / 6;
  const double shift = align == Align::left ? 0 : (align == Align::center ? letters.width / 2 : letters.width);
  for (Polyline& stroke : letters.strokes) {
    for (Point& p : stroke) {
      const double along = (p.x - shift) * unit, up = p.y * unit;
      p = turned ? Point{baseline.x - up, baseline.y - along} : Point{baseline.x + along, baseline.y - up};
    }
  }
  stroke(letters.strokes, std::max(1.15, size / 8.5), color);
}

std::vector<unsigned char> Canvas::rgb() const {
  std::vector<unsigned char> bytes;
  bytes.reserve(pixels_.size() * 3);
  for (const Color& c : pixels_) {
    for (const float channel : {c.r, c.g, c.b}) {
      bytes.push_back(static_cast<unsigned char>(std::lround(255 * std::clamp(channel, 0.0f, 1.0f))));
    }
  }
  return bytes;
}

}  // namespace ebm::tools
