import copy
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import emberline.etl as nvt
from emberline.errors import DataError
from emberline.etl import execution, ops
from emberline.etl.schema import Schema

MOVIES = pl.DataFrame({"movieId": [1, 2, 3], "genres": ["Drama|War", "", "War"]})
RATINGS = pl.DataFrame(
    {
        "userId": [7, 7, 9, 9, 7],
        "movieId": [1, 2, 1, 99, 3],
        "rating": [5.0, 2.0, None, 4.0, 3.5],
    }
)


def movielens() -> nvt.Workflow:
    joined = ["movieId"] >> ops.JoinExternal(MOVIES, on="movieId")
    genres = joined["genres"] >> ops.SplitString("|") >> ops.Categorify()
    ids = ["userId", "movieId"] >> ops.Categorify(dtype="int32")
    label = ["rating"] >> ops.Sql("CAST(rating > 3 AS INT)", name="label")
    return nvt.Workflow(ids + genres + (label >> ops.AddTags([nvt.Tags.TARGET])))


EXPECTED: dict[str, Any] = {
    "userId": [3, 3, 4, 4, 3],
    "movieId": [3, 4, 3, 6, 5],
    "genres": [[4, 3], [], [4, 3], [], [3]],
    "label": [1, 0, None, 1, 1],
}


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda w: pickle.loads(pickle.dumps(w))])
def test_copies_and_pickles_after_use(duplicate: Any) -> None:
    workflow = movielens().fit(RATINGS)
    workflow.transform(RATINGS)  # indices and what was made of the joined table are there now
    out = duplicate(workflow).transform(RATINGS)
    assert out.to_dict(as_series=False) == EXPECTED


def test_the_whole_line_in_memory() -> None:
    workflow = movielens()
    assert not workflow.fitted
    out = workflow.fit_transform(RATINGS)
    assert workflow.fitted
    assert out.to_dict(as_series=False) == EXPECTED
    assert workflow.input_schema.names == ["userId", "movieId", "rating"]
    assert workflow.output_schema.names == list(EXPECTED)
    assert workflow.output_schema.select_by_tag("target").names == ["label"]
    assert nvt.get_embedding_sizes(workflow) == (
        {"userId": (5, 16), "movieId": (7, 16)},
        {"genres": (5, 16)},
    )


def test_files_and_frames_give_the_same(tmp_path: Path) -> None:
    RATINGS.write_parquet(tmp_path / "in.parquet")
    workflow = movielens()
    lazy = workflow.fit_transform(tmp_path / "in.parquet")
    assert isinstance(lazy, nvt.Dataset)
    assert lazy.to_polars().to_dict(as_series=False) == EXPECTED
    assert lazy.schema == workflow.output_schema
    written = lazy.to_parquet(tmp_path / "out")
    assert written.to_polars().to_dict(as_series=False) == EXPECTED
    assert written.schema == workflow.output_schema


def test_one_pass_per_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    run = execution.collect_all

    def counting(frames: list[pl.LazyFrame], *, files: Any = ()) -> list[pl.DataFrame]:
        calls.append(len(frames))
        return run(frames, files=files)

    monkeypatch.setattr("emberline.etl.fit.collect_all", counting)
    movielens().fit(RATINGS)
    # The row count and the statistics of genres, userId and movieId.
    assert calls == [4]
    twice = ["userId"] >> ops.Categorify() >> ops.Categorify()
    calls.clear()
    nvt.Workflow(twice).fit(RATINGS)
    assert calls == [2, 2]


def test_a_phase_reads_its_source_once() -> None:
    reads: list[int] = []

    def count(frame: pl.DataFrame) -> pl.DataFrame:
        reads.append(frame.height)
        return frame

    source = RATINGS.lazy().map_batches(count, streamable=False)
    movielens().fit(source)
    assert sum(reads) == RATINGS.height


def test_parts_do_not_change_the_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pl.concat([RATINGS] * 5)
    for i in range(2):
        frame[i * 10 : i * 15 + 10].write_parquet(tmp_path / f"{i}.parquet", row_group_size=4)
    whole = movielens().fit_transform(frame)
    data = nvt.Dataset(tmp_path)
    parts = data.parts(3)
    assert len(parts) == 9
    assert pl.concat([part.collect() for part in parts]).equals(frame)
    monkeypatch.setattr("emberline.etl.workflow.PART_ROWS", 3)
    monkeypatch.setattr("emberline.etl.workflow.SMALL_ROWS", 0)
    assert len(movielens()._parts(data, data.schema, None)) == 9
    out = movielens().fit_transform(data)
    assert out.to_polars().equals(whole)
    assert "PYTHON SCAN" in out._stream(None).explain().upper()
    assert out.to_parquet(tmp_path / "out").to_polars().equals(whole)


