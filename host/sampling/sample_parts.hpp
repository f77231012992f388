// A sample whose chains run in parts, one after the other: those of several models, or with columns in several orders.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include "ebmcuda/sampler.hpp"

namespace ebm {

class SampleParts {
 public:
  // How much of the work lies before a part, how much it is, and of how much.
  struct Share {
    std::size_t before, own, all;
  };

  // For n chains of D = dim. `options` are the whole's, and outlive this.
  SampleParts(const SampleOptions& options, std::size_t n, std::size_t dim) : options_(options) {
    whole_.x = Matrix(n, dim);
    whole_.energy.resize(n);
    whole_.restarted.resize(n);
    whole_.n_steps = options.n_steps;
    if (options.thin > 0 && options.n_steps > 0) {
      whole_.trajectory.assign(static_cast<std::size_t>(options.n_steps / options.thin), whole_.x);
    }
  }
  SampleParts(const SampleParts&) = delete;
  SampleParts& operator=(const SampleParts&) = delete;

  // Those of a part: the whole's, with the whole's progress; no steps once that has said to stop.
  SampleOptions options_of(Share share) {
    SampleOptions part = options_;
    if (stopped_) part.n_steps = 0;
    if (options_.progress) {
      part.progress = [this, share, before = whole_.seconds](const SampleProgress& now) {
        const auto done =
            static_cast<std::int64_t>(share.before) * now.n_steps + static_cast<std::int64_t>(share.own) * now.step;
        stopped_ = stopped_ ||
                   !options_.progress({done / static_cast<std::int64_t>(share.all), now.n_steps, before + now.seconds});
        return !stopped_;
      };
    }
    return part;
  }

  // Row i of the part is row row_of(i) of the whole, column j column_of(j). What it says of replicas is the caller's.
  template <class Row, class Column>
  void add(SampleResult part, const Row& row_of, const Column& column_of) {
    const auto place = [&](const Matrix& from, Matrix* to) {
      for (std::size_t i = 0; i < from.rows(); ++i) {
        for (std::size_t j = 0; j < from.cols(); ++j) (*to)(row_of(i), column_of(j)) = from(i, j);
      }
    };
    place(part.x, &whole_.x);
    for (std::size_t i = 0; i < part.energy.size(); ++i) whole_.energy[row_of(i)] = part.energy[i];
    for (std::size_t i = 0; i < part.restarted.size(); ++i) whole_.restarted[row_of(i)] = part.restarted[i];
    for (std::size_t t = 0; t < std::min(part.trajectory.size(), whole_.trajectory.size()); ++t) {
      place(part.trajectory[t], &whole_.trajectory[t]);
    }
    whole_.n_steps = std::min(whole_.n_steps, part.n_steps);
    whole_.stats += part.stats;
    whole_.seconds += part.seconds;
    whole_.engine = std::move(part.engine);
  }

  ReplicaStats& replicas() { return whole_.replicas; }

  SampleResult take() {
    if (options_.thin > 0) {
      whole_.trajectory.resize(static_cast<std::size_t>(whole_.n_steps / options_.thin));
    }
    return std::move(whole_);
  }

 private:
  const SampleOptions& options_;
  SampleResult whole_;
  bool stopped_ = false;
};

}  // namespace ebm
