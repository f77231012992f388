// A picture in memory: antialiased strokes, discs, rectangles and text on a white ground. Pixel coordinates, y down.
#pragma once

#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

namespace ebm::tools {

struct Color {
  float r, g, b;  // sRGB, 0 .. 1
};
inline constexpr Color kInk{0.13f, 0.15f, 0.18f}, kFaint{0.86f, 0.87f, 0.89f}, kWhite{1, 1, 1};
inline constexpr Color kBlue{0.12f, 0.42f, 0.71f}, kOrange{0.90f, 0.45f, 0.05f};

struct Point {
  double x, y;
};
using Polyline = std::vector<Point>;

enum class Align { left, center, right };

class Canvas {
 public:
  Canvas(int width, int height, Color background = kWhite);

  int width() const noexcept { return width_; }
  int height() const noexcept { return height_; }
  Color pixel(int x, int y) const { return pixels_[index(x, y)]; }

  // Pixels outside the picture are left out everywhere.
  void set(int x, int y, Color color);
  void fill(int x, int y, int width, int height, Color color);
  void disc(Point center, double radius, Color color, float alpha = 1);
  // Round caps and joins. Every pixel is blended once, however often the lines cross.
  void stroke(std::span<const Polyline> lines, double width, Color color, float alpha = 1);
  void line(Point a, Point b, double width, Color color);
  // `baseline` is where the text stands; `size` the height of its capitals in pixels. `turned`: reads upwards.
  void text(std::string_view text, Point baseline, double size, Align align = Align::left, Color color = kInk,
            bool turned = false);

  // Rows from the top, 3 bytes a pixel.
  std::vector<unsigned char> rgb() const;

 private:
  std::size_t index(int x, int y) const {
    return static_cast<std::size_t>(y) * static_cast<std::size_t>(width_) + static_cast<std::size_t>(x);
  }
  void blend(int x, int y, Color color, float alpha);

  int width_, height_;
  std::vector<Color> pixels_;
};

// Atomic. Throws WriteError. png.cpp
void write_png(const std::filesystem::path& path, const Canvas& canvas);

// The strokes of a text that begins at the origin, y up, one unit = a sixth of the capitals' height; and how far it
// reaches. font.cpp
struct TextOutline {
  std::vector<Polyline> strokes;
  double width = 0;
};
TextOutline outline(std::string_view text);

// 0 .. 1 -> colour. viridis (perceptually uniform, CC0) or grey (0 white, 1 black). colormap.cpp
enum class Colormap { viridis, gray };
std::string_view to_string(Colormap map);
Colormap parse_colormap(std::string_view name, std::string_view field);
Color color_of(Colormap map, double value);

}  // namespace ebm::tools