def test_fit_again_forgets() -> None:
    workflow = nvt.Workflow(["x"] >> ops.Categorify())
    workflow.fit(pl.DataFrame({"x": ["a", "b"]}))
    workflow.fit(pl.DataFrame({"x": [5]}))
    assert workflow.transform(pl.DataFrame({"x": [5, 6]}))["x"].to_list() == [3, 2]
    assert nvt.get_embedding_sizes(workflow) == {"x": (4, 16)}


def test_a_failed_fit_changes_nothing() -> None:
    workflow = movielens().fit(RATINGS)
    schema = workflow.output_schema
    for bad in (RATINGS.clear(), RATINGS.drop("userId"), RATINGS.cast({"movieId": pl.String})):
        with pytest.raises(DataError, match=r"no rows|'userId'|'movieId'"):
            workflow.fit(bad)
        assert workflow.output_schema == schema
        assert workflow.transform(RATINGS).to_dict(as_series=False) == EXPECTED


def test_schema_without_data() -> None:
    workflow = movielens().fit_schema(nvt.Dataset(RATINGS).schema)
    assert workflow.output_schema["genres"].is_ragged
    assert workflow.output_schema["userId"].dtype == "int32"
    assert "embedding_sizes" not in workflow.output_schema["userId"].properties
    assert not workflow.fitted
    with pytest.raises(nvt.NotFittedError, match=r"node '\d+_Categorify' has not been"):
        workflow.transform(RATINGS)


def test_before_the_fit(tmp_path: Path) -> None:
    workflow = movielens()
    for act in (
        lambda: workflow.transform(RATINGS),
        lambda: workflow.output_schema,
        lambda: workflow.save(tmp_path / "w"),
        lambda: workflow.remove_inputs(["rating"]),
        lambda: nvt.get_embedding_sizes(workflow),
    ):
        with pytest.raises(nvt.NotFittedError, match="has not been fitted; call fit"):
            act()
    with pytest.raises(nvt.NotFittedError, match="Categorify has not been fitted"):
        _ = ops.Categorify().vocabularies
    assert not list(tmp_path.iterdir())


