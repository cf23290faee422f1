"""The planted bugs fit the code, and the table's tests catch each of them."""

import shutil
from pathlib import Path

import pytest

from tests.mutations.__main__ import run
from tests.mutations.mutation import MUTATIONS, Mutation

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_it_fits_the_code(mutation: Mutation, tmp_path: Path) -> None:
    copy = tmp_path / mutation.file
    copy.parent.mkdir(parents=True)
    shutil.copy(ROOT / mutation.file, copy)
    mutation.plant(tmp_path)
    assert copy.read_text() != (ROOT / mutation.file).read_text()
    assert (ROOT / "tests" / "kernels" / mutation.tests).is_file()


def test_a_text_that_is_gone_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x x")
    for text, count in (("y", 0), ("x", 2)):
        with pytest.raises(ValueError, match=f"a has {count} times '{text}'; expected 1"):
            Mutation(name="m", file="a", find=text, replace="z", tests="t").plant(tmp_path)


@pytest.mark.slow
def test_every_planted_bug_is_caught(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print()
        outcomes = run(MUTATIONS, tmp_path.resolve())
    assert len(outcomes) == len(MUTATIONS) >= 8
    assert [name for name, outcome in outcomes.items() if outcome.passed] == []
