// The one place that includes stb_image_write.
#include <string_view>
#include <vector>

#include "ebmcuda/error.hpp"
#include "ebmcuda/files.hpp"
#include "tools/plot/canvas.hpp"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#pragma GCC diagnostic ignored "-Wunused-function"
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#include <stb/stb_image_write.h>
#pragma GCC diagnostic pop

namespace ebm::tools {

void write_png(const std::filesystem::path& path, const Canvas& canvas) {
  std::vector<unsigned char> file;
  const auto append = [](void* context, void* data, int size) {
    const auto* bytes = static_cast<const unsigned char*>(data);
    static_cast<std::vector<unsigned char>*>(context)->insert(static_cast<std::vector<unsigned char>*>(context)->end(),
                                                              bytes, bytes + size);
  };
  const std::vector<unsigned char> pixels = canvas.rgb();
  if (stbi_write_png_to_func(append, &file, canvas.width(), canvas.height(), 3, pixels.data(), canvas.width() * 3) ==
      0) {
    throw WriteError(path.string(), "the picture could not be encoded");
  }
  write_file(path, std::string_view(reinterpret_cast<const char*>(file.data()), file.size()));
}

}  // namespace ebm::tools
