"""The examples in the docstrings of modules that import Keras run and show what they say."""

import doctest
import importlib

import pytest

MODULES = ["config", "table_optimizer"]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    module = importlib.import_module(f"emberline.models.embedding.{name}")
    result = doctest.testmod(module)
    assert result.failed == 0
    assert result.attempted > 0
