#include "tools/program.hpp"

namespace ebm::test {
namespace {

using Info = ProgramTest;

TEST_F(Info, OfTheBuildNamesTheCpu) {
  EXPECT_NE(succeed({"info"}).out.find("device cpu: "), std::string::npos);
  const Json json = Json::parse(succeed({"info", "--json"}).out);
  EXPECT_EQ(json["devices"][0]["name"], "cpu");
  EXPECT_FALSE(json["build"].empty());
}

TEST_F(Info, OfAModelSaysWhatTheFileHolds) {
  MlpShape shape;
  shape.dim = 3;
  shape.hidden = {4, 5};
  shape.activation = Activation::gelu;
  shape.confinement = 0.5f;
  Mlp model = Mlp::random(shape, 1);
  model.set_standardization(Standardization{{1, 2, 3}, {4, 5, 6}});
  model.notes()["sampler"] = "mala";
  model.save(path("m.safetensors"));
  const Json json = Json::parse(succeed({"info", "m.safetensors", "--json"}).out);
  EXPECT_EQ(json["shape"], "3-4-5-1");
  EXPECT_EQ(json["dim"], 3);
  EXPECT_EQ(json["hidden"], (Json{4, 5}));
  EXPECT_EQ(json["activation"], "gelu");
  EXPECT_EQ(json["head"], "scalar");
  EXPECT_EQ(json["confinement"], 0.5);
  EXPECT_EQ(json["parameters"], 3 * 4 + 4 + 4 * 5 + 5 + 5 + 1);
  EXPECT_EQ(json["mean"], (Json{1.0, 2.0, 3.0}));
  EXPECT_EQ(json["std"], (Json{4.0, 5.0, 6.0}));
  EXPECT_EQ(json["notes"]["sampler"], "mala");
  EXPECT_TRUE(json["engine"].get<std::string>().starts_with("cpu")) << json["engine"];
  const std::string text = succeed({"info", "m.safetensors"}).out;
  EXPECT_NE(text.find("3-4-5-1"), std::string::npos);
  EXPECT_NE(text.find("notes.sampler"), std::string::npos);
}

}  // namespace
}  // namespace ebm::test
