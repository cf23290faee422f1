"""Saved workflows: the same results, and every way a directory can be wrong."""

import errno
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import emberline.etl as nvt
from emberline.artifacts import MANIFEST
from emberline.errors import ArtifactCorruptError, ArtifactMissingError, ArtifactVersionError
from emberline.etl import ops
from emberline.etl.selection import Selection

FRAME = pl.DataFrame(
    {
        "a/b": ["x", None, "y", "x"],
        "c": ["y", "z", "z", None],
        "g": [["p", None], [], None, ["q", "p"]],
        "n": [1.5, None, float("nan"), -2.0],
        "k": [1, 2, 3, 2],
        "d": ["2|3", "", None, "2"],
    }
)
TABLE = pl.DataFrame(
    {"k": [1, 2], "t": [["u"], ["v", "w"]], "e": pl.Series(["A", "B"]).cast(pl.Enum(["A", "B"]))}
)


def everything() -> nvt.Workflow:
    joint = [["a/b", "c"]] >> ops.Categorify(freq_threshold={"a/b_c": 2}) >> ops.TagAsItemID()
    lists = ["g"] >> ops.Categorify(max_size=4) >> ops.Rename(str.upper)
    numbers = ["n"] >> ops.FillMissing(0.0, add_binary_cols=True)
    clipped = numbers["n"] >> ops.Clip(-1) >> ops.LogOp() >> ops.Rename(name="log")
    joined = ["k"] >> ops.JoinExternal(TABLE, on="k")
    split = ["d"] >> ops.SplitString("|") >> ops.Cast("int64") >> ops.AddProperties({"p": [1]})
    label = ["n", "k"] >> ops.Sql("n > 0 AND k < 3", name="label") >> ops.AddTags(["target"])
    node = joint + lists + numbers["n_filled"] + clipped + (joined - ["k"]) + split + label
    return nvt.Workflow(node + (["k"] >> ops.AddMetadata(["user"])))


def saved(path: Path) -> Path:
    everything().fit(FRAME).save(path)
    return path


def reseal(root: Path, change: Any) -> None:
    """Edit workflow.json and make manifest and content hash agree, as a forger would."""
    import hashlib

    from emberline.etl import workflow_files

    file = root / "workflow.json"
    content = json.loads(file.read_text())
    change(content)
    content["content_sha256"] = workflow_files._content_hash(content, root)
    file.write_text(json.dumps(content))
    manifest = json.loads((root / MANIFEST).read_text())
    manifest["files"]["workflow.json"] = {
        "size_bytes": file.stat().st_size,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }
    (root / MANIFEST).write_text(json.dumps(manifest))


def step(content: dict[str, Any], operator: str) -> dict[str, Any]:
    found: dict[str, Any] = next(s for s in content["steps"] if s.get("operator") == operator)
    return found


def test_the_same_results_after_a_load(tmp_path: Path) -> None:
    workflow = everything().fit(FRAME)
    workflow.save(tmp_path / "w")
    loaded = nvt.Workflow.load(tmp_path / "w")
    assert loaded.fitted
    assert loaded.transform(FRAME).equals(workflow.transform(FRAME))
    assert loaded.transform(FRAME).schema == workflow.transform(FRAME).schema
    assert loaded.output_schema == workflow.output_schema
    assert loaded.input_schema == workflow.input_schema
    other = FRAME.reverse().with_columns(c=pl.lit("new"))
    assert loaded.transform(other).equals(workflow.transform(other))


def test_saving_again_gives_the_same_bytes(tmp_path: Path) -> None:
    saved(tmp_path / "one")
    nvt.Workflow.load(tmp_path / "one").save(tmp_path / "two")
    everything().fit(FRAME).save(tmp_path / "three")
    manifests = [json.loads((tmp_path / n / MANIFEST).read_text()) for n in ("one", "two", "three")]
    assert manifests[0]["files"] == manifests[1]["files"] == manifests[2]["files"]


def test_a_loaded_workflow_can_be_fitted_again(tmp_path: Path) -> None:
    loaded = nvt.Workflow.load(saved(tmp_path / "w"))
    loaded.fit(FRAME.head(2))
    assert loaded.transform(FRAME).equals(everything().fit(FRAME.head(2)).transform(FRAME))


