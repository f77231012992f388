// ebmcuda: sampling from, and training, energy-based models with a small neural energy. Everything at once.
#pragma once

#include "ebmcuda/baselines.hpp"
#include "ebmcuda/dataset.hpp"
#include "ebmcuda/densities.hpp"
#include "ebmcuda/device.hpp"
#include "ebmcuda/diagnostics.hpp"
#include "ebmcuda/error.hpp"
#include "ebmcuda/export.hpp"
#include "ebmcuda/files.hpp"
#include "ebmcuda/log_z.hpp"
#include "ebmcuda/matrix.hpp"
#include "ebmcuda/mlp.hpp"
#include "ebmcuda/replay_buffer.hpp"
#include "ebmcuda/sampler.hpp"
#include "ebmcuda/trainer.hpp"
