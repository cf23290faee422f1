"""One optimizer of each kind that the kernels tell apart, and the options that all share."""

from emberline.kernels import (
    SGD,
    Adagrad,
    Adam,
    AdamW,
    Ftrl,
    Optimizer,
    RMSprop,
    RowwiseAdagrad,
)

# By OptimizerKind in optimizers.cuh.
EVERY_KIND: dict[str, Optimizer] = {
    "sgd": SGD(learning_rate=0.1),
    "adagrad": Adagrad(learning_rate=0.05),
    "momentum": SGD(learning_rate=0.1, momentum=0.9),
    "nesterov": SGD(learning_rate=0.1, momentum=0.75, nesterov=True),
    "rowwise_adagrad": RowwiseAdagrad(learning_rate=0.2, initial_accumulator_value=0.3),
    "adam": Adam(learning_rate=0.01),
    "amsgrad": Adam(learning_rate=0.01, beta_1=0.8, beta_2=0.9, amsgrad=True),
    "ftrl": Ftrl(
        learning_rate=0.3,
        l1_regularization_strength=0.01,
        l2_regularization_strength=0.02,
        l2_shrinkage_regularization_strength=0.03,
        beta=0.5,
    ),
    "ftrl_power": Ftrl(learning_rate=0.5, learning_rate_power=-0.7, initial_accumulator_value=0.2),
    "rmsprop": RMSprop(learning_rate=0.02),
    "rmsprop_momentum": RMSprop(learning_rate=0.02, momentum=0.6),
    "rmsprop_centered": RMSprop(learning_rate=0.02, rho=0.8, centered=True, epsilon=1e-3),
    "rmsprop_centered_momentum": RMSprop(momentum=0.4, centered=True, epsilon=1e-3),
}

WITH_OPTIONS: dict[str, Optimizer] = {
    "sgd, clipped": SGD(learning_rate=0.1, clip_norm=0.5),
    "momentum, decay": SGD(learning_rate=0.1, momentum=0.5, weight_decay=0.3),
    "adagrad, both": Adagrad(learning_rate=0.1, weight_decay=0.2, clip_norm=1.5),
    "rowwise, both": RowwiseAdagrad(learning_rate=0.1, weight_decay=0.2, clip_norm=0.7),
    "adamw, clipped": AdamW(learning_rate=0.1, weight_decay=0.1, clip_norm=1.0),
    "ftrl, both": Ftrl(learning_rate=0.1, weight_decay=0.1, clip_norm=1.0),
    "rmsprop, both": RMSprop(learning_rate=0.1, weight_decay=0.1, clip_norm=0.1),
}

ALL = {**EVERY_KIND, **WITH_OPTIONS}
