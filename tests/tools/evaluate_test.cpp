#include <fmt/format.h>

#include <cmath>
#include <numbers>

#include "ebmcuda/densities.hpp"
#include "ebmcuda/files.hpp"
#include "tools/program.hpp"

namespace ebm::test {
namespace {

using Evaluate = ProgramTest;

TEST_F(Evaluate, QuadratureOfAGaussianIsItsClosedForm) {
  // E = |x|^2 in model space (confinement 2): variance 1/2 there, std 2 and 0.5 in data units on top.
  Mlp model = gaussian_model(2, 2.0f);
  model.set_standardization(Standardization{{1, 0}, {2, 0.5f}});
  model.save(path("m.safetensors"));
  write("x.csv", "1,0\n3,0\n");
  const Json json = Json::parse(succeed({"evaluate", "m.safetensors", "x.csv", "--no-baselines"}).out);
  const double log_z = std::log(std::numbers::pi) + std::log(2 * 0.5);
  EXPECT_EQ(json["method"], "quadrature");
  EXPECT_NEAR(json["log_z"].get<double>(), log_z, 1e-4);
  EXPECT_LT(json["log_z_stderr"].get<double>(), 1e-4);
  EXPECT_NEAR(json["mean_log_likelihood"].get<double>(), -0.5 - log_z, 1e-4);  // energies 0 and 1
  EXPECT_NEAR(json["mean_log_likelihood_stderr"].get<double>(), std::sqrt(0.5 / 2), 1e-4);
  EXPECT_FALSE(json.contains("baselines"));
}

TEST_F(Evaluate, GapToAKnownDensityAndBaselinesOnATrainingSplit) {
  gaussian_model(2, 1.0f).save(path("m.safetensors"));
  const Matrix train = draw(Density2d::eight_gaussians, 2000, 1), test = draw(Density2d::eight_gaussians, 2000, 2);
  write_matrix(path("train.npy"), train);
  write_matrix(path("test.npy"), test);
  const Json json = Json::parse(succeed({"evaluate", "m.safetensors", "test.npy", "--train", "train.npy", "--density",
                                         "eight_gaussians", "--method", "quadrature", "--quadrature-points", "300"})
                                    .out);
  const double model = json["mean_log_likelihood"], truth = json["density"]["mean_log_likelihood"];
  EXPECT_NEAR(json["density"]["gap"].get<double>(), truth - model, 1e-9);
  EXPECT_NEAR(json["density"]["best_attainable"].get<double>(), -1.123078, 1e-5);
  EXPECT_NEAR(truth, -1.123078, 0.1);
  const Json& baselines = json["baselines"];
  EXPECT_EQ(baselines["fitted_on"], "train.npy");
  EXPECT_EQ(baselines["fitted_on_evaluated_data"], false);
  // Eight components are the truth, one Gaussian is 1.8 nats away from it.
  EXPECT_GE(baselines["gaussian_mixture_components"], 8);
  EXPECT_GT(baselines["gaussian_mixture"].get<double>(), truth - 0.04);
  EXPECT_LT(baselines["gaussian"].get<double>(), truth - 1.0);
  EXPECT_EQ(baselines["best"], "gaussian_mixture");
  EXPECT_LT(baselines["marginals"].get<double>(), truth - 0.5);
  EXPECT_GT(baselines["kernel_density"].get<double>(), truth - 0.2);
  EXPECT_FALSE(baselines.contains("factor_mixture")) << "there is nothing that it could leave out";
  EXPECT_NEAR(json["quadrature_points"].get<int>(), 300, 1);
}

TEST_F(Evaluate, GapToATargetOfMoreDimensions) {
  gaussian_model(5, 1.0f).save(path("m.safetensors"));
  succeed({"data", "twonorm", "--dim", "5", "--n", "400", "--out", "x.npy", "--log-density", "l.npy"});
  const Json json = Json::parse(succeed({"evaluate", "m.safetensors", "x.npy", "--density", "twonorm", "--no-baselines",
                                         "--ais-temperatures", "20"})
                                    .out);
  double truth = 0;
  const Matrix log_p = read_matrix(path("l.npy"));
  for (const float v : log_p.values()) truth += static_cast<double>(v) / 400;
  EXPECT_NEAR(json["density"]["mean_log_likelihood"].get<double>(), truth, 1e-5);
  // Along the line of the centres N(0, 1) stands for two Gaussians 4 apart: (1 + 4) / 2 - log 2 - 1/2 = 1.3, nearly.
  EXPECT_NEAR(json["density"]["gap"].get<double>(), 1.35, 0.3);
  EXPECT_TRUE(json["density"]["best_attainable"].is_null());
  expect_wrong_request({"evaluate", "m.safetensors", "x.npy", "--density", "rings"}, {"--density = rings", "D = 5"});
}

TEST_F(Evaluate, RefusalGivesNoNumberAndExitOne) {
  gaussian_model(2, 0.0f).save(path("flat.safetensors"));  // the integral of exp(0) does not converge
  write_ring("x.npy");
  const Outcome outcome = run({"evaluate", "flat.safetensors", "x.npy"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_NE(outcome.err.find("no log-likelihood"), std::string::npos) << outcome.err;
  const Json json = Json::parse(outcome.out);
  EXPECT_TRUE(json["log_z"].is_null());
  EXPECT_TRUE(json["mean_log_likelihood"].is_null());
  EXPECT_FALSE(json["refused"].get<std::string>().empty());
  EXPECT_TRUE(json["baselines"]["gaussian"].is_number());
}

TEST_F(Evaluate, ColumnsOfCelsiusAndFahrenheitAreRefusedOrRight) {
  // E = softplus(2000 u) + softplus(-2000 u) + |x|^2 / 2, u = 0.6 x + 0.8 y: a line that no plain grid resolves.
  MlpShape shape;
  shape.dim = 2;
  shape.hidden = {2};
  shape.activation = Activation::softplus;
  shape.confinement = 1;
  Mlp model(shape);
  const float slope = 2000;
  model.weight(0)[0] = 0.6f * slope;
  model.weight(0)[1] = 0.8f * slope;
  model.weight(0)[2] = -0.6f * slope;
  model.weight(0)[3] = -0.8f * slope;
  model.weight(1)[0] = model.weight(1)[1] = 1;
  model.save(path("line.safetensors"));
  write("x.csv", "0,0\n0.8,-0.6\n");
  for (const char* points : {"300", "1000"}) {
    const Outcome outcome =
        run({"evaluate", "line.safetensors", "x.csv", "--no-baselines", "--quadrature-points", points});
    EXPECT_EQ(outcome.status, 1) << outcome.out;
    const Json json = Json::parse(outcome.out);
    EXPECT_TRUE(json["log_z"].is_null());
    EXPECT_TRUE(json["mean_log_likelihood"].is_null());
    EXPECT_NE(json["refused"].get<std::string>().find("does not resolve"), std::string::npos);
  }
  const Json json = Json::parse(succeed({"evaluate", "line.safetensors", "x.csv", "--no-baselines"}).out);
  EXPECT_NEAR(json["log_z"].get<double>(), 0.5 * std::log(2 * std::numbers::pi) + std::log(1.0 / slope), 0.002);
  EXPECT_GT(json["quadrature_cells"], 0);
  EXPECT_LT(json["log_z_stderr"].get<double>(), json["thresholds"]["log_z_stderr"].get<double>());
}

TEST_F(Evaluate, LogZIsTheModelsWhateverThePoints) {
  for (const int dim : {1, 2, 3}) {
    gaussian_model(dim, 2.0f).save(path("m.safetensors"));
    const auto columns = static_cast<std::size_t>(dim);
    Matrix x(40, columns);
    for (std::size_t i = 0; i < x.values().size(); ++i) x.values()[i] = std::sin(static_cast<float>(7 * i + 1));
    write_matrix(path("x.npy"), x);
    x(3, 0) = 1e6f;
    write_matrix(path("outlier.npy"), x);
    const Matrix few(1, columns);
    write_matrix(path("few.npy"), few);
    const auto log_z = [&](const char* file) {
      return Json::parse(succeed({"evaluate", "m.safetensors", file, "--no-baselines", "--ais-temperatures", "50"})
                             .out)["log_z"]
          .get<double>();
    };
    EXPECT_EQ(log_z("x.npy"), log_z("outlier.npy")) << dim;
    EXPECT_EQ(log_z("x.npy"), log_z("few.npy")) << dim;
  }
}

TEST_F(Evaluate, FewAnnealedChainsAreNoWayToAValue) {
  gaussian_model(3, 1.0f).save(path("m.safetensors"));
  const Matrix x(5, 3);
  write_matrix(path("x.npy"), x);
  for (const char* chains : {"2", "10", "24"}) {
    const Outcome outcome = run(
        {"evaluate", "m.safetensors", "x.npy", "--ais-chains", chains, "--no-baselines", "--ais-temperatures", "20"});
    EXPECT_EQ(outcome.status, 1) << chains;
    const Json json = Json::parse(outcome.out);
    EXPECT_TRUE(json["mean_log_likelihood"].is_null());
    EXPECT_EQ(json["thresholds"]["effective_sample_size"], 25.0);
  }
  const Json json = Json::parse(succeed({"evaluate", "m.safetensors", "x.npy", "--ais-chains", "3000", "--no-baselines",
                                         "--ais-temperatures", "20"})
                                    .out);
  EXPECT_EQ(json["thresholds"]["effective_sample_size"], 30.0) << "a hundredth of the chains, when that is more";
}

TEST_F(Evaluate, BaselinesDoNotDependOnUnits) {
  gaussian_model(3, 1.0f).save(path("m.safetensors"));
  std::string plain, scaled, constant;
  for (int i = 0; i < 200; ++i) {
    const double a = std::sin(i * 1.7), b = std::cos(i * i * 0.3), c = std::sin(i * 0.37 + 1);
    plain += fmt::format("{},{},{}\n", a, b, c);
    scaled += fmt::format("{},{},{}\n", 1e-3 * a, b, 1e3 * c);
    constant += fmt::format("{},{},4\n", a, b);
  }
  write("plain.csv", plain);
  write("scaled.csv", scaled);
  write("constant.csv", constant);
  write("all_constant.csv", [] {
    std::string text;
    for (int i = 0; i < 20; ++i) text += "1,2,3\n";
    return text;
  }());
  const auto evaluate = [&](const char* file) {
    return run({"evaluate", "m.safetensors", file, "--ais-temperatures", "20", "--ais-chains", "100"});
  };
  const Json a = Json::parse(evaluate("plain.csv").out)["baselines"];
  const Json b = Json::parse(evaluate("scaled.csv").out)["baselines"];
  for (const char* name :
       {"marginals", "gaussian", "gaussian_copula", "gaussian_mixture", "factor_mixture", "kernel_density"}) {
    EXPECT_NEAR(a[name].get<double>(), b[name].get<double>(), 1e-3) << name;
  }
  EXPECT_EQ(a["best"], b["best"]);
  EXPECT_EQ(a["gaussian_mixture_components"], b["gaussian_mixture_components"]);
  const Outcome outcome = evaluate("constant.csv");
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(Json::parse(outcome.out)["baselines"]["constant_columns"], Json({2}));
  EXPECT_NE(outcome.err.find("constant columns"), std::string::npos) << outcome.err;
  const Outcome nothing = evaluate("all_constant.csv");
  EXPECT_EQ(nothing.status, 0) << nothing.err;
  EXPECT_TRUE(Json::parse(nothing.out)["baselines"]["gaussian"].is_null());
  EXPECT_FALSE(Json::parse(nothing.out)["baselines"]["refused"].get<std::string>().empty());
}

TEST_F(Evaluate, BaselinesOfWholeNumbersAreHistogramsUnderTheNoise) {
  // 60 % zeros, 40 % ones in each of two columns, apart: the histogram has log(0.6), log(0.4) at any noise.
  gaussian_model(2, 1.0f).save(path("m.safetensors"));
  std::string text;
  for (int i = 0; i < 100; ++i) text += fmt::format("{},{}\n", i % 5 < 3 ? 0 : 1, i / 5 % 5 < 3 ? 0 : 1);
  write("x.csv", text);
  const Json json = Json::parse(succeed({"evaluate", "m.safetensors", "x.csv", "--dequantize", "1"}).out)["baselines"];
  const double histogram = 2 * (0.6 * std::log(60.5 / 101) + 0.4 * std::log(40.5 / 101));
  EXPECT_NEAR(json["marginals"].get<double>(), histogram, 1e-3);
  EXPECT_LT(json["gaussian"].get<double>(), histogram - 0.1);
}

TEST_F(Evaluate, DequantizationFollowsTheSeed) {
  gaussian_model(2, 1.0f).save(path("m.safetensors"));
  write("x.csv", "0,1\n1,0\n2,1\n1,1\n");
  const auto value = [&](const char* seed, const char* width) {
    return Json::parse(succeed({"evaluate", "m.safetensors", "x.csv", "--dequantize", width, "--seed", seed,
                                "--no-baselines", "--quiet"})
                           .out)["mean_log_likelihood"]
        .get<double>();
  };
  EXPECT_EQ(value("1", "1"), value("1", "1"));
  EXPECT_NE(value("1", "1"), value("2", "1"));
  EXPECT_EQ(value("1", "0"), value("2", "0"));
}

TEST_F(Evaluate, AisOfAGaussianMatchesItsClosedForm) {
  gaussian_model(3, 1.0f).save(path("m.safetensors"));
  Matrix x(60, 3);
  for (std::size_t i = 0; i < x.values().size(); ++i) x.values()[i] = std::sin(static_cast<float>(7 * i + 1)) * 1.2f;
  write_matrix(path("x.npy"), x);
  const Json json = Json::parse(
      succeed({"evaluate", "m.safetensors", "x.npy", "--ais-temperatures", "100", "--ais-chains", "256", "--seed", "5"})
          .out);
  const double exact = 1.5 * std::log(2 * std::numbers::pi);
  EXPECT_EQ(json["method"], "ais");
  EXPECT_EQ(json["ais_chains"], 256);
  EXPECT_EQ(json["ais_temperatures"], 100);
  // Five standard errors, alpha 6e-7; a log Z that ignored one of the three dimensions would be 0.92 off.
  const double error = json["log_z_stderr"];
  EXPECT_LT(error, 0.1);
  EXPECT_NEAR(json["log_z"].get<double>(), exact, 5 * error + 1e-3);
  EXPECT_GT(json["effective_sample_size"].get<double>(), 10.0);
  EXPECT_TRUE(json["log_z_upper_bound"].is_number());
  EXPECT_TRUE(json["mean_log_likelihood"].is_number());
}

TEST_F(Evaluate, AisRefusesWhenTheChainsAreTooUnequal) {
  // Two narrow modes far apart in 16 dimensions: the Gaussian of the model's own chains spans both and is nearly empty
  // of mass, and two temperatures do not bridge that.
  MlpShape shape;
  shape.dim = 16;
  shape.hidden = {2};
  shape.activation = Activation::relu;
  shape.head = Head::logits;
  shape.outputs = 2;
  shape.confinement = 400;
  Mlp model(shape);
  model.weight(0)[0] = 1;
  model.weight(0)[16] = -1;
  model.weight(1)[0] = model.weight(1)[3] = 400;
  model.weight(1)[1] = model.weight(1)[2] = -400;
  model.save(path("modes.safetensors"));
  const Matrix x(20, 16);
  write_matrix(path("x.npy"), x);
  const Outcome outcome = run(
      {"evaluate", "modes.safetensors", "x.npy", "--ais-temperatures", "2", "--ais-chains", "1000", "--no-baselines"});
  EXPECT_EQ(outcome.status, 1) << outcome.out;
  const Json json = Json::parse(outcome.out);
  EXPECT_TRUE(json["log_z"].is_null());
  EXPECT_TRUE(json["mean_log_likelihood"].is_null());
  EXPECT_TRUE(json["log_z_lower_bound"].is_number());
  EXPECT_NE(json["refused"].get<std::string>().find("--ais-temperatures"), std::string::npos);
}

TEST_F(Evaluate, LabelsAddAccuracyAndCrossEntropy) {
  // f = (0, x_0 + 1) through a relu: class 1 wins exactly where x_0 > -1.
  MlpShape shape;
  shape.dim = 1;
  shape.hidden = {1};
  shape.activation = Activation::relu;
  shape.head = Head::logits;
  shape.outputs = 2;
  shape.confinement = 1;
  Mlp model(shape);
  model.weight(0)[0] = 1;
  model.bias(0)[0] = 1;
  model.weight(1)[1] = 1;
  model.bias(1)[1] = -0.5f;
  model.save(path("m.safetensors"));
  write("x.csv", "-2,0\n1,1\n2,1\n0.5,0\n");
  const Json json =
      Json::parse(succeed({"evaluate", "m.safetensors", "x.csv", "--label-column", "1", "--no-baselines"}).out);
  EXPECT_EQ(json["classification"]["accuracy"], 0.75);
  const auto nll = [](double margin) { return std::log1p(std::exp(-margin)); };  // margins -f_y + f_other
  EXPECT_NEAR(json["classification"]["cross_entropy"].get<double>(), (nll(0.5) + nll(1.5) + nll(2.5) + nll(-1.0)) / 4,
              1e-5);
}

TEST_F(Evaluate, AModelIsNormalisedInItsBox) {
  // E = x^2 / 2 + y^2 / 2 in [-1, 1]^2: Z = (sqrt(2 pi) erf(1 / sqrt 2))^2.
  Mlp model = gaussian_model(2);
  model.notes() = {{"sampler", "mala"}, {"clamp", "-1,1"}};
  model.save(path("box.safetensors"));
  const Matrix x(3, 2, {0, 0, -1, 1, 0.5f, 0.25f});
  write_matrix(path("inside.npy"), x);
  const double inside = 2 * std::log(std::sqrt(2 * M_PI) * std::erf(std::sqrt(0.5)));
  const Outcome outcome = succeed({"evaluate", "box.safetensors", "inside.npy", "--no-baselines"});
  EXPECT_NE(outcome.err.find("p(x) is 0 outside the box -1,1 (the model's"), std::string::npos) << outcome.err;
  const Json json = Json::parse(outcome.out);
  EXPECT_NEAR(json["log_z"].get<double>(), inside, 2e-4);
  EXPECT_EQ(json["clamp"]["hi"], Json{1.0});
  EXPECT_NEAR(json["mean_log_likelihood"].get<double>(), -(0.0 + 1.0 + 0.15625) / 3 - inside, 2e-4);

  const Json off =
      Json::parse(succeed({"evaluate", "box.safetensors", "inside.npy", "--no-baselines", "--clamp", "off"}).out);
  EXPECT_NEAR(off["log_z"].get<double>(), std::log(2 * M_PI), 2e-4);
  EXPECT_FALSE(off.contains("clamp"));
  // A box that cuts nothing off changes nothing.
  const Json wide =
      Json::parse(succeed({"evaluate", "box.safetensors", "inside.npy", "--no-baselines", "--clamp", "-100,100"}).out);
  EXPECT_EQ(wide["log_z"], off["log_z"]);

  write("outside.csv", "0,0\n1.5,0\n");
  const Outcome refused = run({"evaluate", "box.safetensors", "outside.csv", "--no-baselines"});
  EXPECT_EQ(refused.status, 1);
  EXPECT_TRUE(Json::parse(refused.out)["mean_log_likelihood"].is_null());
  EXPECT_NE(refused.err.find("1 of 2 points lie outside"), std::string::npos) << refused.err;

  const Outcome sampled =
      succeed({"sample", "box.safetensors", "--chains", "5", "--langevin-steps", "50", "--out", "s.npy"});
  EXPECT_NE(sampled.err.find("the model's box -1,1"), std::string::npos) << sampled.err;
  EXPECT_EQ(Json::parse(sampled.out)["clamp"]["lo"], Json{-1.0});
  const Matrix samples = read_matrix(path("s.npy"));
  for (const float v : samples.values()) EXPECT_LE(std::fabs(v), 1.0f);

  // Another box for the chains: inside the model's, beyond it, apart from it.
  const auto chains_in = [](const char* clamp) {
    return std::vector<std::string>{"sample", "box.safetensors", "--chains", "5", "--langevin-steps",
                                    "5",      "--clamp",         clamp};
  };
  EXPECT_EQ(succeed(chains_in("-0.5,1")).err.find("warning"), std::string::npos);
  EXPECT_NE(succeed(chains_in("0,2")).err.find("0,2 reaches beyond the model's box -1,1"), std::string::npos);
  expect_wrong_request(chains_in("1,2"), {"--clamp", "shares nothing with the model's box -1,1"});
}

}  // namespace
}  // namespace ebm::test
