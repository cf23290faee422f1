// Sparse optimizers: the update of one weight, as Keras 3's optimizer of that name does it.
//
// The order of the float32 operations is Keras' own, so a touched row gets the same bits.
#pragma once

#include "platform.cuh"

namespace emberline {

enum class OptimizerKind : int { sgd = 0, adagrad = 1 };

struct OptimizerConfig {
  OptimizerKind kind;
  float learning_rate;
  float initial_state;
  float epsilon;
};

// Floats of state that a row of `dim` weights carries.
EMBERLINE_HD i64 optimizer_state_floats(OptimizerKind kind, i64 dim) {
  return kind == OptimizerKind::adagrad ? dim : 0;
}

EMBERLINE_HD void sgd_lane(float learning_rate, float gradient, float* weight) {
  *weight -= learning_rate * gradient;
}

// Duchi, Hazan, Singer 2011; epsilon inside the root, as Keras has it.
EMBERLINE_HD void adagrad_lane(const OptimizerConfig& config, float gradient, float* weight,
                               float* accumulator) {
  *accumulator += gradient * gradient;
  *weight -= config.learning_rate * gradient / sqrtf(*accumulator + config.epsilon);
}

// Update lane `lane` of a row from its summed gradient.
EMBERLINE_HD void optimizer_lane(const OptimizerConfig& config, float gradient, i64 lane,
                                 float* weights, float* states) {
  if (config.kind == OptimizerKind::adagrad) {
    adagrad_lane(config, gradient, weights + lane, states + lane);
  } else {
    sgd_lane(config.learning_rate, gradient, weights + lane);
  }
}

}  // namespace emberline
