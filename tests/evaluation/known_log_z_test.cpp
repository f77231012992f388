#include "ebmcuda/known_log_z.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <functional>
#include <limits>

#include "ebmcuda/error.hpp"
#include "tests/evaluation/closed_forms.hpp"

namespace ebm {
namespace {

Mlp noted() {
  Mlp model = test::gaussian(2, 1);
  model.set_standardization(Standardization{{1, 2}, {3, 4}});
  model.notes()["clamp"] = "-9,9";
  note_log_z(model, {-12.345678901234567, 1e-9, "quadrature"});
  return model;
}

TEST(KnownLogZ, IsInTheNotesToTheLastBit) {
  const Mlp model = noted();
  ASSERT_TRUE(has_log_z_note(model));
  const auto log_z = noted_log_z(model);
  ASSERT_TRUE(log_z.has_value());
  EXPECT_EQ(log_z->value, -12.345678901234567);
  EXPECT_EQ(log_z->error, 1e-9);
  EXPECT_EQ(log_z->method, "quadrature");
  EXPECT_FALSE(has_log_z_note(test::gaussian(2, 1)));
  EXPECT_FALSE(noted_log_z(test::gaussian(2, 1)).has_value());
}

TEST(KnownLogZ, SurvivesAFile) {
  const auto path = std::filesystem::temp_directory_path() / "ebmcuda_known_log_z_test.safetensors";
  noted().save(path);
  const auto log_z = noted_log_z(Mlp::load(path));
  std::filesystem::remove(path);
  ASSERT_TRUE(log_z.has_value());
  EXPECT_EQ(log_z->value, -12.345678901234567);
}

TEST(KnownLogZ, IsOfThatModelAlone) {
  const std::vector<std::pair<const char*, std::function<void(Mlp&)>>> changes = {
      {"a weight", [](Mlp& m) { m.weight(0)[3] = 0.5f; }},
      {"the sign of a zero is no change of E, but of the bits", [](Mlp& m) { m.bias(1)[0] = -0.0f; }},
      {"transform",
       [](Mlp& m) {
         m.set_standardization(Standardization{{1, 2}, {3, 4.5f}});
       }},
      {"no transform", [](Mlp& m) { m.set_standardization({}); }},
      {"box", [](Mlp& m) { m.notes()["clamp"] = "-9,8"; }},
      {"no box", [](Mlp& m) { m.notes().erase("clamp"); }},
      {"value", [](Mlp& m) { m.notes()["log_z"] = "no number"; }},
      {"infinite", [](Mlp& m) { m.notes()["log_z"] = "inf"; }},
      {"error", [](Mlp& m) { m.notes()["log_z_error"] = "-1"; }},
      {"method", [](Mlp& m) { m.notes().erase("log_z_method"); }},
      {"fingerprint", [](Mlp& m) { m.notes().erase("log_z_of"); }},
  };
  for (const auto& [what, change] : changes) {
    Mlp model = noted();
    change(model);
    EXPECT_FALSE(noted_log_z(model).has_value()) << what;
  }
  Mlp other = noted();
  other.notes()["author"] = "anybody";
  EXPECT_TRUE(noted_log_z(other).has_value()) << "a note that says nothing about E";
  MlpShape shape = noted().shape();
  shape.confinement = 2;
  Mlp confined(shape);
  confined.set_standardization(noted().standardization());
  confined.notes() = noted().notes();
  EXPECT_FALSE(noted_log_z(confined).has_value());
}

TEST(KnownLogZ, RejectsWhatIsNoLogZ) {
  Mlp model = test::gaussian(1, 1);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THROW(note_log_z(model, {nan, 0, "ais"}), ConfigError);
  EXPECT_THROW(note_log_z(model, {0, nan, "ais"}), ConfigError);
  EXPECT_THROW(note_log_z(model, {0, -1, "ais"}), ConfigError);
  EXPECT_THROW(note_log_z(model, {0, 0, ""}), ConfigError);
  EXPECT_TRUE(model.notes().empty());
}

}  // namespace
}  // namespace ebm
