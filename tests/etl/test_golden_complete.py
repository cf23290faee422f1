"""No case of golden.json is left out, and none is claimed by two modules."""

import importlib
from collections import Counter
from pathlib import Path

from tests.etl.golden import GOLDEN

MODULES = [*sorted(p.stem for p in Path(__file__).parent.glob("test_golden_*.py")), "test_hashing"]
#: The loader's case belongs to emberline.dataloaders, whose tests are not of columns.
ELSEWHERE = {"loader"}


def test_every_case_is_run_or_refused_by_one_module() -> None:
    claimed: Counter[str] = Counter(ELSEWHERE)
    for name in MODULES:
        module = importlib.import_module(f"tests.etl.{name}")
        claimed.update(getattr(module, "CASES", ()))
    twice = sorted(name for name, count in claimed.items() if count > 1)
    assert not twice
    assert not set(claimed) - set(GOLDEN), "no such case in golden.json"
    missing = sorted(set(GOLDEN) - set(claimed))
    assert not missing
