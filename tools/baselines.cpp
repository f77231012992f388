#include "tools/baselines.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string>

#include "ebmcuda/baselines.hpp"
#include "ebmcuda/error.hpp"

namespace ebm::tools {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kFewestRows = 10;
// Full covariances of more columns take gigabytes and minutes.
constexpr std::size_t kMostColumns = 1024;
constexpr const char* kNames[] = {"marginals",        "gaussian",       "gaussian_copula",
                                  "gaussian_mixture", "factor_mixture", "kernel_density"};

void add_mixture(Json& json, const std::string& name, const BaselineRequest& request, MixtureFamily family) {
  const MixtureOptions options = choose_mixture(request.noisy, family, request.seed);
  json[name] = GaussianMixture::fit(request.noisy, options).mean_log_likelihood(request.data);
  json[name + "_components"] = options.components;
  if (family == MixtureFamily::factor_analysers) {
    json[name + "_factors"] = options.factors;
  } else {
    json[name + "_shrinkage"] = options.shrinkage;
  }
}

Json fitted(const BaselineRequest& request, const Console& console) {
  Json json;
  const auto marginals = [&](MarginalDensity::Dependence dependence) {
    return MarginalDensity::fit(request.rows, dependence, request.dequantize, request.seed);
  };
  const MarginalDensity independent = marginals(MarginalDensity::Dependence::none);
  json["marginals"] = independent.mean_log_likelihood(request.data);
  if (!independent.constant_columns().empty()) {
    json["constant_columns"] = independent.constant_columns();
    console.warn("the baselines leave out constant columns, which have no density: features {} (from 0)",
                 fmt::join(independent.constant_columns(), ", "));
  }
  if (request.noisy.cols > kMostColumns) {
    json["refused"] = fmt::format("all but marginals: more than {} columns", kMostColumns);
    return json;
  }
  json["gaussian"] = GaussianDensity::fit(request.noisy).mean_log_likelihood(request.data);
  json["gaussian_copula"] = marginals(MarginalDensity::Dependence::gaussian).mean_log_likelihood(request.data);
  add_mixture(json, "gaussian_mixture", request, MixtureFamily::full_covariances);
  const std::size_t columns = request.noisy.cols - independent.constant_columns().size();
  if (columns >= 3) add_mixture(json, "factor_mixture", request, MixtureFamily::factor_analysers);
  const KernelDensityEstimate kernels = KernelDensityEstimate::fit(request.noisy, request.seed);
  json["kernel_density"] = kernels.mean_log_likelihood(request.data);
  json["kernel_density_bandwidth"] = kernels.bandwidth();
  return json;
}

std::string best_of(const Json& json) {
  std::string best;
  for (const char* name : kNames) {
    if (!json.contains(name) || !json[name].is_number()) continue;
    if (best.empty() || json[name].get<double>() > json[best].get<double>()) best = name;
  }
  return best;
}

Json refused(const std::string& reason) {
  Json json;
  for (const char* name : kNames) json[name] = nullptr;
  json["refused"] = reason;
  return json;
}

}  // namespace

Json baselines_of(const BaselineRequest& request, const Console& console) {
  if (request.noisy.rows < kFewestRows) return refused("fewer than 10 points");
  try {
    Json json = fitted(request, console);
    json["best"] = best_of(json);
    return json;
  } catch (const ConfigError& error) {
    console.warn("no baselines: {}", error.allowed());
    return refused(error.allowed());
  }
}

}  // namespace ebm::tools
