// Models with a transform: what every public call says in data units.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "ebmcuda/chains.hpp"
#include "ebmcuda/dataset.hpp"
#include "ebmcuda/energy.hpp"
#include "ebmcuda/error.hpp"
#include "ebmcuda/log_z.hpp"
#include "ebmcuda/trainer.hpp"
#include "host/training/training_rows.hpp"
#include "support/engines.hpp"
#include "support/errors.hpp"
#include "support/networks.hpp"

namespace {

using namespace support;

constexpr ebm::TransformKind kKinds[] = {ebm::TransformKind::none, ebm::TransformKind::standardize,
                                         ebm::TransformKind::whiten, ebm::TransformKind::marginals,
                                         ebm::TransformKind::marginals_whiten};

// Skewed and correlated.
ebm::Matrix table(std::size_t n, std::size_t dim) {
  ebm::Matrix x = random_points(n, dim, 3);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t d = 1; d < dim; ++d) x(i, d) = std::exp(0.5f * x(i, d)) + 0.7f * x(i, d - 1);
  }
  return x;
}

class TransformModels : public EngineTest {
 protected:
  static ebm::Mlp model_of(ebm::TransformKind kind, std::size_t dim) {
    ebm::Mlp model =
        random_network(shape_of(static_cast<int>(dim), {9, 7}, ebm::Activation::tanh, ebm::Head::scalar, 1.0f), 5);
    const ebm::Matrix x = table(200, dim);
    model.set_transform(ebm::Transform::fit(kind, x));
    return model;
  }
};

TEST_P(TransformModels, EnergyIsThatOfModelSpaceLessTheLogJacobian) {
  const ebm::Matrix x = table(40, 3);
  for (const auto kind : kKinds) {
    const ebm::Mlp model = model_of(kind, 3);
    ebm::Mlp bare = model;
    bare.set_transform({});
    const ebm::Matrix z = model.to_model_space(x);
    const std::vector<float> inside = ebm::energy(bare, z, device()), outside = ebm::energy(model, x, device());
    std::vector<double> log_jacobian(x.rows());
    model.transform().log_jacobian(x.values(), log_jacobian);
    for (std::size_t i = 0; i < x.rows(); ++i) {
      EXPECT_NEAR(outside[i], inside[i] - (log_jacobian[i] + model.log_volume()), 1e-4) << to_string(kind);
    }
  }
}

TEST_P(TransformModels, GradientIsThatOfTheEnergy) {
  const ebm::Matrix x = table(10, 3);
  for (const auto kind : kKinds) {
    const ebm::Mlp model = model_of(kind, 3);
    std::vector<float> energies;
    const ebm::Matrix gradient = ebm::energy_gradient(model, x, device(), &energies);
    EXPECT_EQ(energies, ebm::energy(model, x, device())) << to_string(kind);
    for (std::size_t i = 0; i < x.rows(); ++i) {
      for (std::size_t d = 0; d < 3; ++d) {
        ebm::Matrix pair(2, 3);
        for (std::size_t e = 0; e < 3; ++e) pair(0, e) = pair(1, e) = x(i, e);
        pair(0, d) -= 4e-3f;
        pair(1, d) += 4e-3f;
        const std::vector<float> e = ebm::energy(model, pair, device());
        const double slope = static_cast<double>(e[1] - e[0]) / static_cast<double>(pair(1, d) - pair(0, d));
        EXPECT_NEAR(gradient(i, d), slope, 0.02 * (1 + std::abs(slope))) << to_string(kind);
      }
    }
  }
}

