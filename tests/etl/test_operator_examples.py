"""Every operator has an example in its docstring; `tests/test_doctests.py` runs them."""

import pytest

from emberline.etl import ops
from emberline.etl.operator import Operator

OPERATORS = [
    name
    for name in ops.__all__
    if isinstance(getattr(ops, name), type)
    and issubclass(getattr(ops, name), Operator)
    and name not in {"Operator", "StatOperator"}
]


@pytest.mark.parametrize("name", OPERATORS)
def test_has_an_example(name: str) -> None:
    assert f"ops.{name}(" in (getattr(ops, name).__doc__ or "")
