"""`Workflow.fit(update=True)`: statistics that grow with new data."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import emberline.etl as nvt
from emberline.errors import DataError
from emberline.etl import ops
from emberline.etl.selection import Selection


@nvt.register_operator
class Center(nvt.StatOperator):
    """Subtract the mean: the smallest operator that learns, by the rules of StatOperator."""

    def __init__(self) -> None:
        self.means: dict[str, float] | None = None

    @property
    def fitted(self) -> bool:
        return self.means is not None

    def partial(self, frame: pl.LazyFrame, selection: Selection) -> dict[str, pl.LazyFrame]:
        return {n: frame.select(sum=pl.col(n).sum(), len=pl.len()) for n in selection.names}

    def merge(self, name: str, frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
        return pl.concat(frames).sum()

    def finalize(self, statistics: Mapping[str, pl.DataFrame], selection: Selection) -> None:
        self.means = {n: f["sum"][0] / f["len"][0] for n, f in statistics.items()}

    def transform(self, frame: pl.LazyFrame, selection: Selection) -> pl.LazyFrame:
        means = self.means or dict.fromkeys(selection.names, 0.0)
        return frame.with_columns(pl.col(n) - means[n] for n in selection.names)

    @classmethod
    def restore(
        cls, arguments: Mapping[str, object], artifacts: Mapping[str, pl.DataFrame]
    ) -> "Center":
        operator = super().restore(arguments, artifacts)
        operator.finalize(operator.statistics(), Selection(nvt.Schema()))
        return operator


def column(values: list[float], name: str = "x/y") -> pl.DataFrame:
    return pl.DataFrame({name: pl.Series(values, dtype=pl.Float64)})


@given(st.lists(st.lists(st.integers(-9, 9), min_size=1, max_size=5), min_size=1, max_size=4))
def test_the_statistics_of_parts_are_those_of_all(parts: list[list[int]]) -> None:
    workflow = nvt.Workflow(["x/y"] >> Center())
    for part in parts:
        workflow.fit(column(list(map(float, part))), update=True)
    rows = column([float(v) for part in parts for v in part])
    whole = nvt.Workflow(["x/y"] >> Center()).fit_transform(rows)
    assert workflow.transform(rows).equals(whole)


def test_a_saved_workflow_goes_on(tmp_path: Path) -> None:
    nvt.Workflow(["x/y"] >> Center()).fit(column([1, 2])).save(tmp_path / "w")
    loaded = nvt.Workflow.load(tmp_path / "w").fit(column([6]), update=True)
    assert loaded.transform(column([3]))["x/y"].to_list() == [0]
    loaded.fit(column([5]))
    assert loaded.transform(column([3]))["x/y"].to_list() == [-2]


def test_an_empty_update_changes_nothing() -> None:
    workflow = nvt.Workflow(["x/y"] >> Center()).fit(column([1, 3]))
    workflow.fit(column([]), update=True)
    assert workflow.transform(column([2]))["x/y"].to_list() == [0]
    with pytest.raises(DataError, match="no rows"):
        nvt.Workflow(["x/y"] >> Center()).fit(column([]), update=True)


def test_a_failed_update_changes_nothing() -> None:
    workflow = nvt.Workflow(["x/y"] >> Center()).fit(column([1, 3]))
    with pytest.raises(nvt.ColumnNotFoundError, match="no column 'x/y'"):
        workflow.fit(column([9], name="z"), update=True)
    with pytest.raises(nvt.ColumnTypeError, match="column 'x/y' has dtype string"):
        workflow.fit(pl.DataFrame({"x/y": ["a"]}), update=True)
    assert workflow.transform(column([2]))["x/y"].to_list() == [0]


def test_a_workflow_saved_without_statistics_says_so() -> None:
    workflow = nvt.Workflow(["x/y"] >> Center()).fit(column([1, 3]))
    operator = workflow._graph.steps[1].operator
    assert isinstance(operator, Center)
    operator._statistics = None
    with pytest.raises(DataError, match=r"Center has no statistics to update.*fit it on all data"):
        workflow.fit(column([5]), update=True)


def test_a_new_fit_forgets_columns_of_the_last() -> None:
    """`"*"` may select other columns in every fit."""
    workflow = nvt.Workflow(["*"] >> Center())
    workflow.fit(column([1, 3], name="a"))
    both = pl.DataFrame({"a": [1.0, 5.0], "b": [2.0, 4.0]})
    assert workflow.fit_transform(both).to_dict(as_series=False) == {"a": [-2, 2], "b": [-1, 1]}


# Every operator of ours that learns: what it is applied to. Ids of Categorify stay, so they are not
# those of a fit on everything; test_categorify_modes.py has them.
LEARNERS: dict[str, Callable[[], Any]] = {
    "DataStats": lambda: ["k", "x", "n"] >> ops.DataStats(),
    "FillMedian": lambda: ["x", "n"] >> ops.FillMedian(),
    "JoinGroupby": lambda: (
        ["k"] >> ops.JoinGroupby(cont_cols=["x", "n"], stats=["count", "sum", "mean", "std", "max"])
    ),
    "Normalize": lambda: ["x", "n"] >> ops.Normalize(),
    "NormalizeMinMax": lambda: ["x", "n"] >> ops.NormalizeMinMax(),
    "ReduceDtypeSize": lambda: ["n"] >> ops.ReduceDtypeSize(),
    # Without folds: they go by the position of a row in its own data.
    "TargetEncoding": lambda: ["k"] >> ops.TargetEncoding("n", kfold=1),
    "ValueCount": lambda: ["g"] >> ops.ValueCount(),
}


def test_every_operator_that_learns_is_tested() -> None:
    public = (getattr(ops, name) for name in ops.__all__)
    found = {c.__name__ for c in public if isinstance(c, type) and issubclass(c, nvt.StatOperator)}
    assert found - {"StatOperator", "Categorify"} == set(LEARNERS)


ROW = st.fixed_dictionaries(
    {
        "k": st.none() | st.sampled_from("ab"),
        "x": st.none() | st.floats(-1e6, 1e6, width=32),
        "n": st.none() | st.integers(-200, 200),
        "g": st.none() | st.lists(st.integers(0, 3), max_size=3),
    }
)
SCHEMA = pl.Schema(
    [("k", pl.String()), ("x", pl.Float64()), ("n", pl.Int64()), ("g", pl.List(pl.Int64))]
)


@pytest.mark.parametrize("name", LEARNERS)
@given(parts=st.lists(st.lists(ROW, max_size=6), min_size=2, max_size=3))
@settings(max_examples=15)
def test_data_in_parts_gives_what_all_of_it_gives(
    name: str, parts: list[list[dict[str, Any]]]
) -> None:
    # A value of each column in every part: an operator may refuse a column without any.
    first = {"k": "a", "x": 1.5, "n": 3, "g": [1]}
    frames = [pl.DataFrame([first, *part], schema=SCHEMA) for part in parts]
    together = pl.concat(frames)
    whole = nvt.Workflow(LEARNERS[name]()).fit(together)
    workflow = nvt.Workflow(LEARNERS[name]())
    with TemporaryDirectory() as folder:
        for frame in frames:
            workflow.fit(frame, update=True).save(Path(folder) / "w")
            workflow = nvt.Workflow.load(Path(folder) / "w")
    assert workflow.output_schema == whole.output_schema
    assert workflow.transform(together).equals(whole.transform(together))