// exp(-E - log Z) over data units, summed on a grid of its own, is 1: energies, Jacobians and log Z fit together.
TEST_P(TransformModels, DensityIntegratesToOneInDataUnits) {
  for (const auto kind : kKinds) {
    const ebm::Mlp model = model_of(kind, 2);
    const double log_z = ebm::quadrature_log_z(model, {}, {}, device()).log_z;
    const int n = sized(1200, 300);
    const double low = -8, high = 12, step = (high - low) / n;
    ebm::Matrix x(static_cast<std::size_t>(n) * static_cast<std::size_t>(n), 2);
    for (int i = 0; i < n; ++i) {
      for (int j = 0; j < n; ++j) {
        const auto row = static_cast<std::size_t>(i * n + j);
        x(row, 0) = static_cast<float>(low + (i + 0.5) * step);
        x(row, 1) = static_cast<float>(low + (j + 0.5) * step);
      }
    }
    double mass = 0;
    for (const float e : ebm::energy(model, x, device())) mass += std::exp(-static_cast<double>(e) - log_z);
    EXPECT_NEAR(mass * step * step, 1, 0.01) << to_string(kind);
  }
}

// The annealed estimate speaks of the same log Z, and its samples are in data units.
TEST_P(TransformModels, AnnealingAgreesWithQuadrature) {
  if (!is_cpu()) GTEST_SKIP() << "the arithmetic above the seam is the same";
  const ebm::Mlp model = model_of(ebm::TransformKind::marginals_whiten, 2);
  const double expected = ebm::quadrature_log_z(model, {}, {}, device()).log_z;
  const ebm::AisResult result =
      ebm::ais_log_z(model, {.temperatures = 200, .chains = 512, .reverse = false}, {}, device());
  ASSERT_TRUE(result.log_z) << result.refusal;
  EXPECT_NEAR(*result.log_z, expected, 5 * result.stderr_forward + 0.01);
}

TEST_P(TransformModels, ChainsSpeakDataUnits) {
  const ebm::Matrix start = table(20, 3);
  for (const auto kind : kKinds) {
    const ebm::Mlp model = model_of(kind, 3);
    ebm::ChainsOptions options;
    options.init = start;
    ebm::Chains chains(ebm::Energy(model, device()), ebm::Mala{.step_size = 0.05f}, options);
    const ebm::Matrix begun = chains.positions();
    EXPECT_LE(relative_error(begun.values(), to_reference(start.values())), 1e-5);
    chains.run(5);
    const ebm::Matrix x = chains.positions();
    const std::vector<float> expected = ebm::energy(model, x, device()), energies = chains.energies();
    for (std::size_t i = 0; i < x.rows(); ++i) EXPECT_NEAR(energies[i], expected[i], 1e-3) << to_string(kind);
  }
}

// A box of data units is a box of model space only where coordinates stay apart; a Gaussian only in an affine one.
TEST_P(TransformModels, WhatHasNoMeaningIsRefused) {
  const ebm::Mala boxed{.step_size = 0.05f, .jump_prob = 0, .grad_clip = {}, .clamp = ebm::Box{{-9}, {9}}};
  ebm::SampleOptions options;
  options.n_chains = 3;
  options.n_steps = 1;
  ebm::ChainsOptions with_base;
  with_base.n_chains = 3;
  with_base.base = ebm::GaussianEnergy{{0, 0}, ebm::Matrix(2, 2, {1, 0, 0, 1})};
  with_base.beta = 0.5f;
  ebm::QuadratureOptions in_box;
  in_box.box = ebm::Box{{-9}, {9}};
  for (const auto kind : kKinds) {
    const ebm::Mlp model = model_of(kind, 2);
    const bool mixes = kind == ebm::TransformKind::whiten || kind == ebm::TransformKind::marginals_whiten;
    const bool plain = kind == ebm::TransformKind::none || kind == ebm::TransformKind::standardize;
    EXPECT_EQ(field_of([&] { ebm::sample(model, boxed, options, device()); }), mixes ? "clamp" : "(accepted)");
    EXPECT_EQ(field_of([&] { ebm::quadrature_log_z(model, in_box, {}, device()); }), mixes ? "box" : "(accepted)");
    EXPECT_EQ(field_of([&] { ebm::Chains(ebm::Energy(model, device()), ebm::Mala{}, with_base); }),
              plain ? "(accepted)" : "base");
  }
}

EBM_INSTANTIATE_EVALUATORS(TransformModels);

