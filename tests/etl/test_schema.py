import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emberline.errors import (
    ArtifactCorruptError,
    ArtifactMissingError,
    ArtifactVersionError,
    DataError,
)
from emberline.etl.schema import ColumnSchema, Schema
from emberline.etl.tags import Tags

COLUMNS = st.builds(
    ColumnSchema,
    name=st.text(min_size=1, max_size=5),
    dtype=st.sampled_from(["int64", "float32", "string", "datetime64[us]"]),
    is_list=st.just(True),
    is_ragged=st.booleans(),
    tags=st.sets(st.sampled_from([*Tags, "mine"])),
    properties=st.dictionaries(st.text(max_size=3), st.none() | st.integers() | st.text()),
)


@given(st.lists(COLUMNS, unique_by=lambda column: column.name))
def test_dict_round_trip(columns: list[ColumnSchema]) -> None:
    schema = Schema(columns)
    assert Schema.from_dict(json.loads(json.dumps(schema.to_dict()))) == schema


def test_save_and_load(tmp_path: Path) -> None:
    schema = Schema([ColumnSchema("käse", "float32", tags=frozenset({"target"}))])
    schema.save(tmp_path / "schema.json")
    assert Schema.load(tmp_path / "schema.json") == schema
    assert Schema.load(tmp_path) == schema
    with pytest.raises(ArtifactMissingError, match="no schema at"):
        Schema.load(tmp_path / "absent.json")


def test_tags_equal_their_text_and_compound_tags_split() -> None:
    column = ColumnSchema("a", tags=frozenset({"user_id", "mine"}))
    assert column.tags == {Tags.USER, Tags.ID, "mine"}
    assert "user" in column.tags
    assert column.with_tags([Tags.TARGET]).tags == {"user", "id", "mine", "target"}
    with pytest.raises(TypeError, match=r"write \['target'\]"):
        column.with_tags("target")


def test_select_rename_join() -> None:
    schema = Schema(["a", "b", ColumnSchema("c", tags=frozenset({"item"}))])
    assert schema.select(["c", "a"]).names == ["c", "a"]
    assert schema.select_by_tag(Tags.ITEM).names == ["c"]
    assert schema.without(["b", "zzz"]).names == ["a", "c"]
    assert schema.rename({"a": "x"}).names == ["x", "b", "c"]
    assert schema.rename(str.upper).names == ["A", "B", "C"]
    assert (schema + Schema(["a", "d"])).names == ["a", "b", "c", "d"]
    assert [column.name for column in schema] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda s: s["userid"], "no column 'userid' in the schema; did you mean 'userId'"),
        (lambda s: s.rename({"nope": "x"}), "no column 'nope'"),
        (lambda s: s.rename(lambda _: "x"), "two columns named 'x'"),
        (lambda s: s + Schema([ColumnSchema("userId", "string")]), "'userId' differs"),
        (lambda _: Schema(["a", "a"]), "two columns named 'a'"),
        (lambda _: ColumnSchema("a", is_ragged=True), "ragged but not a list"),
        (lambda _: ColumnSchema(""), "non-empty string"),
    ],
)
def test_mistakes_are_named(act: object, message: str) -> None:
    assert callable(act)
    with pytest.raises(DataError, match=message):
        act(Schema(["userId", "movieId"]))


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("nonsense", ArtifactCorruptError, "is not JSON"),
        ("[]", ArtifactCorruptError, "no integer 'version'"),
        ('{"version": 2, "columns": []}', ArtifactVersionError, "version 2 is newer than 1"),
        ('{"version": 1}', ArtifactCorruptError, "no list 'columns'"),
        ('{"version": 1, "columns": [{"name": "a"}]}', ArtifactCorruptError, "exactly the keys"),
    ],
)
def test_bad_files_are_named(
    tmp_path: Path, text: str, error: type[Exception], message: str
) -> None:
    (tmp_path / "schema.json").write_text(text)
    with pytest.raises(error, match=f"schema.json.*{message}"):
        Schema.load(tmp_path)


def test_schema_imports_nothing_heavy() -> None:
    code = (
        "import sys; import emberline.etl.schema; "
        "print([m for m in ('polars', 'numpy', 'pyarrow', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
