"""The examples in the docstrings run and show what they say."""

import doctest
import importlib
import pkgutil

import pytest

import emberline

# These import TensorFlow, which takes seconds; tests/models/test_examples.py has their examples.
HEAVY = (
    "emberline.dataloaders.keras",
    "emberline.dataloaders.merlin",
    "emberline.dataloaders.pydataset",
    "emberline.dataloaders.tensors",
    "emberline.models.callbacks.",
    "emberline.models.checkpoint",
    "emberline.models.embedding.",
    "emberline.models.safe_config",
    "emberline.models.zoo.",
    "emberline.workflows.recipes.movielens_training",
    "emberline.workflows.scoring",
)

MODULES = [
    module.name
    for module in pkgutil.walk_packages(emberline.__path__, "emberline.")
    if not module.name.startswith(HEAVY)
    and not module.name.endswith(("._cpu", "._gather", "._native"))
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [
        test
        for name in MODULES
        for test in finder.find(importlib.import_module(name))
        if test.examples
    ]
    assert len(found) > 10
