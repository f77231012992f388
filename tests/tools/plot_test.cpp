// Pictures are read back and looked at: where the density is high they must be bright.
#include <cmath>
#include <memory>

#include "ebmcuda/densities.hpp"
#include "ebmcuda/files.hpp"
#include "tools/program.hpp"

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_PNG
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wunused-function"
#include <stb/stb_image.h>
#pragma GCC diagnostic pop

namespace ebm::test {
namespace {

struct Picture {
  int width = 0, height = 0;
  std::vector<unsigned char> rgb;

  int at(int x, int y, int channel) const { return rgb[static_cast<std::size_t>((y * width + x) * 3 + channel)]; }
  double brightness(int x, int y) const { return (at(x, y, 0) + at(x, y, 1) + at(x, y, 2)) / 765.0; }
  // Share of pixels within 8 of this colour.
  double share_of(int r, int g, int b) const {
    int n = 0;
    for (int y = 0; y < height; ++y) {
      for (int x = 0; x < width; ++x) {
        n += std::abs(at(x, y, 0) - r) <= 8 && std::abs(at(x, y, 1) - g) <= 8 && std::abs(at(x, y, 2) - b) <= 8;
      }
    }
    return static_cast<double>(n) / (width * height);
  }
};

class Plot : public ProgramTest {
 protected:
  void write_rows(const std::string& name, const Matrix& rows) const { write_matrix(path(name), rows); }
  Picture look(const std::string& name) const {
    Picture picture;
    int channels = 0;
    const std::unique_ptr<unsigned char, void (*)(void*)> pixels(
        stbi_load(path(name).c_str(), &picture.width, &picture.height, &channels, 3), stbi_image_free);
    if (pixels == nullptr) {
      ADD_FAILURE() << name << " is no PNG";
      return picture;
    }
    picture.rgb.assign(pixels.get(), pixels.get() + picture.width * picture.height * 3);
    return picture;
  }
};

// Where draw_plane puts its first panel (tools/plot/density.cpp).
constexpr int kLeft = 60, kTop = 36, kPanel = 420;

TEST_F(Plot, ModelInThePlaneIsBrightWhereItsDensityIsHigh) {
  gaussian_model(2, 4.0f).save(path("m.safetensors"));
  succeed({"plot", "m.safetensors", "--out", "p.png", "--chains", "0", "--range", "-2,2"});
  const Picture picture = look("p.png");
  const auto at = [&](double x, double y) {
    return picture.brightness(kLeft + static_cast<int>((x + 2) / 4 * kPanel),
                              kTop + static_cast<int>((2 - y) / 4 * kPanel));
  };
  EXPECT_GT(at(0, 0), at(0.5, 0));
  EXPECT_GT(at(0.5, 0), at(1.2, 0));
  EXPECT_NEAR(at(0.4, 0), at(0, 0.4), 0.03);
  EXPECT_LT(at(-1.9, 1.9), 0.3);  // viridis begins dark
  // Samples are white dots over it.
  succeed({"plot", "m.safetensors", "--out", "s.png", "--chains", "300", "--range", "-2,2", "--langevin-steps", "200",
           "--step-size", "0.05"});
  EXPECT_GT(look("s.png").brightness(kLeft + kPanel / 2, kTop + kPanel / 2), 0.3);
  EXPECT_NE(read("s.png"), read("p.png"));
}

// Given, completed, true: three sheets, of which the first has no pixel where nothing was given.
TEST_F(Plot, CompletedImagesStandBetweenWhatWasGivenAndTheTruth) {
  Matrix truth(2, 16, std::vector<float>(32, 1.0f));
  Matrix completed = truth;
  for (std::size_t i = 0; i < 2; ++i) {
    for (std::size_t d = 8; d < 16; ++d) completed(i, d) = 0;
  }
  write_matrix(path("truth.npy"), truth);
  write_matrix(path("completed.npy"), completed);
  succeed({"plot", "completed.npy", "--image", "4x4", "--range", "0,1", "--fix", "0:8=truth.npy", "--data", "truth.npy",
           "--out", "p.png"});
  succeed({"plot", "completed.npy", "--image", "4x4", "--range", "0,1", "--data", "truth.npy", "--out", "two.png"});
  EXPECT_GT(look("p.png").width, look("two.png").width);
  const Picture picture = look("p.png");
  // Black where the completion says 0, and nowhere else: 2 images of half of 4 x 4 pixels, 16 x 16 each.
  EXPECT_NEAR(picture.share_of(0, 0, 0) * picture.width * picture.height, 2 * 8 * 256, 300);
  expect_wrong_request({"plot", "completed.npy", "--image", "none", "--fix", "0:8=truth.npy", "--out", "q.png"},
                       {"--fix", "images only"});
  write_rows("one.npy", Matrix(1, 16));
  expect_wrong_request({"plot", "completed.npy", "--image", "4x4", "--fix", "0:8=one.npy", "--out", "q.png"},
                       {"--fix", "holds 1 rows", "2 images"});
  gaussian_model(16).save(path("m.safetensors"));
  succeed({"plot", "m.safetensors", "--fix", "0:8=truth.npy", "--chains", "2", "--langevin-steps", "5", "--data",
           "truth.npy", "--out", "m.png"});
  EXPECT_EQ(look("m.png").width, picture.width);
}

TEST_F(Plot, TruthStandsBesideTheModel) {
  gaussian_model(2, 1.0f).save(path("m.safetensors"));
  const Matrix data = draw(Density2d::checkerboard, 500, 1);
  write_matrix(path("data.npy"), data);
  succeed(
      {"plot", "m.safetensors", "--density", "checkerboard", "--chains", "0", "--range", "-2.5,2.5", "--out", "p.png"});
  const Picture picture = look("p.png");
  const auto at = [&](double x, double y) {
    return picture.brightness(kLeft + static_cast<int>((x + 2.5) / 5 * kPanel),
                              kTop + static_cast<int>((2.5 - y) / 5 * kPanel));
  };
  EXPECT_GT(at(0.5, 0.5), at(1.5, 0.5) + 0.15) << "0 + 0 is even, 1 + 0 is odd";
  EXPECT_GT(at(1.5, 1.5), at(0.5, 1.5) + 0.15);
  EXPECT_GT(picture.width, 2 * kPanel) << "two panels";
  succeed({"plot", "m.safetensors", "--density", "checkerboard", "--data", "data.npy", "--samples", "data.npy", "--out",
           "q.png"});
  succeed(
      {"plot", "m.safetensors", "--data", "data.npy", "--samples", "data.npy", "--colormap", "gray", "--out", "r.png"});
  EXPECT_EQ(look("q.png").width, picture.width);
  EXPECT_EQ(look("r.png").width, picture.width);
}

TEST_F(Plot, PointsInThePlane) {
  write_ring("x.npy");
  succeed({"plot", "x.npy", "--out", "p.png"});
  const Picture picture = look("p.png");
  // The ring's middle is empty: white.
  EXPECT_GT(picture.brightness(kLeft + kPanel / 2 + 3, kTop + kPanel / 2 + 3), 0.8);
  int inked = 0;
  for (int y = kTop; y < kTop + kPanel; ++y) {
    for (int x = kLeft; x < kLeft + kPanel; ++x) inked += picture.at(x, y, 2) - picture.at(x, y, 0) > 60 ? 1 : 0;
  }
  EXPECT_GT(inked, 200) << "200 blue dots";
  succeed({"plot", "x.npy", "--density", "rings", "--out", "q.png"});
  EXPECT_GT(look("q.png").width, 2 * kPanel);
}

TEST_F(Plot, ContactSheetShowsPixelsInReadingOrder) {
  // Two images of 2 x 3: the second has one black pixel, at row 1, column 2.
  Matrix images(2, 6);
  images(1, 5) = 16;
  write_matrix(path("images.npy"), images);
  succeed({"plot", "images.npy", "--image", "2x3", "--range", "0,16", "--per-row", "2", "--out", "p.png"});
  const Picture picture = look("p.png");
  constexpr int kMargin = 14, kScale = 8, kGap = 3;  // tools/plot/sheet.cpp
  ASSERT_EQ(picture.width, 2 * kMargin + 2 * (3 * kScale + kGap) - kGap);
  ASSERT_EQ(picture.height, 2 * kMargin + 2 * kScale);
  const auto pixel = [&](int image, int row, int column) {
    return picture.brightness(kMargin + image * (3 * kScale + kGap) + column * kScale + kScale / 2,
                              kMargin + row * kScale + kScale / 2);
  };
  for (int image = 0; image < 2; ++image) {
    for (int row = 0; row < 2; ++row) {
      for (int column = 0; column < 3; ++column) {
        EXPECT_EQ(pixel(image, row, column), image == 1 && row == 1 && column == 2 ? 0.0 : 1.0);
      }
    }
  }
  // --chains limits how many are shown, --data puts a second sheet beside it, --columns drops a label.
  succeed({"plot", "images.npy", "--image", "2x3", "--chains", "1", "--out", "one.png"});
  EXPECT_LT(look("one.png").width, picture.width);
  succeed({"plot", "images.npy", "--image", "2x3", "--data", "images.npy", "--out", "two.png"});
  EXPECT_GT(look("two.png").width, picture.width);
  succeed({"plot", "images.npy", "--columns", "0:4", "--out", "square.png"});
}

TEST_F(Plot, ModelOfImagesIsSampled) {
  gaussian_model(16).save(path("m.safetensors"));
  succeed({"plot", "m.safetensors", "--out", "p.png", "--chains", "9", "--langevin-steps", "20", "--sampler", "mala",
           "--seed", "1"});
  succeed({"plot", "m.safetensors", "--out", "q.png", "--chains", "9", "--langevin-steps", "20", "--sampler", "mala",
           "--seed", "2"});
  EXPECT_NE(read("p.png"), read("q.png"));
}

TEST_F(Plot, OneDimensionIsACurveWithHistograms) {
  gaussian_model(1).save(path("m.safetensors"));
  std::string text;
  for (int i = 0; i < 300; ++i) text += std::to_string(std::sin(i) * 2) + "\n";
  write("x.csv", text);
  succeed({"plot", "m.safetensors", "--data", "x.csv", "--langevin-steps", "50", "--out", "p.png"});
  const Picture picture = look("p.png");
  EXPECT_GT(picture.share_of(31, 107, 181), 0.001) << "the model's curve";
  EXPECT_GT(picture.share_of(189, 212, 235), 0.02) << "the samples' histogram";
  EXPECT_GT(picture.share_of(230, 115, 13), 0.0002) << "the data's outline";
  succeed({"plot", "x.csv", "--out", "q.png"});
}

TEST_F(Plot, LogBecomesCurves) {
  std::string log;
  for (int i = 1; i <= 50; ++i) {
    log += Json{{"iteration", 10 * i},
                {"energy_data", -i * 0.1},
                {"energy_samples", i * 0.05},
                {"energy_gap", -0.15 * i},
                {"gradient_norm", 1.0 / i}}
               .dump() +
           "\n";
  }
  write("log.jsonl", log);
  succeed({"plot", "log.jsonl", "--out", "p.png"});
  const Picture picture = look("p.png");
  EXPECT_GT(picture.share_of(31, 107, 181), 0.002);
  EXPECT_GT(picture.share_of(230, 115, 13), 0.0005);
  // One line, and a gradient norm of null (a diverged run's last), are drawn too.
  write("short.jsonl",
        "{\"iteration\":1,\"energy_data\":0,\"energy_samples\":0,\"energy_gap\":0,\"gradient_norm\":null}\n");
  succeed({"plot", "short.jsonl", "--out", "q.png"});
}

TEST_F(Plot, AnOutlierDoesNotSquashThePicture) {
  Matrix x(400, 2);
  for (std::size_t i = 0; i < x.values().size(); ++i) x.values()[i] = std::sin(static_cast<float>(7 * i + i * i));
  write_matrix(path("x.npy"), x);
  x(5, 0) = 1e8f;
  write_matrix(path("outlier.npy"), x);
  succeed({"plot", "outlier.npy", "--out", "p.png"});
  const Picture picture = look("p.png");
  // The points still fill the frame: blue in the left half and in the right one.
  const auto blue = [&](int from, int to) {
    int n = 0;
    for (int y = kTop; y < kTop + kPanel && y < picture.height; ++y) {
      for (int p = from; p < to; ++p) n += picture.at(p, y, 2) - picture.at(p, y, 0) > 60 ? 1 : 0;
    }
    return n;
  };
  EXPECT_GT(blue(kLeft, kLeft + kPanel / 2), 200);
  EXPECT_GT(blue(kLeft + kPanel / 2, kLeft + kPanel), 200);
}

TEST_F(Plot, ConstantsAndOffsetsOfAnySize) {
  write("constant.csv", "5,1e30\n5,1e30\n5,1e30\n");
  succeed({"plot", "constant.csv", "--out", "p.png"});
  succeed({"plot", "constant.csv", "--columns", "1", "--out", "q.png"});
  write("far.csv", "1000000,-1000001\n1000002,-1000003\n1000001,-1000002.5\n");
  succeed({"plot", "far.csv", "--out", "r.png"});
}

TEST_F(Plot, ATableOfMoreColumnsIsDrawnInPairs) {
  Matrix x(200, 5);
  for (std::size_t i = 0; i < x.rows(); ++i) {
    for (std::size_t d = 0; d < 5; ++d)
      x(i, d) = std::sin(static_cast<float>(i * (d + 2))) * std::pow(10.0f, static_cast<float>(d));
  }
  write_matrix(path("x.npy"), x);
  succeed({"plot", "x.npy", "--out", "p.png"});
  const Picture alone = look("p.png");
  EXPECT_GT(alone.share_of(31, 107, 181), 0.002);
  EXPECT_EQ(alone.share_of(230, 115, 13), 0.0) << "no data to show";
  succeed({"plot", "x.npy", "--data", "x.npy", "--out", "q.png"});
  EXPECT_GT(look("q.png").share_of(230, 115, 13), 0.001);
  gaussian_model(5).save(path("m.safetensors"));
  succeed({"plot", "m.safetensors", "--data", "x.npy", "--langevin-steps", "20", "--out", "m.png"});
  EXPECT_GT(look("m.png").share_of(31, 107, 181), 0.001);
  // Four columns are a table, sixteen an image unless told otherwise.
  succeed({"plot", "x.npy", "--columns", "0:4", "--out", "four.png"});
  EXPECT_GT(look("four.png").width, 400);
  const Matrix wide(30, 16);
  write_matrix(path("wide.npy"), wide);
  const Outcome outcome = succeed({"plot", "wide.npy", "--image", "none", "--out", "wide.png"});
  EXPECT_NE(outcome.err.find("8 of 16 columns"), std::string::npos) << outcome.err;
  expect_wrong_request({"plot", "x.npy", "--image", "8", "--out", "z.png"}, {"--image", "none"});
}

TEST_F(Plot, ALogThatIsCutIsDrawnUpToThere) {
  const std::string line =
      "{\"iteration\":1,\"energy_data\":0,\"energy_samples\":1,\"energy_gap\":-1,\"gradient_norm\":2}\n";
  write("cut.jsonl", line + line + "{\"iteration\":30,\"ener");
  const Outcome outcome = succeed({"plot", "cut.jsonl", "--out", "p.png"});
  EXPECT_NE(outcome.err.find("line 3 is cut off"), std::string::npos) << outcome.err;
  // In the middle, or with nothing before it, it is no cut but another file.
  write("broken.jsonl", line + "{\"iteration\":30,\"ener\n" + line);
  expect_wrong_request({"plot", "broken.jsonl", "--out", "q.png"}, {"broken.jsonl", "line 2"});
  write("start.jsonl", "{\"iterat");
  expect_wrong_request({"plot", "start.jsonl", "--out", "q.png"}, {"start.jsonl", "line 1"});
}

TEST_F(Plot, ADensityThatCannotBeNormalisedIsDrawnUpToAFactor) {
  gaussian_model(2, 0.0f).save(path("flat.safetensors"));
  write_ring("x.npy");
  const Outcome outcome = succeed({"plot", "flat.safetensors", "--samples", "x.npy", "--out", "p.png"});
  EXPECT_NE(outcome.err.find("up to a factor"), std::string::npos) << outcome.err;
}

}  // namespace
}  // namespace ebm::test
