"""Tables, optimizers and initializers as settings: checks, dictionaries, round trips."""

import json
from typing import Any

import pytest

from emberline.kernels import (
    SGD,
    Adagrad,
    ConfigError,
    Constant,
    DeviceError,
    HashTable,
    Initializer,
    Normal,
    Optimizer,
    Uniform,
    initializer_from_dict,
    optimizer_from_dict,
)

OPTIMIZERS: list[Optimizer] = [
    SGD(),
    SGD(learning_rate=0.25),
    Adagrad(),
    Adagrad(learning_rate=1, initial_accumulator_value=0.0, epsilon=1e-3),
]
INITIALIZERS: list[Initializer] = [
    Uniform(),
    Uniform(low=-1.0, high=-1.0),
    Normal(),
    Normal(mean=2.0, stddev=0.0),
    Constant(value=-3),
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_optimizers_survive_json(optimizer: Optimizer) -> None:
    assert optimizer_from_dict(json.loads(json.dumps(optimizer.to_dict()))) == optimizer


@pytest.mark.parametrize("initializer", INITIALIZERS)
def test_initializers_survive_json(initializer: Initializer) -> None:
    assert initializer_from_dict(json.loads(json.dumps(initializer.to_dict()))) == initializer


def test_defaults_are_keras() -> None:
    assert Adagrad().to_dict() == {
        "name": "Adagrad",
        "learning_rate": 0.001,
        "weight_decay": None,
        "clip_norm": None,
        "initial_accumulator_value": 0.1,
        "epsilon": 1e-7,
    }
    assert SGD().learning_rate == 0.01


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"name": "Adagard"}, "unknown optimizer 'Adagard'; did you mean 'Adagrad'?"),
        ({"name": "Lion"}, "unknown optimizer 'Lion'; known: Adagrad, Adam, AdamW, Ftrl, RMSprop"),
        ({"name": "SGD", "lerning_rate": 1}, "SGD has no setting 'lerning_rate'; did you mean"),
        (
            {"name": "SGD", "epsilon": 1},
            "SGD has no setting 'epsilon'; known: clip_norm, learning_rate",
        ),
        ({"learning_rate": 1}, "expected a dictionary with a 'name'"),
        ("SGD", "expected a dictionary with a 'name', got 'SGD'"),
        ({"name": "SGD", "learning_rate": "1"}, r"SGD\(learning_rate='1'\): expected a number"),
    ],
)
def test_bad_optimizer_dictionaries(config: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        optimizer_from_dict(config)
    assert message.replace("\\", "") in str(caught.value)


def test_bad_initializer_dictionaries() -> None:
    with pytest.raises(ConfigError, match="unknown initializer 'uniform'; did you mean 'Uniform'"):
        initializer_from_dict({"name": "uniform"})
    with pytest.raises(ConfigError, match="initializer Normal has no setting 'std'"):
        initializer_from_dict({"name": "Normal", "std": 1})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SGD(learning_rate=-0.1), r"SGD\(learning_rate=-0.1\): must be at least 0"),
        (lambda: SGD(learning_rate=float("inf")), "finite float32"),
        (lambda: SGD(learning_rate=1e39), "finite float32"),
        (lambda: SGD(learning_rate=True), "expected a number, got bool"),
        (lambda: Adagrad(epsilon=0.0), r"Adagrad\(epsilon=0.0\): must be above 0"),
        (lambda: Adagrad(initial_accumulator_value=-1), "must be at least 0"),
        (lambda: Uniform(low=1.0, high=0.0), r"Uniform\(low=1.0, high=0.0\): low is above high"),
        (lambda: Uniform(low=-3e38, high=3e38), "high - low"),
        (lambda: Normal(stddev=-1), r"Normal\(stddev=-1\): must be at least 0"),
        (lambda: Constant(value=float("nan")), "finite float32"),
    ],
)
def test_bad_values(make: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


def test_base_classes_are_abstract() -> None:
    with pytest.raises(TypeError, match="use SGD, Adagrad, Adam or another"):
        Optimizer()
    with pytest.raises(TypeError, match="use Uniform, Normal or Constant"):
        Initializer()


def test_a_table_from_its_config() -> None:
    first = HashTable(
        6,
        optimizer=Adagrad(learning_rate=0.2),
        initializer=Normal(stddev=0.1),
        seed=2**64 - 1,
        name="user",
        max_rows=100,
    )
    config = first.config()
    second = HashTable.from_config(json.loads(json.dumps(config)))
    assert second.config() == config
    assert (first.lookup([1, 2]) == second.lookup([1, 2])).all()
    assert second.max_rows == 100
    assert second.seed == 2**64 - 1
    assert second.initializer == Normal(stddev=0.1)
    assert HashTable.from_config({"dim": 3}).config() == HashTable(3).config()


def test_repr_names_size_and_device() -> None:
    table = HashTable(2, name="item")
    table.find_or_insert([1, 2])
    assert repr(table) == (
        "HashTable('item', dim=2, size=2, optimizer=SGD(learning_rate=0.01), device='cpu')"
    )
    assert (table.name, table.dim, len(table), table.device) == ("item", 2, 2, "cpu")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"dim": 2, "dims": 3}, "a table has no setting 'dims'; did you mean 'dim'"),
        ({"name": "t"}, "a table needs 'dim'; given: name"),
        ({}, "given: nothing"),
        ({"dim": 0}, "table 'table': dim is 0; expected 1 to 65536"),
        ({"dim": 2.0}, "dim is 2.0; expected an integer"),
        ({"dim": 2, "seed": -1}, "seed is -1"),
        ({"dim": 2, "max_rows": 2**32 - 1}, "max_rows is 4294967295; expected 1 to 4294967294"),
        ({"dim": 2, "name": ""}, "a table's name is ''"),
        ({"dim": 2, "optimizer": {"name": "x"}}, "unknown optimizer 'x'"),
    ],
)
def test_bad_configs(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        HashTable.from_config(config)


def test_bad_arguments() -> None:
    name: Any = "sgd"
    number: Any = 0
    with pytest.raises(ConfigError, match="optimizer is 'sgd'; expected an Optimizer such as SGD"):
        HashTable(2, optimizer=name)
    with pytest.raises(ConfigError, match="initializer is 0; expected an Initializer such as Uni"):
        HashTable(2, initializer=number)
    with pytest.raises(ConfigError, match="capacity is -1"):
        HashTable(2, capacity=-1)


def test_devices() -> None:
    assert HashTable(2, device="auto").device == HashTable(2, device="cpu").device == "cpu"
    with pytest.raises(DeviceError, match=r"table 'table': device 'gpu' needs CuPy.*'cpu'"):
        HashTable(2, device="gpu")
    with pytest.raises(DeviceError, match="unknown device 'cuda'; known: auto, cpu, gpu"):
        HashTable(2, device="cuda")