@given(
    st.lists(st.none() | st.text(max_size=3), min_size=1, max_size=12),
    st.text(min_size=1, max_size=4),
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_survives(tmp_path: Path, values: list[str | None], name: str) -> None:
    frame = pl.DataFrame({f"c{name}": pl.Series(values, dtype=pl.String)})
    workflow = nvt.Workflow(frame.columns >> ops.Categorify()).fit(frame)
    workflow.save(tmp_path / "w")
    loaded = nvt.Workflow.load(tmp_path / "w")
    assert loaded.transform(frame).equals(workflow.transform(frame))
    assert loaded.output_schema == workflow.output_schema


def test_every_flipped_file_is_found(tmp_path: Path) -> None:
    root = saved(tmp_path / "w")
    files = [f for f in root.rglob("*") if f.is_file()]
    assert len(files) == 8  # one of them what a threshold cut
    for file in files:
        data = bytearray(file.read_bytes())
        middle = len(data) // 2
        data[middle] ^= 1
        file.write_bytes(data)
        with pytest.raises((ArtifactCorruptError, ArtifactVersionError), match=r"restore|SHA-256"):
            nvt.Workflow.load(root)
        data[middle] ^= 1
        file.write_bytes(data)
        truncated = bytes(data[: middle * 2 - 2])
        file.write_bytes(truncated)
        with pytest.raises(ArtifactCorruptError, match="restore"):
            nvt.Workflow.load(root)
        file.unlink()
        with pytest.raises((ArtifactCorruptError, ArtifactMissingError), match="missing"):
            nvt.Workflow.load(root)
        file.write_bytes(data)
    assert nvt.Workflow.load(root).fitted


def test_wrong_places(tmp_path: Path) -> None:
    with pytest.raises(ArtifactMissingError, match=r"no workflow at .*no such directory"):
        nvt.Workflow.load(tmp_path / "absent")
    nvt.Dataset(FRAME).to_parquet(tmp_path / "data")
    with pytest.raises(ArtifactVersionError, match="holds a dataset, expected a workflow"):
        nvt.Workflow.load(tmp_path / "data")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep")
    with pytest.raises(FileExistsError, match="not a directory that emberline wrote"):
        saved(tmp_path / "full")
    assert (tmp_path / "full" / "mine.txt").read_text() == "keep"


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    root = saved(tmp_path / "w")
    manifest = json.loads((root / MANIFEST).read_text())
    manifest["version"] = 2
    (root / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ArtifactVersionError, match="format version 2 is newer than 1"):
        nvt.Workflow.load(root)


FORGERIES: dict[str, tuple[Any, type[Exception], str]] = {
    "unknown operator": (
        lambda c: step(c, "Clip").update(operator="os.system"),
        ArtifactVersionError,
        "operator 'os.system', which is not registered",
    ),
    "unknown argument": (
        lambda c: step(c, "Clip")["arguments"].update(evil=1),
        ArtifactCorruptError,
        "Clip has no argument 'evil'; it takes: min_value, max_value",
    ),
    "bad argument": (
        lambda c: step(c, "SplitString")["arguments"].update(delimiter=""),
        ArtifactCorruptError,
        "SplitString: .*non-empty text",
    ),
    "arguments no object": (
        lambda c: step(c, "Clip").update(arguments=[1]),
        ArtifactCorruptError,
        "arguments must be an object",
    ),
    "lost vocabulary": (
        lambda c: step(c, "Categorify")["arguments"].update(storage={"c": "other"}),
        ArtifactCorruptError,
        "vocabulary 'other' has no table",
    ),
    "lost table": (
        lambda c: step(c, "JoinExternal").update(name="elsewhere"),
        ArtifactCorruptError,
        "external table or its schema is missing",
    ),
    "table from elsewhere": (
        lambda c: step(c, "JoinExternal")["arguments"].update(df_ext="absent.parquet", on="x"),
        ArtifactCorruptError,
        "no column 'x'",
    ),
    "parent after child": (
        lambda c: step(c, "Clip").update(parents=[99]),
        ArtifactCorruptError,
        r"parents \[99\]",
    ),
    "unknown kind": (
        lambda c: c["steps"][0].update(kind="exec"),
        ArtifactCorruptError,
        "unknown kind 'exec'",
    ),
    "no graph": (lambda c: c.pop("steps"), ArtifactCorruptError, "is not a workflow"),
    "empty graph": (lambda c: c.update(steps=[]), ArtifactCorruptError, "has no steps"),
    "input missing": (
        lambda c: c["input_schema"].update(columns=[]),
        ArtifactCorruptError,
        "does not fit its schema",
    ),
    "column of a strange dtype": (
        lambda c: c["input_schema"]["columns"][0].update(dtype="object"),
        ArtifactCorruptError,
        "dtype object",
    ),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_forged_files_are_refused(tmp_path: Path, name: str) -> None:
    change, error, message = FORGERIES[name]
    root = saved(tmp_path / "w")
    reseal(root, change)
    with pytest.raises(error, match=message):
        nvt.Workflow.load(root)


def test_the_content_hash_covers_workflow_json(tmp_path: Path) -> None:
    root = saved(tmp_path / "w")
    content = json.loads((root / "workflow.json").read_text())
    good = content["content_sha256"]
    reseal(root, lambda c: step(c, "Clip")["arguments"].update(min_value=0))
    assert json.loads((root / "workflow.json").read_text())["content_sha256"] != good
    assert nvt.Workflow.load(root).fitted


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = saved(tmp_path / "w")
    before = sorted(p.relative_to(root) for p in root.rglob("*"))

    def full(self: pl.DataFrame, *args: Any, **kwargs: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", full)
    with pytest.raises(OSError, match="No space left"):
        everything().fit(FRAME).save(root)
    with pytest.raises(OSError, match="No space left"):
        everything().fit(FRAME).save(tmp_path / "new")
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["w"]
    assert sorted(p.relative_to(root) for p in root.rglob("*")) == before
    assert nvt.Workflow.load(root).fitted


def test_a_registered_class_of_the_users_own(tmp_path: Path) -> None:
    class Shift(nvt.Operator):
        def __init__(self, by: int) -> None:
            self.by = by

        def transform(self, frame: pl.LazyFrame, selection: Selection) -> pl.LazyFrame:
            return frame.with_columns(pl.col(name) + self.by for name in selection.names)

    workflow = nvt.Workflow(["k"] >> Shift(3)).fit(FRAME)
    with pytest.raises(nvt.UnsupportedError, match="class Shift is not registered; decorate"):
        workflow.save(tmp_path / "w")
    nvt.register_operator(Shift)
    workflow.save(tmp_path / "w")
    out = nvt.Workflow.load(tmp_path / "w").transform(FRAME)
    assert out["k"].to_list() == [4, 5, 6, 5]

    class Bad(Shift):
        def arguments(self, selection: Selection) -> dict[str, Any]:
            return {"by": object()}

    nvt.register_operator(Bad)
    with pytest.raises(nvt.UnsupportedError, match="arguments of Bad are not JSON values"):
        nvt.Workflow(["k"] >> Bad(1)).fit(FRAME).save(tmp_path / "bad")


def test_two_classes_of_one_name_are_refused() -> None:
    impostor = type("Clip", (nvt.Operator,), {})
    with pytest.raises(ValueError, match="'Clip' is registered already"):
        nvt.register_operator(impostor)


def test_restore_is_given_what_was_saved(tmp_path: Path) -> None:
    seen: list[tuple[dict[str, Any], list[str]]] = []

    @nvt.register_operator
    class Watched(ops.Clip):
        @classmethod
        def restore(
            cls, arguments: Mapping[str, Any], artifacts: Mapping[str, pl.DataFrame]
        ) -> "Watched":
            seen.append((dict(arguments), list(artifacts)))
            return super().restore(arguments, artifacts)

        def artifacts(self) -> dict[str, pl.DataFrame]:
            return {"t": TABLE.select("k")}

    nvt.Workflow(["k"] >> Watched(max_value=2)).fit(FRAME).save(tmp_path / "w")
    assert nvt.Workflow.load(tmp_path / "w").transform(FRAME)["k"].to_list() == [1, 2, 2, 2]
    assert seen == [({"min_value": None, "max_value": 2}, ["t"])]
