#include "ebmcuda/ensemble.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "ebmcuda/energy.hpp"
#include "host/core/check.hpp"
#include "host/core/linear_algebra.hpp"
#include "host/sampling/sample_parts.hpp"

namespace ebm {
namespace {

constexpr std::uint64_t kMemberStride = 0x9E3779B97F4A7C15;

// Chain ids that are members' own: those of member m among first .. first + n - 1 are ids i with i mod M = m, chain
// i / M each, a run of them.
struct MemberChains {
  std::size_t row;      // of the first of them
  std::uint64_t first;  // its number within the member
  std::size_t count;
};

MemberChains chains_of(std::size_t member, std::size_t members, std::uint64_t first, std::size_t n) {
  const std::size_t offset = (member + members - first % members) % members;
  if (offset >= n) return {offset, 0, 0};
  return {offset, (first + offset) / members, (n - offset - 1) / members + 1};
}

Matrix every(MatrixView x, std::size_t first, std::size_t stride, std::size_t count) {
  Matrix rows(count, x.cols);
  for (std::size_t i = 0; i < count; ++i) std::ranges::copy(x.row(first + i * stride), &rows(i, 0));
  return rows;
}

// Of the members' log densities at n points, [M, n].
std::vector<double> averaged(const std::vector<std::vector<double>>& members, std::size_t n) {
  const double log_count = std::log(static_cast<double>(members.size()));
  std::vector<double> result(n), column(members.size());
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t m = 0; m < members.size(); ++m) column[m] = members[m][i];
    const bool zero = *std::ranges::max_element(column) == -std::numeric_limits<double>::infinity();
    result[i] = zero ? column[0] : log_sum_exp(column) - log_count;
  }
  return result;
}

}  // namespace

std::uint64_t member_seed(std::uint64_t seed, std::size_t member) { return seed + member * kMemberStride; }

struct Ensemble::State {
  std::vector<Energy> energies;
  std::vector<EnsembleMember> members;
};

Ensemble::Ensemble(const std::vector<EnsembleMember>& members, const Device& device)
    : state_(std::make_unique<State>()) {
  require(!members.empty(), "members", "none", "must hold at least one model");
  for (const EnsembleMember& member : members) {
    require(member.model.dim() == members.front().model.dim(), "members", member.model.dim(),
            fmt::format("every model must have the first one's D = {}", members.front().model.dim()));
    require(std::isfinite(member.log_z), "log_z", member.log_z, "must be finite");
    require_non_negative("log_z_error", member.log_z_error);
  }
  state_->members = members;
  for (const EnsembleMember& member : members) state_->energies.emplace_back(member.model, device);
}

Ensemble::~Ensemble() = default;
Ensemble::Ensemble(Ensemble&&) noexcept = default;
Ensemble& Ensemble::operator=(Ensemble&&) noexcept = default;

std::size_t Ensemble::size() const noexcept { return state_->members.size(); }
int Ensemble::dim() const noexcept { return state_->members.front().model.dim(); }

std::vector<std::vector<double>> Ensemble::member_log_densities(MatrixView x) const {
  std::vector<std::vector<double>> all;
  for (std::size_t m = 0; m < size(); ++m) {
    const EnsembleMember& member = state_->members[m];
    const std::vector<float> energy = state_->energies[m].values(x);
    std::vector<double>& log_p = all.emplace_back(energy.size());
    for (std::size_t i = 0; i < energy.size(); ++i) {
      const bool zero = member.box && !inside(x.row(i), *member.box);
      log_p[i] = zero ? -std::numeric_limits<double>::infinity() : -static_cast<double>(energy[i]) - member.log_z;
    }
  }
  return all;
}

std::vector<double> Ensemble::log_density(MatrixView x) const { return averaged(member_log_densities(x), x.rows); }

EnsembleLikelihood Ensemble::log_likelihood(MatrixView x) const {
  require(x.rows > 0, "x", "0 rows", "must hold at least one point");
  const std::vector<std::vector<double>> members = member_log_densities(x);
  const std::vector<double> log_p = averaged(members, x.rows);
  const auto n = static_cast<double>(x.rows);
  EnsembleLikelihood result;
  for (const double v : log_p) result.mean += v / n;
  double squares = 0;
  for (const double v : log_p) squares += (v - result.mean) * (v - result.mean);
  result.standard_error = x.rows > 1 ? std::sqrt(squares / (n - 1) / n) : std::numeric_limits<double>::quiet_NaN();
  double variance = 0;
  for (std::size_t m = 0; m < size(); ++m) {
    double share = 0;  // d mean / d log Z_m, but for the sign
    for (std::size_t i = 0; i < x.rows; ++i) {
      if (std::isfinite(log_p[i])) share += std::exp(members[m][i] - log_p[i]) / static_cast<double>(size()) / n;
    }
    variance += share * share * state_->members[m].log_z_error * state_->members[m].log_z_error;
  }
  result.log_z_error = std::sqrt(variance);
  return result;
}

SampleResult sample(const std::vector<Mlp>& models, const std::vector<Sampler>& samplers, const SampleOptions& options,
                    const Device& device) {
  require(!models.empty(), "models", "none", "must hold at least one model");
  require(samplers.size() == models.size(), "samplers", samplers.size(),
          fmt::format("must hold one for each of the {} models", models.size()));
  for (const Mlp& model : models) {
    require(model.dim() == models.front().dim(), "models", model.dim(),
            fmt::format("every model must have the first one's D = {}", models.front().dim()));
  }
  if (models.size() == 1) return sample(models.front(), samplers.front(), options, device);
  require(!options.fixed, "fixed", "given",
          "a conditional density has members in other shares than equal ones; sample one model at a time");
  require(options.init || options.n_chains >= 1, "n_chains", options.n_chains, "must be >= 1");
  const std::size_t members = models.size(), dim = static_cast<std::size_t>(models.front().dim());
  const std::size_t n = options.init ? options.init->rows() : static_cast<std::size_t>(options.n_chains);
  SampleParts whole(options, n, dim);
  for (std::size_t m = 0; m < members; ++m) {
    const MemberChains chains = chains_of(m, members, options.first_chain, n);
    if (chains.count == 0) continue;
    SampleOptions part = whole.options_of({m, 1, members});
    part.seed = member_seed(options.seed, m);
    part.first_chain = chains.first;
    part.n_chains = static_cast<std::int64_t>(chains.count);
    if (options.init) part.init = every(*options.init, chains.row, members, chains.count);
    SampleResult own = sample(models[m], samplers[m], part, device);
    if (m == 0) whole.replicas() = std::move(own.replicas);
    whole.add(
        std::move(own), [&](std::size_t i) { return chains.row + i * members; }, std::identity());
  }
  return whole.take();
}

}  // namespace ebm
