"""The examples in the docstrings of modules that import Keras run and show what they say."""

import doctest
import importlib

import pytest

MODULES = [
    "callbacks.decay_frequency",
    "callbacks.expire_keys",
    "callbacks.restrict_tables",
    "embedding.collection",
    "embedding.config",
    "embedding.table_optimizer",
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    module = importlib.import_module(f"emberline.models.{name}")
    result = doctest.testmod(module)
    assert result.failed == 0
    assert result.attempted > 0