def test_no_rows(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no rows: a workflow cannot be fitted"):
        movielens().fit(RATINGS.clear())
    RATINGS.clear().write_parquet(tmp_path / "none.parquet")
    with pytest.raises(DataError, match=r"no rows.*none\.parquet"):
        nvt.Workflow(["userId"]).fit(tmp_path / "none.parquet")


def test_transform_checks_its_columns() -> None:
    workflow = movielens().fit(RATINGS)
    extra = RATINGS.with_columns(other=pl.lit("ignored"))
    assert workflow.transform(extra).to_dict(as_series=False) == EXPECTED
    with pytest.raises(
        nvt.ColumnNotFoundError,
        match=r"no column 'movieId', .* fitted with; did you mean 'movieID'",
    ):
        workflow.transform(RATINGS.rename({"movieId": "movieID"}))
    with pytest.raises(
        nvt.ColumnTypeError, match=r"'movieId' has dtype string, .* with int64; cast"
    ):
        workflow.transform(RATINGS.cast({"movieId": pl.String}))


def test_integers_may_change_width_but_not_value() -> None:
    workflow = nvt.Workflow(["x"] >> ops.Categorify()).fit(
        pl.DataFrame({"x": pl.Series([1, 2, 2], dtype=pl.Int16)})
    )
    for dtype in (pl.Int8, pl.UInt32, pl.Int64):
        frame = pl.DataFrame({"x": pl.Series([2, 1, 9], dtype=dtype)})
        assert workflow.transform(frame)["x"].to_list() == [3, 4, 2]
    with pytest.raises(DataError, match="conversion from `i64` to `i16` failed in column 'x'"):
        workflow.transform(pl.DataFrame({"x": [2**40]}))


def test_numbers_that_readers_infer_narrower() -> None:
    workflow = nvt.Workflow(["x"] >> ops.LogOp()).fit(pl.DataFrame({"x": [1.5]}))
    for column in (pl.Series([1]), pl.Series([1.0], dtype=pl.Float32), pl.Series([None])):
        assert workflow.transform(column.alias("x").to_frame()).height == 1
    with pytest.raises(nvt.ColumnTypeError, match="'x' has dtype bool"):
        workflow.transform(pl.DataFrame({"x": [True]}))


def test_remove_inputs_for_serving(tmp_path: Path) -> None:
    workflow = movielens().fit(RATINGS)
    workflow.save(tmp_path / "w")
    for served in (workflow, nvt.Workflow.load(tmp_path / "w")):
        assert served.remove_inputs(["rating"]) is served
        assert served.input_schema.names == ["userId", "movieId"]
        out = served.transform(RATINGS.drop("rating"))
        assert out.to_dict(as_series=False) == {k: v for k, v in EXPECTED.items() if k != "label"}
        served.save(tmp_path / "served")
        again = nvt.Workflow.load(tmp_path / "served")
        assert again.transform(RATINGS.drop("rating")).equals(out)
        # An id takes along what was joined by it.
        served.remove_inputs("movieId")
        assert served.output_schema.names == ["userId"]
        with pytest.raises(nvt.ColumnNotFoundError, match="no input 'userid'; did you mean"):
            served.remove_inputs(["userid"])
        with pytest.raises(DataError, match="nothing is left"):
            served.remove_inputs(["userId"])


def test_remove_inputs_through_every_kind_of_node() -> None:
    frame = pl.DataFrame({"a": ["x", "y"], "b": ["y", "z"], "c": [1, 2], "d": [3, 4]})
    joint = [["a", "b"]] >> ops.Categorify()
    rest = ((["c", "d"] >> ops.Rename(postfix="_")) - ["d_"]) + ["d"]
    workflow = nvt.Workflow(joint + rest).fit(frame)
    whole = workflow.transform(frame)
    workflow.remove_inputs(["b", "d"])
    assert workflow.input_schema.names == ["a", "c"]
    # The rest of a joint group keeps the joint vocabulary.
    assert workflow.transform(frame.drop("b", "d")).equals(whole.select("a", "c_"))


def test_lambda_runs_but_is_not_saved(tmp_path: Path) -> None:
    workflow = nvt.Workflow(nvt.ColumnSelector("rating") >> (lambda column: column * 2)).fit(
        RATINGS
    )
    assert workflow.transform(RATINGS)["rating"].to_list()[:2] == [10.0, 4.0]
    with pytest.raises(nvt.UnsupportedError, match=r"LambdaOp on \['rating'\].*use ops\.Sql"):
        workflow.save(tmp_path / "w")
    assert not list(tmp_path.iterdir())


def test_importing_the_etl_is_lazy() -> None:
    code = (
        "import sys, emberline.etl as nvt; before = 'polars' in sys.modules; "
        "nvt.ops.Categorify; print(before, 'polars' in sys.modules, "
        "'tensorflow' in sys.modules, sorted(nvt.__all__) == dir(nvt))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "False", "True"]
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = nvt.nonsense


def test_every_public_name_exists() -> None:
    # datasets is its own package; its names are its own tests' business.
    for name in set(nvt.__all__) - {"datasets"}:
        assert getattr(nvt, name) is not None
    for name in ops.__all__:
        assert getattr(ops, name).__doc__


def test_csv_to_workflow(tmp_path: Path) -> None:
    RATINGS.write_csv(tmp_path / "ratings.csv")
    MOVIES.write_csv(tmp_path / "movies.csv")
    joined = ["movieId"] >> ops.JoinExternal(tmp_path / "movies.csv", on="movieId")
    workflow = nvt.Workflow(joined["genres"] >> ops.SplitString("|") >> ops.Categorify())
    out = workflow.fit_transform(str(tmp_path / "ratings.csv")).to_polars()
    assert out["genres"].to_list() == EXPECTED["genres"]


def test_real_movielens(tmp_path: Path) -> None:
    data = Path(__file__).parents[2] / "../shared/data/ml-latest-small"
    if not data.is_dir():
        pytest.skip(f"no real data at {data}")
    joined = ["movieId"] >> ops.JoinExternal(data / "movies.csv", "movieId", columns_ext=["genres"])
    genres = joined["genres"] >> ops.SplitString("|") >> ops.Categorify()
    workflow = nvt.Workflow((["userId", "movieId"] >> ops.Categorify()) + genres)
    ratings = nvt.Dataset(data / "ratings.csv")
    written = workflow.fit_transform(ratings).to_parquet(tmp_path / "out", output_files=2)
    assert written.num_rows == 100_836
    sizes = nvt.get_embedding_sizes(workflow)
    assert isinstance(sizes, tuple)
    single, multi = sizes
    # 610 users, 9,724 rated movies, 19 genres and "(no genres listed)", and three reserved ids.
    assert {name: size[0] for name, size in single.items()} == {"userId": 613, "movieId": 9727}
    assert multi["genres"][0] == 23
    frame = written.to_polars()
    # User 414 rated most (2,698), movie 356 is the most rated (329).
    raw = ratings.to_polars()
    assert (frame["userId"] == 3).equals(raw["userId"] == 414)
    assert (frame["movieId"] == 3).equals(raw["movieId"] == 356)
    assert (frame["userId"] == 3).sum() == 2698
    assert frame["genres"].explode(empty_as_null=True, keep_nulls=True).min() == 3


def test_repr_names_the_steps() -> None:
    workflow = nvt.Workflow(["a"] >> ops.Clip(min_value=1))
    assert repr(workflow) == "Workflow(not fitted: 0_select -> 1_Clip)"
    assert repr(ops.Clip(min_value=1)) == "Clip(min_value=1)"
    assert (
        repr(nvt.ColumnSelector(["a", ["b", "c"], "*"])) == "ColumnSelector(['a', ['b', 'c'], '*'])"
    )


def test_schema_type_of_workflow_round_trips_as_json() -> None:
    workflow = movielens().fit(RATINGS)
    text = json.dumps(workflow.output_schema.to_dict())
    assert Schema.from_dict(json.loads(text)) == workflow.output_schema
