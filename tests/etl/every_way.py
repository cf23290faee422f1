"""One workflow, every way of running it: the results must be the same, bit for bit."""

from pathlib import Path
from typing import Any

import polars as pl

import emberline.etl as nvt

__all__ = ["InParts", "every_way"]


class InParts(nvt.Dataset):
    """A data set whose fits get two rows at a time."""

    def parts(self, *_: Any, **__: Any) -> list[pl.LazyFrame]:
        lazy = self.to_lazy()
        return [lazy.slice(start, 2) for start in range(0, self.num_rows, 2)]


def every_way(node: Any, frame: pl.DataFrame, tmp_path: Path | None = None) -> pl.DataFrame:
    """Fit on all rows and in parts, transform in memory and streaming, save and load.

    Args:
        node: the graph.
        frame: the data.
        tmp_path: where to save the workflow; None for one that cannot be saved.

    Returns:
        The result.
    """
    workflow = nvt.Workflow(node).fit(frame)
    out = workflow.transform(frame)
    assert isinstance(out, pl.DataFrame)
    assert workflow.transform(frame.lazy()).collect(engine="streaming").equals(out)
    cut = nvt.Workflow(node).fit(InParts(frame))
    assert cut.transform(frame).equals(out), "parts of two rows and all at once"
    assert cut.output_schema == workflow.output_schema
    schema = {column.name: column for column in workflow.output_schema}
    assert list(schema) == out.columns
    for found in nvt.Dataset(out).schema:
        assert found.dtype == schema[found.name].dtype, found.name
        assert found.is_list == schema[found.name].is_list
        assert found.is_ragged == schema[found.name].is_ragged
    if tmp_path is not None:
        workflow.save(tmp_path / "saved")
        loaded = nvt.Workflow.load(tmp_path / "saved")
        assert loaded.transform(frame).equals(out), "saved and loaded"
        assert loaded.output_schema == workflow.output_schema
    return out
