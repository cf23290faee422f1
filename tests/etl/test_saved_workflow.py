"""Workflows that an earlier version saved can be loaded, and give what they gave."""

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import emberline.etl as nvt
from emberline.artifacts import MANIFEST
from emberline.etl import ops
from emberline.etl.registry import is_registered
from tests.etl.saved_workflow import DIRECTORY, FRAME, WORKFLOWS


def files(root: Path) -> list[str]:
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())


def graph(root: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((root / "workflow.json").read_text())
    # Of the bytes of the tables, which depend on the writing library's version.
    content.pop("content_sha256")
    return content


@pytest.mark.parametrize("name", WORKFLOWS)
def test_the_saved_workflow_gives_what_it_gave(tmp_path: Path, name: str) -> None:
    # A copy: loading may finish an interrupted write beside the directory.
    loaded = nvt.Workflow.load(shutil.copytree(DIRECTORY / name, tmp_path / "w"))
    out = loaded.transform(FRAME)
    lines = (DIRECTORY / f"{name}.expected.json").read_text().splitlines()
    expected = pl.DataFrame([json.loads(line) for line in lines], schema=out.schema)
    assert_frame_equal(out, expected)  # floats: another libm may round the last bit elsewhere
    loaded.save(tmp_path / "again")
    assert nvt.Workflow.load(tmp_path / "again").transform(FRAME).equals(out)
    assert loaded.fit(FRAME).transform(FRAME).equals(out)


def test_its_subgraph_and_its_statistics_are_there(tmp_path: Path) -> None:
    loaded = nvt.Workflow.load(shutil.copytree(DIRECTORY / "features", tmp_path / "w"))
    part = loaded.get_subworkflow("features").transform(FRAME)
    assert part.equals(loaded.transform(FRAME).select(part.columns))
    more = FRAME.with_columns(c=pl.lit("new"))
    updated = loaded.fit(more, update=True).transform(more)["c"].to_list()
    assert updated == [6] * 5


@pytest.mark.parametrize("name", WORKFLOWS)
def test_what_is_saved_now_has_the_same_format(tmp_path: Path, name: str) -> None:
    new, old = tmp_path / "w", DIRECTORY / name
    WORKFLOWS[name]().fit(FRAME).save(new)
    assert files(new) == files(old)
    assert graph(new) == graph(old)
    for file in files(old):
        if file.endswith(".parquet"):
            with (new / file).open("rb") as one, (old / file).open("rb") as other:
                assert_frame_equal(pl.read_parquet(one), pl.read_parquet(other))
    manifests = [json.loads((root / MANIFEST).read_text()) for root in (new, old)]
    assert manifests[0].keys() == manifests[1].keys()
    assert [m["version"] for m in manifests] == [1, 1]


def test_every_operator_is_among_them() -> None:
    saved = {
        step["operator"]
        for name in WORKFLOWS
        for step in graph(DIRECTORY / name)["steps"]
        if "operator" in step
    }
    ours = {
        name
        for name in ops.__all__
        if isinstance(cls := getattr(ops, name), type)
        and issubclass(cls, nvt.Operator)
        and is_registered(cls)
    }
    # Filter and LambdaOp hold functions, which are not saved.
    assert saved == ours
