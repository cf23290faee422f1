"""The optimizers in NumPy, one row at a time: what the kernels must equal, bit for bit.

From the settings as `Optimizer.to_dict` gives them and Keras' formulas. NumPy rounds a Python
float to float32 before it meets a float32 array, as TensorFlow does, and each operation rounds once.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Settings = Mapping[str, Any]


def states_per_weight(settings: Settings) -> int:
    """Arrays of `dim` states, which come before the row's scalar."""
    name = settings["name"]
    if name in ("Adagrad", "Adam", "AdamW", "Ftrl"):
        return {"Adagrad": 1, "Ftrl": 2}.get(name, 3 if settings.get("amsgrad") else 2)
    if name == "RMSprop":
        return 1 + int(settings["centered"]) + int(settings["momentum"] > 0)
    return int(name == "SGD" and settings["momentum"] > 0)


def initial_states(settings: Settings, dim: int) -> Floats:
    """What a new row's states are."""
    states = np.zeros(states_per_weight(settings) * dim, np.float32)
    accumulator = np.float32(settings.get("initial_accumulator_value", 0))
    if settings["name"] in ("Adagrad", "Ftrl"):
        states[:dim] = accumulator
    if settings["name"] == "RowwiseAdagrad":
        return np.append(states, accumulator)
    if settings["name"] in ("Adam", "AdamW"):
        return np.append(states, np.float32(0))
    return states


def square_sum(values: Floats) -> np.float32:
    """Sum the squares: lane i to partial sum i % 32, then pairwise."""
    partial = np.zeros(32, np.float32)
    for lane, value in enumerate(values):
        partial[lane % 32] += value * value
    while len(partial) > 1:
        half = len(partial) // 2
        partial = partial[:half] + partial[half:]
    return np.float32(partial[0])


def update(
    settings: Settings, rate: np.float32, gradient: Floats, weights: Floats, states: Floats
) -> tuple[Floats, Floats]:
    """Give the weights and states after one step of a row."""
    name, dim = settings["name"], len(weights)
    arrays = list(states[: states_per_weight(settings) * dim].reshape(-1, dim))
    squares = square_sum(gradient)
    if settings["clip_norm"] is not None:
        limit, norm = np.float32(settings["clip_norm"]), np.sqrt(squares)
        if norm > limit:
            gradient, squares = gradient * limit / norm, limit * limit
    if settings["weight_decay"]:
        weights = weights - weights * settings["weight_decay"] * rate
    if name == "SGD":
        weights, arrays = _sgd(settings, rate, gradient, weights, arrays)
    elif name == "Adagrad":
        arrays = [arrays[0] + gradient * gradient]
        weights = weights - rate * gradient / np.sqrt(arrays[0] + settings["epsilon"])
    elif name == "RowwiseAdagrad":
        accumulator = states[-1] + squares / np.float32(dim)
        root = np.sqrt(accumulator + np.float32(settings["epsilon"]))
        return weights - rate * gradient / root, np.array([accumulator], np.float32)
    elif name in ("Adam", "AdamW"):
        return _adam(settings, rate, gradient, weights, arrays, states[-1])
    elif name == "Ftrl":
        weights, arrays = _ftrl(settings, rate, gradient, weights, arrays)
    else:
        weights, arrays = _rmsprop(settings, rate, gradient, weights, arrays)
    return weights, np.concatenate([np.empty(0, np.float32), *arrays])


Result = tuple[Floats, list[Floats]]


def _sgd(s: Settings, rate: np.float32, g: Floats, w: Floats, arrays: list[Floats]) -> Result:
    if s["momentum"] == 0:
        return w - g * rate, []
    velocity = arrays[0] * s["momentum"] - g * rate
    step = velocity * s["momentum"] - g * rate if s["nesterov"] else velocity
    return w + step, [velocity]


def _adam(
    s: Settings, rate: np.float32, g: Floats, w: Floats, arrays: list[Floats], count: np.float32
) -> tuple[Floats, Floats]:
    count = count + np.float32(1)
    updates = int(np.clip(count, 1, 2**24))
    m = arrays[0] + (g - arrays[0]) * (1 - s["beta_1"])
    v = arrays[1] + (g * g - arrays[1]) * (1 - s["beta_2"])
    powers = [float(np.float32(s[beta])) ** updates for beta in ("beta_1", "beta_2")]
    power_1, power_2 = np.array(powers, np.float32)
    corrected = rate * np.sqrt(1 - power_2) / (1 - power_1)
    if not s["amsgrad"]:
        return w - m * corrected / (np.sqrt(v) + s["epsilon"]), np.array([*m, *v, count])
    hat = np.maximum(arrays[2], v)
    return w - m * corrected / (np.sqrt(hat) + s["epsilon"]), np.array([*m, *v, *hat, count])


def _ftrl(s: Settings, rate: np.float32, g: Floats, w: Floats, arrays: list[Floats]) -> Result:
    def power(x: Floats) -> Floats:
        exponent = float(np.float32(-s["learning_rate_power"]))
        return (x.astype(np.float64) ** exponent).astype(np.float32)

    accumulator, linear = arrays
    grown = accumulator + g * g
    shrunk = g + 2 * s["l2_shrinkage_regularization_strength"] * w
    linear = linear + (shrunk - (power(grown) - power(accumulator)) / rate * w)
    l1, l2 = s["l1_regularization_strength"], np.float32(s["l2_regularization_strength"])
    ridge = np.float32(2) * (l2 + np.float32(s["beta"]) / (np.float32(2) * rate))
    quadratic = power(grown) / rate + ridge
    return (np.clip(linear, -l1, l1) - linear) / quadratic, [grown, linear]


def _rmsprop(s: Settings, rate: np.float32, g: Floats, w: Floats, arrays: list[Floats]) -> Result:
    rho = s["rho"]
    velocity = rho * arrays[0] + (1 - rho) * (g * g)
    variance, new = velocity, [velocity]
    if s["centered"]:
        average = rho * arrays[1] + (1 - rho) * g
        variance = np.maximum(velocity - average * average, 0)
        new.append(average)
    step = rate * g / np.sqrt(variance + s["epsilon"])
    if s["momentum"] > 0:
        step = s["momentum"] * arrays[-1] + step
        new.append(step)
    return w - step, new
