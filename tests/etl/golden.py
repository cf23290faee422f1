"""What NVTabular 23.8.0 answered on CPU (golden.json), and how our results are held against it.

Every case of the file belongs to one module `test_golden_*.py`, which lists it in `CASES`;
`test_golden_complete.py` checks that none is left out. A result that differs on purpose is listed
there with its reason, and in `docs/nvtabular.md`.
"""

import datetime as dt
import json
import math
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl

import emberline.etl as nvt
from emberline.etl.embedding_sizes import EmbeddingSizes

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent / "golden.json").read_text())


def plain(value: Any) -> Any:
    """Give a value as the golden file spells it."""
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, dt.datetime):
        return str(value).removesuffix(" 00:00:00")
    if isinstance(value, (Decimal, dt.date)):
        return str(value)
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def golden_rows(table: Mapping[str, Any]) -> list[list[Any]]:
    """Give the rows of a golden file's table, with dates as `plain` spells them."""
    return [
        [v.removesuffix(" 00:00:00") if isinstance(v, str) else v for v in row]
        for row in table["rows"]
    ]


def check_values(name: str, out: pl.DataFrame) -> None:
    """Compare the columns of a result, exactly; pandas' object columns have no dtype to compare."""
    golden = GOLDEN[name]["out"]
    assert sorted(out.columns) == sorted(golden)
    for column, expected in golden.items():
        assert plain(out[column].to_list()[:40]) == expected["values"], column
        if expected["dtype"] != "object":
            assert nvt.Dataset(out).schema[column].dtype == expected["dtype"], column


def check_schema(
    name: str, workflow: nvt.Workflow, *, ignore: frozenset[str] = frozenset()
) -> None:
    """Compare names, dtypes, shapes, tags and properties of the output schema."""
    golden = GOLDEN[name]["schema"]
    assert sorted(workflow.output_schema.names) == sorted(golden)
    for column in workflow.output_schema:
        expected = golden[column.name]
        assert column.dtype == expected["dtype"]
        assert sorted(column.tags) == expected["tags"]
        assert column.is_ragged == (len(expected["shape"]) == 2)
        wanted = {k: v for k, v in expected["properties"].items() if k not in ignore}
        for key, value in wanted.items():
            # NVTabular repeats the argument; ours is the column's own setting.
            if isinstance(value, dict) and column.name in value:
                wanted[key] = value[column.name]
        assert {k: v for k, v in column.properties.items() if k not in ignore} == wanted


def check_sizes(name: str, workflow: nvt.Workflow) -> None:
    """Compare the embedding sizes."""

    def spelled(sizes: EmbeddingSizes) -> dict[str, list[int]]:
        return {column: list(pair) for column, pair in sizes.items()}

    sizes = nvt.get_embedding_sizes(workflow)
    got = [spelled(part) for part in sizes] if isinstance(sizes, tuple) else spelled(sizes)
    assert got == GOLDEN[name]["embedding_sizes"]