// Whole numbers through cells: noise at every visit, and a resumed run has the bits of an unstopped one.
class TransformTraining : public EngineTest {};

TEST_P(TransformTraining, ResumedRunsHaveTheBitsOfUnstoppedOnes) {
  const std::size_t n = 64;
  ebm::Matrix x(n, 3);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t d = 0; d < 3; ++d) x(i, d) = static_cast<float>((i * (d + 1) + i / 7) % 4);
  }
  std::vector<int> labels;
  for (std::size_t i = 0; i < n; ++i) labels.push_back(static_cast<int>(i % 2));
  const std::filesystem::path path = std::filesystem::path(testing::TempDir()) / ("transform_" + GetParam().name);
  for (const auto kind : {ebm::TransformKind::whiten, ebm::TransformKind::marginals_whiten}) {
    ebm::MlpShape shape = shape_of(3, {17, 16}, ebm::Activation::silu, ebm::Head::logits, 1.0f);
    shape.outputs = 2;
    ebm::Mlp start = random_network(shape, 1);
    start.set_transform(ebm::Transform::fit(kind, x, {.dequantize = 1}));
    ebm::TrainerOptions options;
    options.iterations = 8;
    options.batch_size = 16;
    options.objective.n_steps = 2;
    options.objective.difference_prob = 0.2f;
    options.objective.buffer.capacity = 32;
    options.dequantize = 1;
    ebm::Trainer whole(start, x, options, device(), labels);
    whole.fit();
    ebm::Trainer half(start, x, options, device(), labels);
    half.fit({}, 3);
    half.save_checkpoint(path);
    ebm::Trainer rest = ebm::Trainer::resume(path, x, device(), labels);
    rest.fit();
    const ebm::Mlp a = whole.model(), b = rest.model();
    EXPECT_TRUE(std::ranges::equal(a.parameters(), b.parameters())) << to_string(kind);
    EXPECT_EQ(b.transform().kind(), kind);
    EXPECT_EQ(a.to_model_space(x), b.to_model_space(x));
  }
  std::filesystem::remove(path);
}

// Where a transform makes something else of uniform noise, the rows are copies with noise of their own.
TEST(TrainingRows, CopiesHaveNoiseOfTheirOwn) {
  ebm::Matrix x(10, 2);
  for (std::size_t k = 0; k < 20; ++k) x.values()[k] = static_cast<float>(k % 3);
  const std::vector<int> labels = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  ebm::Mlp model = random_network(shape_of(2, {3}), 1);
  ebm::TrainerOptions options;
  options.iterations = 7;
  options.batch_size = 10;  // every row is visited 7 times
  options.dequantize = 1;
  model.set_transform(ebm::Transform::fit(ebm::TransformKind::marginals_whiten, x, {.dequantize = 1}));
  const ebm::TrainingRows rows = ebm::training_rows(model, options, x, labels);
  ASSERT_EQ(rows.points.rows(), 80u) << "7 and one for what does not divide";
  EXPECT_TRUE(rows.noise.empty());
  const ebm::Matrix back = model.to_data_units(rows.points);
  for (std::size_t i = 0; i < 80; ++i) {
    EXPECT_EQ(rows.labels[i], static_cast<int>(i % 10));
    for (std::size_t d = 0; d < 2; ++d) {
      EXPECT_NEAR(back(i, d), x(i % 10, d) + 0.5f, 0.5 + 1e-4);
      if (i >= 10) {
        EXPECT_NE(back(i, d), back(i - 10, d));
      }
    }
  }
  // Uniform noise stays uniform: the engine adds it, fresh at every visit.
  model.set_transform(ebm::Transform(ebm::Standardization{{0, 0}, {2, 4}}));
  const ebm::TrainingRows plain = ebm::training_rows(model, options, x, labels);
  EXPECT_EQ(plain.points.rows(), 10u);
  EXPECT_EQ(plain.noise, (std::vector<float>{0.5f, 0.25f}));
}

EBM_INSTANTIATE_ENGINES(TransformTraining);

}  // namespace
