// Sparse optimizers: the update of one row, as Keras 3's optimizer of that name does it.
//
// The order of the float32 operations is Keras' own, so a row that every step touches gets what a
// row of a dense variable gets. One update of a row has three parts:
//   1. `row_update`, once: from the gradient's square sum (square_sum.cuh) and the row's scalar
//      state it works out what all lanes share. It writes nothing.
//   2. `optimizer_lane`, for every lane, in any order or at once.
//   3. `finish_row`, once, after every reader of the scalar state: writes it.
//
// States of a row: arrays of `dim` floats, one after the other, then at most one scalar.
#pragma once

#include "powers.cuh"

namespace emberline {

enum class OptimizerKind : int {
  sgd = 0,                        // -
  adagrad = 1,                    // accumulator[dim]
  momentum = 2,                   // momentum[dim]
  nesterov = 3,                   // momentum[dim]
  rowwise_adagrad = 4,            // accumulator
  adam = 5,                       // momentum[dim], velocity[dim], count
  amsgrad = 6,                    // momentum[dim], velocity[dim], velocity_hat[dim], count
  ftrl = 7,                       // accumulator[dim], linear[dim]; power 0.5
  ftrl_power = 8,                 // the same, any power
  rmsprop = 9,                    // velocity[dim]
  rmsprop_momentum = 10,          // velocity[dim], momentum[dim]
  rmsprop_centered = 11,          // velocity[dim], average[dim]
  rmsprop_centered_momentum = 12  // velocity[dim], average[dim], momentum[dim]
};

// Every field is 4 bytes wide, so that a launcher can pack them in order. Unused ones are 0.
struct OptimizerConfig {
  OptimizerKind kind;
  float learning_rate;
  float initial_state;  // of a new row's accumulators; other states start at 0
  float epsilon;
  float weight_decay = 0.0f;  // 0: none
  float clip_norm = 0.0f;     // 0: none
  float momentum = 0.0f;
  float decay_1 = 0.0f;  // Adam's beta_1
  float rest_1 = 0.0f;   // 1 - decay_1, rounded once from double as Keras has it
  float decay_2 = 0.0f;  // Adam's beta_2, RMSprop's rho
  float rest_2 = 0.0f;
  float power = 0.0f;  // FTRL's: -learning_rate_power
  float l1 = 0.0f;
  float l2 = 0.0f;
  float shrinkage = 0.0f;  // twice l2_shrinkage_regularization_strength
  float beta = 0.0f;
};

static_assert(sizeof(OptimizerConfig) == 16 * 4, "a launcher packs the fields without gaps");

// Arrays of `dim` states.
EMBERLINE_HD i64 states_per_weight(OptimizerKind kind) {
  switch (kind) {
    case OptimizerKind::sgd:
    case OptimizerKind::rowwise_adagrad: return 0;
    case OptimizerKind::adagrad:
    case OptimizerKind::momentum:
    case OptimizerKind::nesterov:
    case OptimizerKind::rmsprop: return 1;
    case OptimizerKind::amsgrad:
    case OptimizerKind::rmsprop_centered_momentum: return 3;
    default: return 2;
  }
}

// Scalar states of a row, 0 or 1.
EMBERLINE_HD i64 states_per_row(OptimizerKind kind) {
  return kind == OptimizerKind::rowwise_adagrad || kind == OptimizerKind::adam ||
                 kind == OptimizerKind::amsgrad
             ? 1
             : 0;
}

// Floats of state that a row of `dim` weights carries.
EMBERLINE_HD i64 optimizer_state_floats(OptimizerKind kind, i64 dim) {
  return states_per_weight(kind) * dim + states_per_row(kind);
}

// What state `i` of a new row starts with.
EMBERLINE_HD float optimizer_initial_state(const OptimizerConfig& config, i64 dim, i64 i) {
  const bool ftrl =
      config.kind == OptimizerKind::ftrl || config.kind == OptimizerKind::ftrl_power;
  return ftrl && i >= dim ? 0.0f : config.initial_state;
}

// Whether `row_update` reads the gradient's square sum.
EMBERLINE_HD bool needs_square_sum(const OptimizerConfig& config) {
  return config.clip_norm > 0.0f || config.kind == OptimizerKind::rowwise_adagrad;
}

// What the lanes of one update share.
struct RowUpdate {
  float norm;    // the gradient's, where it is clipped, else 0
  float rate;    // Adam: the bias-corrected rate; row-wise Adagrad: the root; FTRL: the ridge
  float scalar;  // the row's scalar state after the update
};

// Kingma and Ba 2014, with the bias of the row's own updates corrected and not of the table's
// steps: the moments of a key first seen at step 1000 have seen one gradient, not 1000, and taken
// for 1000 they would make its first step 3.2 times too long. When every row is touched in
// every step the two are the same. `count` is exact up to 2^24, where it stays; by then the
// corrections are 1 for any beta_2 up to 1 - 1e-6.
EMBERLINE_HD float adam_rate(const OptimizerConfig& config, float count) {
  const float bounded = count >= 1.0f ? (count < 16777216.0f ? count : 16777216.0f) : 1.0f;
  const u32 updates = static_cast<u32>(bounded);
  const float correction_1 = 1.0f - decay_power(config.decay_1, updates);
  const float correction_2 = 1.0f - decay_power(config.decay_2, updates);
  return config.learning_rate * sqrtf(correction_2) / correction_1;
}

// `gradient_squares`: the square sum of the row's summed gradient, if `needs_square_sum`.
EMBERLINE_HD RowUpdate row_update(const OptimizerConfig& config, i64 dim, float gradient_squares,
                                  const float* states) {
  RowUpdate update{0.0f, 0.0f, 0.0f};
  float squares = gradient_squares;
  if (config.clip_norm > 0.0f) {
    const float norm = sqrtf(squares);
    if (norm > config.clip_norm) squares = config.clip_norm * config.clip_norm;
    if (!(norm <= config.clip_norm)) update.norm = norm;  // a NaN spreads over the row, as in Keras
  }
  if (config.kind == OptimizerKind::rowwise_adagrad) {
    update.scalar = states[0] + squares / static_cast<float>(dim);
    update.rate = sqrtf(update.scalar + config.epsilon);
  } else if (config.kind == OptimizerKind::adam || config.kind == OptimizerKind::amsgrad) {
    update.scalar = states[states_per_weight(config.kind) * dim] + 1.0f;
    update.rate = adam_rate(config, update.scalar);
  } else if (config.kind == OptimizerKind::ftrl || config.kind == OptimizerKind::ftrl_power) {
    update.rate = 2.0f * (config.l2 + config.beta / (2.0f * config.learning_rate));
  }
  return update;
}

EMBERLINE_HD void finish_row(const OptimizerConfig& config, const RowUpdate& update, i64 dim,
                             float* states) {
  if (states_per_row(config.kind) != 0) {
    states[states_per_weight(config.kind) * dim] = update.scalar;
  }
}

// Duchi, Hazan, Singer 2011; epsilon inside the root, as Keras has it.
EMBERLINE_HD void adagrad_lane(const OptimizerConfig& config, float gradient, float* weight,
                               float* accumulator) {
  *accumulator += gradient * gradient;
  *weight -= config.learning_rate * gradient / sqrtf(*accumulator + config.epsilon);
}

// Polyak 1964; Sutskever et al. 2013 for Nesterov's.
EMBERLINE_HD void momentum_lane(const OptimizerConfig& config, bool nesterov, float gradient,
                                float* weight, float* momentum) {
  const float step = gradient * config.learning_rate;
  *momentum = *momentum * config.momentum - step;
  *weight += nesterov ? *momentum * config.momentum - step : *momentum;
}

// With `velocity_hat` the AMSGrad of Reddi, Kale, Kumar 2018.
template <bool amsgrad>
EMBERLINE_HD void adam_lane(const OptimizerConfig& config, float rate, float gradient,
                            float* weight, float* momentum, float* velocity,
                            float* velocity_hat) {
  *momentum += (gradient - *momentum) * config.rest_1;
  *velocity += (gradient * gradient - *velocity) * config.rest_2;
  float squares = *velocity;
  if constexpr (amsgrad) {
    squares = squares < *velocity_hat ? *velocity_hat : squares;
    *velocity_hat = squares;
  }
  *weight -= *momentum * rate / (sqrtf(squares) + config.epsilon);
}

// McMahan et al. 2013, with the shrinkage that Keras has.
template <bool any_power>
EMBERLINE_HD void ftrl_lane(const OptimizerConfig& config, float ridge, float gradient,
                            float* weight, float* accumulator, float* linear) {
  const float squares = *accumulator + gradient * gradient;
  const float before = any_power ? positive_power(*accumulator, config.power) : sqrtf(*accumulator);
  const float after = any_power ? positive_power(squares, config.power) : sqrtf(squares);
  const float shrunk = gradient + config.shrinkage * *weight;
  *linear += shrunk - (after - before) / config.learning_rate * *weight;
  const float quadratic = after / config.learning_rate + ridge;
  float clipped = *linear < config.l1 ? *linear : config.l1;
  clipped = clipped > -config.l1 ? clipped : -config.l1;
  *weight = (clipped - *linear) / quadratic;
  *accumulator = squares;
}

// Hinton 2012. `average` is used if centered, `momentum` with momentum. A variance that rounding
// makes negative counts as 0; Keras' is NaN from there on.
template <bool centered, bool with_momentum>
EMBERLINE_HD void rmsprop_lane(const OptimizerConfig& config, float gradient, float* weight,
                               float* velocity, float* average, float* momentum) {
  *velocity = config.decay_2 * *velocity + config.rest_2 * (gradient * gradient);
  float variance = *velocity;
  if constexpr (centered) {
    *average = config.decay_2 * *average + config.rest_2 * gradient;
    variance -= *average * *average;
    variance = 0.0f > variance ? 0.0f : variance;
  }
  float step = config.learning_rate * gradient / sqrtf(variance + config.epsilon);
  if constexpr (with_momentum) {
    step += config.momentum * *momentum;
    *momentum = step;
  }
  *weight -= step;
}

// Update one lane of a row from its summed gradient. `state` is the lane's in the first array.
template <OptimizerKind kind>
EMBERLINE_HD void optimizer_lane(const OptimizerConfig& config, const RowUpdate& update, i64 dim,
                                 float gradient, float* weight, float* state) {
  using Kind = OptimizerKind;
  if (update.norm != 0.0f) gradient = gradient * config.clip_norm / update.norm;
  if (config.weight_decay != 0.0f) {  // decoupled: Loshchilov and Hutter 2019
    *weight -= *weight * config.weight_decay * config.learning_rate;
  }
  if constexpr (kind == Kind::sgd) {
    *weight -= gradient * config.learning_rate;
  } else if constexpr (kind == Kind::adagrad) {
    adagrad_lane(config, gradient, weight, state);
  } else if constexpr (kind == Kind::momentum || kind == Kind::nesterov) {
    momentum_lane(config, kind == Kind::nesterov, gradient, weight, state);
  } else if constexpr (kind == Kind::rowwise_adagrad) {
    *weight -= config.learning_rate * gradient / update.rate;
  } else if constexpr (kind == Kind::adam) {
    adam_lane<false>(config, update.rate, gradient, weight, state, state + dim, nullptr);
  } else if constexpr (kind == Kind::amsgrad) {
    adam_lane<true>(config, update.rate, gradient, weight, state, state + dim, state + 2 * dim);
  } else if constexpr (kind == Kind::ftrl) {
    ftrl_lane<false>(config, update.rate, gradient, weight, state, state + dim);
  } else if constexpr (kind == Kind::ftrl_power) {
    ftrl_lane<true>(config, update.rate, gradient, weight, state, state + dim);
  } else if constexpr (kind == Kind::rmsprop) {
    rmsprop_lane<false, false>(config, gradient, weight, state, nullptr, nullptr);
  } else if constexpr (kind == Kind::rmsprop_momentum) {
    rmsprop_lane<false, true>(config, gradient, weight, state, nullptr, state + dim);
  } else if constexpr (kind == Kind::rmsprop_centered) {
    rmsprop_lane<true, false>(config, gradient, weight, state, state + dim, nullptr);
  } else {
    rmsprop_lane<true, true>(config, gradient, weight, state, state + dim, state + 2 * dim);
  }
}

// Call `visit.template operator()<kind>()` for the kind: one loop, or one kernel, for each.
template <class Visit>
EMBERLINE_HD void visit_kind(OptimizerKind kind, const Visit& visit) {
  using Kind = OptimizerKind;
  switch (kind) {
    case Kind::sgd: return visit.template operator()<Kind::sgd>();
    case Kind::adagrad: return visit.template operator()<Kind::adagrad>();
    case Kind::momentum: return visit.template operator()<Kind::momentum>();
    case Kind::nesterov: return visit.template operator()<Kind::nesterov>();
    case Kind::rowwise_adagrad: return visit.template operator()<Kind::rowwise_adagrad>();
    case Kind::adam: return visit.template operator()<Kind::adam>();
    case Kind::amsgrad: return visit.template operator()<Kind::amsgrad>();
    case Kind::ftrl: return visit.template operator()<Kind::ftrl>();
    case Kind::ftrl_power: return visit.template operator()<Kind::ftrl_power>();
    case Kind::rmsprop: return visit.template operator()<Kind::rmsprop>();
    case Kind::rmsprop_momentum: return visit.template operator()<Kind::rmsprop_momentum>();
    case Kind::rmsprop_centered: return visit.template operator()<Kind::rmsprop_centered>();
    case Kind::rmsprop_centered_momentum:
      return visit.template operator()<Kind::rmsprop_centered_momentum>();
  }
}

}  // namespace emberline
