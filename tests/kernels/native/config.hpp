// The table that the native tests use: small, with states, on a few threads with tiny parts.
#pragma once

#include "table.hpp"

namespace emberline {

// Fields are set by name: a new one of the table keeps its default here.
inline TableConfig small_config(u64 hash_mask, int threads) {
  TableConfig config{};
  config.name = "probe";
  config.dim = 5;
  config.optimizer.kind = OptimizerKind::adagrad;
  config.optimizer.learning_rate = 0.1f;
  config.optimizer.initial_state = 0.1f;
  config.optimizer.epsilon = 1e-7f;
  config.initializer = {InitializerKind::normal, 0.0f, 1.0f};
  config.seed = 7;
  config.max_rows = 1000;
  config.hash_mask = hash_mask;
  config.threads = threads;
  config.grain = 2;
  return config;
}

}  // namespace emberline
