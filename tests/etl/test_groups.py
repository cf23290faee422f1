"""Groupby, JoinGroupby, TargetEncoding and DifferenceLag against a few lines of Python."""

import itertools
import math
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import emberline.etl as nvt
from emberline.errors import DataError
from emberline.etl import ops
from tests.etl.every_way import InParts, every_way

KEYS = st.none() | st.sampled_from(["a", "b", "c"])
ROWS = st.lists(
    st.tuples(KEYS, st.none() | st.integers(-5, 5), st.none() | st.integers(-9, 9)),
    min_size=1,
    max_size=12,
)


def table(rows: list[Any]) -> pl.DataFrame:
    schema = {"k": pl.String, "j": pl.Int64, "x": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def rounded(value: float | None) -> float | None:
    return None if value is None else float(np.float32(value))


# Groupby


@settings(max_examples=40)
@given(ROWS)
def test_groupby_against_python(rows: list[Any]) -> None:
    aggs = {"x": ["list", "first", "last", "count", "nunique", "sum", "mean", "min", "max", "std"]}
    node = ["k", "j", "x"] >> ops.Groupby("k", sort_cols="j", aggs=aggs)
    if all(key is None for key, *_ in rows):
        return
    out = every_way(node, table(rows))
    groups: dict[str, list[Any]] = defaultdict(list)
    for key, _, x in sorted(rows, key=lambda r: (r[1] is None, r[1] or 0)):
        if key is not None:
            groups[key].append(x)
    assert out["k"].to_list() == sorted(groups)
    for row in out.iter_rows(named=True):
        values = groups[row["k"]]
        known = [v for v in values if v is not None]
        assert row["x_list"] == values
        assert (row["x_first"], row["x_last"]) == (values[0], values[-1])
        assert (row["x_count"], row["x_nunique"]) == (len(known), len(set(known)))
        assert row["x_sum"] == sum(known)
        assert row["x_mean"] == rounded(statistics.mean(known) if known else None)
        assert (row["x_min"], row["x_max"]) == (min(known, default=None), max(known, default=None))
        std = statistics.stdev(known) if len(known) > 1 else None
        assert row["x_std"] == (None if std is None else pytest.approx(std, rel=1e-6))


def test_groupby_sessions_by_hand(tmp_path: Path) -> None:
    """The session-based notebooks' step, then what they do with its lists."""
    frame = pl.DataFrame(
        {
            "session": [2, 1, 2, 1, 2],
            "item": ["x", "y", "z", "x", "x"],
            "time": [30, 5, 10, 1, 20],
        }
    )
    grouped = (["session"] + (["item"] >> ops.Categorify()) + ["time"]) >> ops.Groupby(
        groupby_cols=["session"],
        sort_cols=["time"],
        aggs={"item": ["list", "count"], "time": ["first", "last"]},
        name_sep="-",
    )
    lists = grouped["item-list"] >> ops.ListSlice(-2) >> ops.Rename(postfix="_seq")
    node = grouped["session", "item-count", "time-first"] + lists
    out = every_way(node, frame, tmp_path)
    # Ids: x 3, y 4, z 5.
    assert out.rows() == [(1, 2, 1, [3, 4]), (2, 3, 10, [3, 3])]
    schema = nvt.Workflow(node).fit(frame).output_schema
    assert schema["item-list_seq"].tags == {"categorical", "list"}
    assert schema["item-count"].tags == set()
    assert nvt.get_embedding_sizes(schema) == ({}, {"item-list_seq": (6, 16)})


def test_groupby_arguments(tmp_path: Path) -> None:
    frame = pl.DataFrame({"k": [1, 1, 2], "x": [1.0, float("nan"), 3.0], "y": [7, 5, 7]})
    out = every_way(["k", "x", "y"] >> ops.Groupby("k", "y", ascending=False), frame, tmp_path)
    assert out["y_list"].to_list() == [[7, 5], [7]]
    assert out.columns == ["k", "x_list", "y_list"]
    counted = every_way(["k", "x"] >> ops.Groupby("k", aggs=["count", "size", list]), frame)
    assert counted.rows() == [
        (1, 1, 2, [1.0, pytest.approx(math.nan, nan_ok=True)]),
        (2, 1, 1, [3.0]),
    ]
    two = every_way(["k", "y"] >> ops.Groupby(["k", "y"], aggs={}), frame)
    assert two.rows() == [(1, 5), (1, 7), (2, 7)]
    order = ["k", "x", "y"] >> ops.Groupby("k", ["y", "x"], {"y": "list"}, ascending=[False, True])
    assert every_way(order, frame)["y_list"].to_list() == [[7, 5], [7]]


def test_groupby_without_one_of_its_columns(tmp_path: Path) -> None:
    frame = pl.DataFrame({"k": [1, 2, 1], "x": [5, 6, 7], "y": [0, 1, 0]})
    for aggs in ("sum", {"x": ["sum"], "y": "sum"}):
        workflow = nvt.Workflow(["k", "x", "y"] >> ops.Groupby("k", aggs=aggs)).fit(frame)
        workflow.remove_inputs("y")
        workflow.save(tmp_path / "w")
        for one in (workflow, nvt.Workflow.load(tmp_path / "w")):
            assert one.transform(frame.drop("y")).rows() == [(1, 12.0), (2, 6.0)]
        with pytest.raises(DataError, match=r"nothing is left of the workflow without \['k'\]"):
            workflow.remove_inputs("k")


def test_groupby_mistakes() -> None:
    frame = pl.DataFrame({"k": [1], "x": ["a"], "l": [[1]]})
    mistakes: list[tuple[Any, str]] = [
        (lambda: ops.Groupby("k", aggs="mod"), "no aggregate 'mod'; known: list, first"),
        (lambda: ops.Groupby([]), "must name at least one column"),
        (lambda: ops.Groupby("k", ["x"], ascending=[True, False]), "one entry for each of sort"),
        (lambda: ["x"] >> ops.Groupby("k"), "no column 'k' among its inputs"),
        (lambda: ["k", "x"] >> ops.Groupby("k", aggs={"y": "list"}), "no column 'y'"),
        (lambda: ["k", "x"] >> ops.Groupby("k", aggs="mean"), "column 'x' has dtype string"),
        (lambda: ["k", "l"] >> ops.Groupby("k"), "column 'l' is a list; there is no 'list'"),
        (lambda: ["k", "l"] >> ops.Groupby("l"), "column 'l' is a list; it cannot be a key"),
        (
            lambda: (["k", "x"] >> ops.Groupby("k")) + ["x"],
            r"the columns .* are of different rows.*JoinGroupby",
        ),
    ]
    for make, message in mistakes:
        with pytest.raises(DataError, match=message):
            nvt.Workflow(make()).fit(frame)


# JoinGroupby


@settings(max_examples=40)
@given(ROWS)
def test_join_groupby_against_python(rows: list[Any]) -> None:
    stats = ["count", "sum", "mean", "var", "std", "min", "max"]
    node = [["k", "j"]] >> ops.JoinGroupby(cont_cols=["x"], stats=stats)
    out = every_way(node, table(rows))
    groups = defaultdict(list)
    for key, order, x in rows:
        groups[key, order].append(x)
    for (key, order, _), row in zip(rows, out.iter_rows(named=True), strict=True):
        values = groups[key, order]
        known = [v for v in values if v is not None]
        assert row["k_j_count"] == len(values)
        assert row["k_j_x_sum"] == sum(known)
        assert row["k_j_x_mean"] == rounded(sum(known) / len(known) if known else None)
        several = len(known) > 1
        assert row["k_j_x_var"] == rounded(statistics.variance(known) if several else None)
        assert row["k_j_x_std"] == rounded(statistics.stdev(known) if several else None)
        ends = (min(known, default=None), max(known, default=None))
        assert (row["k_j_x_min"], row["k_j_x_max"]) == ends


def test_join_groupby_by_hand(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {"k": ["a", "b", "a", None], "f": [0.1, 0.2, 0.2, float("nan")], "u": [1, 2, 3, 4]}
    )
    node = ["k"] >> ops.JoinGroupby(cont_cols=["f", "u"], stats=["count", "sum", "max"])
    out = every_way(node, frame, tmp_path)
    assert out.to_dict(as_series=False) == {
        "k_count": [2, 1, 2, 1],
        "k_f_sum": [0.1 + 0.2, 0.2, 0.1 + 0.2, 0.0],
        "k_f_max": [0.2, 0.2, 0.2, None],
        "k_u_sum": [4, 2, 4, 4],
        "k_u_max": [3, 2, 3, 4],
    }
    workflow = nvt.Workflow(node).fit(frame)
    unseen = pl.DataFrame({"k": ["a", "new", None], "f": [0.0] * 3, "u": [0] * 3})
    assert workflow.transform(unseen)["k_count"].to_list() == [2, 0, 1]
    assert workflow.transform(unseen)["k_u_sum"].to_list() == [4, None, 4]
    # Serving: once learned, the numbers are not needed.
    workflow.remove_inputs(["f", "u"])
    assert workflow.input_schema.names == ["k"]
    assert workflow.transform(pl.DataFrame({"k": ["b"]}))["k_f_sum"].to_list() == [0.2]
    workflow.save(tmp_path / "served")
    served = nvt.Workflow.load(tmp_path / "served")
    assert served.transform(pl.DataFrame({"k": ["b"]}))["k_f_sum"].to_list() == [0.2]


def test_join_groupby_of_a_node_and_after_an_operator(tmp_path: Path) -> None:
    frame = pl.DataFrame({"k": ["a", "b", "a"], "x": [1.0, None, 3.0]})
    filled = ["x"] >> ops.FillMissing(10.0)
    node = ["k"] >> ops.Categorify() >> ops.JoinGroupby(cont_cols=filled, stats=["mean", "count"])
    out = every_way(node, frame, tmp_path)
    assert out.to_dict(as_series=False) == {"k_count": [2, 1, 2], "k_x_mean": [2.0, 10.0, 2.0]}
    counted = every_way(["k"] >> ops.JoinGroupby(), frame, tmp_path)
    assert counted.to_dict(as_series=False) == {"k_count": [2, 1, 2]}


def test_join_groupby_mistakes() -> None:
    frame = pl.DataFrame({"k": ["a"], "l": [[1]], "s": ["x"]})
    mistakes: list[tuple[Any, str]] = [
        (lambda: ops.JoinGroupby(stats=["median"], cont_cols=["k"]), "no statistic 'median'"),
        (lambda: ops.JoinGroupby(stats=["mean"]), "needs cont_cols"),
        (lambda: ["l"] >> ops.JoinGroupby(), "column 'l' is a list"),
        (lambda: ["k"] >> ops.JoinGroupby(["s"], ["sum"]), "column 's' has dtype string"),
        (lambda: ["k"] >> ops.JoinGroupby(["q"], ["sum"]), "no column 'q' in the data"),
    ]
    for make, message in mistakes:
        with pytest.raises(DataError, match=message):
            nvt.Workflow(make()).fit(frame)


def test_group_statistics_grow_with_new_data() -> None:
    node = (["k"] >> ops.JoinGroupby(["x"], ["count", "mean", "std"])) + (
        ["k"] >> ops.TargetEncoding("x", kfold=1)
    )
    first = table([("a", 1, 3), ("b", 1, None), (None, 1, 2)])
    second = table([("a", 1, 8), ("c", 1, 1), (None, 1, 3)])
    both = pl.concat([first, second])
    updated = nvt.Workflow(node).fit(first).fit(second, update=True)
    assert updated.transform(both).equals(nvt.Workflow(node).fit(both).transform(both))


# TargetEncoding


@settings(max_examples=40)
@given(ROWS, st.integers(1, 4), st.sampled_from([0.0, 2.0, 20.0]), st.sampled_from([42, None]))
def test_target_encoding_against_python(
    rows: list[Any], kfold: int, smooth: float, seed: int | None
) -> None:
    known = [x for *_, x in rows if x is not None]
    if not known:
        return
    node = ["k"] >> ops.TargetEncoding("x", kfold=kfold, p_smooth=smooth, fold_seed=seed)
    out = every_way(node, table(rows))["TE_k_x"].to_list()
    mean = sum(known) / len(known)
    # What NVTabular draws.
    folds = [i % kfold for i in range(len(rows))]
    if seed is not None and kfold > 1:
        folds = np.random.RandomState(seed).choice(kfold, len(rows)).tolist()
    for i, (key, _, _) in enumerate(rows):
        others = [
            x
            for j, (k, _, x) in enumerate(rows)
            if k == key and x is not None and (kfold == 1 or folds[j] != folds[i])
        ]
        weight = len(others) + smooth
        expected = (sum(others) + smooth * mean) / weight if weight else mean
        assert out[i] == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_no_row_sees_its_own_target(tmp_path: Path) -> None:
    frame = pl.DataFrame({"k": ["a"] * 8, "y": [0, 1, 0, 1, 1, 1, 0, 0]})
    node = ["k"] >> ops.TargetEncoding("y", kfold=3, p_smooth=0, out_dtype="float64")
    out = every_way(node, frame, tmp_path)["TE_k_y"]
    for row in range(8):
        flipped = frame.with_columns(
            pl.when(pl.int_range(8) == row).then(1 - pl.col("y")).otherwise("y").alias("y")
        )
        assert nvt.Workflow(node).fit_transform(flipped)["TE_k_y"][row] == out[row]


def test_folds_stay_with_the_rows_of_a_filtered_branch() -> None:
    """The position is that in the data, not in what a filter left."""
    frame = pl.DataFrame({"k": ["a"] * 6, "y": [1, 2, 3, 4, 5, 6]})
    encoding = ["k", "y"] >> ops.Filter(lambda df: df["y"] != 2) >> ops.Rename(postfix="_")
    node = encoding["k_"] >> ops.TargetEncoding(encoding["y_"], kfold=2, p_smooth=0)
    out = every_way(node, frame)["TE_k__y_"].to_list()
    folds = np.random.RandomState(42).choice(2, 6)
    kept = [i for i in range(6) if i != 1]
    for i, got in zip(kept, out, strict=True):
        assert got == np.float32(np.mean([j + 1 for j in kept if folds[j] != folds[i]]))


def test_target_encoding_arguments(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": [1, 1, 2], "b": [1, 2, 2], "y": [0, 1, 1], "z": [5.0, 6.0, 7.0]})
    node = [["a", "b"]] >> ops.TargetEncoding(
        ["y", "z"], kfold=1, p_smooth=0, out_col=["p", "q"], drop_folds=False, out_dtype=np.float64
    )
    out = every_way(node, frame, tmp_path)
    assert out.to_dict(as_series=False) == {
        "p": [0.0, 1.0, 1.0],
        "q": [5.0, 6.0, 7.0],
        "__fold__": [0, 0, 0],
    }
    given_mean = ["a"] >> ops.TargetEncoding("y", target_mean=0.5, kfold=1, p_smooth=2)
    workflow = nvt.Workflow(given_mean).fit(frame)
    assert workflow.transform(frame)["TE_a_y"].to_list() == [0.5, 0.5, rounded(2 / 3)]
    unseen = pl.DataFrame({"a": [9], "y": [0]})
    assert workflow.transform(unseen)["TE_a_y"].to_list() == [0.5]
    workflow.remove_inputs("y")
    assert workflow.transform(pl.DataFrame({"a": [2, 3]}))["TE_a_y"].to_list() == [
        rounded(2 / 3),
        0.5,
    ]
    schema = workflow.output_schema["TE_a_y"]
    assert schema.tags == {"continuous"}
    booleans = frame.with_columns(pl.col("y").cast(pl.Boolean))
    node = ["a"] >> ops.TargetEncoding("y", kfold=1, p_smooth=0)
    assert every_way(node, booleans, tmp_path)["TE_a_y"].to_list() == [0.5, 0.5, 1.0]


def test_target_encoding_without_one_of_its_groups(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": [1, 1, 2], "b": [1, 2, 2], "y": [0, 1, 1]})
    node = ["a", "b"] >> ops.TargetEncoding("y", kfold=1, p_smooth=0, out_col=["p", "q"])
    nvt.Workflow(node).fit(frame).save(tmp_path / "w")
    for workflow in (nvt.Workflow(node).fit(frame), nvt.Workflow.load(tmp_path / "w")):
        workflow.remove_inputs(["a", "y"])
        served = pl.DataFrame({"b": [2, 1]})
        assert workflow.transform(served).to_dict(as_series=False) == {"q": [1.0, 0.0]}
        workflow.save(tmp_path / "left")
        assert nvt.Workflow.load(tmp_path / "left").transform(served)["q"].to_list() == [1.0, 0.0]


def test_target_encoding_mistakes() -> None:
    frame = pl.DataFrame({"k": ["a"], "s": ["x"], "y": pl.Series([None], dtype=pl.Int64)})
    mistakes: list[tuple[Any, str]] = [
        (lambda: ops.TargetEncoding("y", kfold=0), "kfold must be at least 1, got 0"),
        (lambda: ops.TargetEncoding("y", p_smooth=-1), "p_smooth must not be below 0"),
        (lambda: ["k"] >> ops.TargetEncoding("s"), "target 's' has dtype string"),
        (lambda: ["k"] >> ops.TargetEncoding("q"), "no target column 'q'"),
        (lambda: ["k"] >> ops.TargetEncoding("y"), "target 'y' has no value at all"),
        (
            lambda: ["k"] >> ops.TargetEncoding("y", out_col=["a", "b"]),
            "out_col must be 1 different",
        ),
        (
            lambda: ["k"] >> ops.TargetEncoding("y", target_mean={"z": 1.0}),
            r"target_mean is for \['z'",
        ),
    ]
    for make, message in mistakes:
        with pytest.raises(DataError, match=message):
            nvt.Workflow(make()).fit(frame)


# DifferenceLag


@settings(max_examples=40)
@given(ROWS, st.sampled_from([1, 2, -1]))
def test_difference_lag_against_python(rows: list[Any], shift: int) -> None:
    node = ["x"] >> ops.DifferenceLag(["k", "j"], shift=shift)
    out = every_way(node, table(rows))[f"x_difference_lag_{shift}"].to_list()
    for i, (key, order, x) in enumerate(rows):
        j = i - shift
        other = rows[j] if 0 <= j < len(rows) else (None, None, None)
        same = key is not None and order is not None and (key, order) == other[:2]
        expected = x - other[2] if same and x is not None and other[2] is not None else None
        assert out[i] == expected


def test_a_lag_is_found_in_the_part_before() -> None:
    frame = pl.DataFrame({"u": [1, 1, 1, 1, 1, 1], "t": [1, 2, 4, 8, 16, 32]})
    node = ["t"] >> ops.DifferenceLag("u") >> ops.FillMissing(0.0) >> ops.NormalizeMinMax()
    fitted = nvt.Workflow(node).fit(InParts(frame))
    # Differences 0 (filled), 1, 2, 4, 8, 16: in parts of two rows every second would be missing.
    assert fitted.transform(frame)["t_difference_lag_1"].to_list() == [
        d / 16 for d in (0, 1, 2, 4, 8, 16)
    ]


def test_difference_lag_of_other_dtypes(tmp_path: Path) -> None:
    import datetime as dt

    frame = pl.DataFrame(
        {
            "u": ["a", "a", "b"],
            "small": pl.Series([5, 3, 9], dtype=pl.UInt8),
            "f": [0.5, float("nan"), 1.0],
            "day": [dt.date(2020, 2, 28), dt.date(2020, 3, 1), dt.date(2020, 3, 2)],
            "at": [dt.datetime(2020, 1, 1, 0, 0, second) for second in (1, 3, 5)],
        }
    )
    node = ["small", "f", "day", "at"] >> ops.DifferenceLag("u")
    out = every_way(node, frame, tmp_path)
    assert out["small_difference_lag_1"].to_list() == [None, -2.0, None]
    assert out["day_difference_lag_1"].to_list() == [None, 2.0, None]
    assert out["at_difference_lag_1"].to_list() == [None, 2e6, None]
    assert set(out.dtypes) == {pl.Float32()}
    mistakes: list[tuple[Any, str]] = [
        (lambda: ops.DifferenceLag("u", 0), "an integer but 0, got 0"),
        (lambda: ops.DifferenceLag([]), "partition_cols must be names"),
        (lambda: ["u"] >> ops.DifferenceLag("u"), "column 'u' has dtype string"),
        (lambda: ["f"] >> ops.DifferenceLag("q"), "no column 'q' to partition by"),
    ]
    for make, message in mistakes:
        with pytest.raises(DataError, match=message):
            nvt.Workflow(make()).fit(frame)


def test_every_combination_of_two_groups_is_one_group() -> None:
    pairs = list(itertools.product(["a", None], [1, None]))
    frame = pl.DataFrame(pairs * 2, schema={"k": pl.String, "j": pl.Int64}, orient="row")
    out = every_way([["k", "j"]] >> ops.JoinGroupby(), frame)
    assert out["k_j_count"].to_list() == [2] * 8


def test_a_column_alone_and_in_groups(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": [1, 1, 2], "b": [1, 2, 2], "c": [5, 5, 5], "y": [1, 2, 4]})
    columns = ["a", ["a", "b"], ["b", "c"]]
    out = every_way(columns >> ops.JoinGroupby(), frame, tmp_path)
    assert out.to_dict(as_series=False) == {
        "a_b_count": [1, 1, 1],
        "b_c_count": [1, 2, 2],
        "a_count": [2, 2, 1],
    }
    encoded = every_way(columns >> ops.TargetEncoding("y", kfold=1, p_smooth=0), frame, tmp_path)
    assert encoded["TE_a_y"].to_list() == [1.5, 1.5, 4.0]
    assert encoded["TE_b_c_y"].to_list() == [1.0, 3.0, 3.0]
    with pytest.raises(DataError, match="'a_b', which is also a column"):
        nvt.Workflow(["a_b", ["a", "b"]] >> ops.JoinGroupby()).fit(
            frame.with_columns(pl.lit(1).alias("a_b"))
        )


def test_what_is_needed_beside_may_be_made_by_the_node_itself(tmp_path: Path) -> None:
    """A name that the data does not have: the selected column of that name is meant."""
    frame = pl.DataFrame({"u": [1, 1, 2], "t": [1, 5, 9]})
    user = ["u"] >> ops.Rename(name="user")
    out = every_way((user + nvt.ColumnSelector("t")) >> ops.DifferenceLag("user"), frame, tmp_path)
    assert out["t_difference_lag_1"].to_list() == [None, 4.0, None]
    counted = (user + nvt.ColumnSelector("t")) >> ops.JoinGroupby(cont_cols=["user"], stats=["max"])
    assert every_way(counted, frame, tmp_path)["t_user_max"].to_list() == [1, 1, 2]
    with pytest.raises(DataError, match="no column 'usr' to partition by"):
        nvt.Workflow((user + nvt.ColumnSelector("t")) >> ops.DifferenceLag("usr")).fit(frame)


def test_rows_of_groups_can_be_grouped_and_encoded_again(tmp_path: Path) -> None:
    frame = pl.DataFrame({"u": [1, 1, 2, 2, 2, 3], "g": ["a"] * 3 + ["b"] * 3, "x": range(6)})
    per_user = ["u", "g", "x"] >> ops.Groupby("u", aggs={"g": "first", "x": ["sum", "count"]})
    per_group = per_user >> ops.Groupby("g_first", aggs={"x_count": "sum", "u": "list"})
    assert every_way(per_group, frame, tmp_path).rows() == [("a", 5.0, [1, 2]), ("b", 1.0, [3])]
    # The position that decides the fold is that among the groups.
    encoded = per_user["g_first"] >> ops.TargetEncoding(per_user["x_sum"], kfold=2, p_smooth=0)
    out = every_way(encoded, frame, tmp_path)["TE_g_first_x_sum"].to_list()
    folds = np.random.RandomState(42).choice(2, 3).tolist()
    assert folds == [0, 1, 0]
    # Sums 1, 9, 5 of users 1, 2 (group a) and 3 (group b, alone: the mean of all).
    assert out == [9.0, 1.0, 5.0]
