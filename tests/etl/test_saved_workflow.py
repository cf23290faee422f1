"""Workflows that an earlier version saved can be loaded, and give what they gave."""

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
from polars.testing import assert_frame_equal

import emberline.etl as nvt
from emberline.artifacts import MANIFEST
from tests.etl.saved_workflow import DIRECTORY, FRAME, workflow


def files(root: Path) -> list[str]:
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())


def graph(root: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((root / "workflow.json").read_text())
    # Of the bytes of the tables, which depend on the writing library's version.
    content.pop("content_sha256")
    return content


def test_the_saved_workflow_gives_what_it_gave(tmp_path: Path) -> None:
    # A copy: loading may finish an interrupted write beside the directory.
    loaded = nvt.Workflow.load(shutil.copytree(DIRECTORY, tmp_path / "w"))
    out = loaded.transform(FRAME)
    expected = pl.read_ndjson(DIRECTORY.with_suffix(".expected.json"), schema=out.schema)
    assert_frame_equal(out, expected, check_exact=True)
    assert loaded.subworkflows == ["features"]
    assert loaded.get_subworkflow("features").transform(FRAME).columns == out.columns[:6]


def test_it_can_be_saved_and_fitted_again(tmp_path: Path) -> None:
    loaded = nvt.Workflow.load(shutil.copytree(DIRECTORY, tmp_path / "w"))
    before = loaded.transform(FRAME)
    loaded.save(tmp_path / "again")
    assert nvt.Workflow.load(tmp_path / "again").transform(FRAME).equals(before)
    assert loaded.fit(FRAME).transform(FRAME).equals(before)


def test_what_is_saved_now_has_the_same_format(tmp_path: Path) -> None:
    workflow().fit(FRAME).save(tmp_path / "w")
    assert files(tmp_path / "w") == files(DIRECTORY)
    assert graph(tmp_path / "w") == graph(DIRECTORY)
    for name in files(DIRECTORY):
        if name.endswith(".parquet"):
            with (tmp_path / "w" / name).open("rb") as new, (DIRECTORY / name).open("rb") as old:
                assert_frame_equal(pl.read_parquet(new), pl.read_parquet(old), check_exact=True)
    manifests = [json.loads((root / MANIFEST).read_text()) for root in (tmp_path / "w", DIRECTORY)]
    assert manifests[0].keys() == manifests[1].keys()
    assert [m["version"] for m in manifests] == [1, 1]
