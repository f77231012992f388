// reorder_columns(): the same density, whatever the transform.
#include <gtest/gtest.h>

#include <cmath>

#include "ebmcuda/error.hpp"
#include "ebmcuda/mlp.hpp"
#include "support/networks.hpp"

namespace {

using namespace support;

// Rejects a rotation turned the other way, a permutation used for its inverse, marginals or means left in their places.
TEST(ReorderColumns, SameDensity) {
  const std::vector<std::size_t> order{3, 0, 4, 1, 2};
  ebm::Matrix data = random_points(300, 5, 6);
  for (std::size_t i = 0; i < data.rows(); ++i) {  // correlated, of different scales
    data(i, 4) += 2 * data(i, 0) - data(i, 3);
    data(i, 1) = 5 * data(i, 1) + 3 * data(i, 2) + 7;
  }
  for (const auto kind : {ebm::TransformKind::none, ebm::TransformKind::standardize, ebm::TransformKind::whiten,
                          ebm::TransformKind::marginals, ebm::TransformKind::marginals_whiten}) {
    SCOPED_TRACE(ebm::to_string(kind));
    ebm::Mlp model = random_network(shape_of(5, {16, 9}, ebm::Activation::silu, ebm::Head::scalar, 0.7f), 2);
    model.set_transform(ebm::Transform::fit(kind, data));
    const ebm::Mlp other = ebm::reorder_columns(model, order);
    EXPECT_NEAR(other.log_volume(), model.log_volume(), 1e-9);
    ebm::Matrix moved(data.rows(), 5);
    for (std::size_t i = 0; i < data.rows(); ++i) {
      for (std::size_t j = 0; j < 5; ++j) moved(i, j) = data(i, order[j]);
    }
    const ebm::Device cpu = ebm::Device::cpu(1);
    const auto energies = ebm::energy(model, data, cpu), again = ebm::energy(other, moved, cpu);
    const ebm::Matrix gradient = ebm::energy_gradient(model, data, cpu);
    const ebm::Matrix gradient_again = ebm::energy_gradient(other, moved, cpu);
    for (std::size_t i = 0; i < data.rows(); ++i) {
      ASSERT_NEAR(energies[i], again[i], 2e-5f * (1 + std::abs(energies[i]))) << i;
      for (std::size_t j = 0; j < 5; ++j) {
        ASSERT_NEAR(gradient(i, order[j]), gradient_again(i, j), 5e-4f * (1 + std::abs(gradient(i, order[j])))) << i;
      }
    }
    const ebm::Matrix z = other.to_model_space(moved), back = other.to_data_units(z);
    for (std::size_t i = 0; i < data.rows(); ++i) {
      for (std::size_t j = 0; j < 5; ++j) ASSERT_NEAR(back(i, j), moved(i, j), 1e-4f * (1 + std::abs(moved(i, j))));
    }
  }
}

TEST(ReorderColumns, WrongOrdersAreNamed) {
  const ebm::Mlp model = random_network(shape_of(3, {4}), 1);
  for (const std::vector<std::size_t>& order :
       {std::vector<std::size_t>{0, 1}, std::vector<std::size_t>{0, 1, 1}, std::vector<std::size_t>{0, 1, 3}}) {
    EXPECT_THROW(static_cast<void>(ebm::reorder_columns(model, order)), ebm::ConfigError);
  }
}

}  // namespace
