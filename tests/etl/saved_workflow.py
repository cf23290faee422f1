"""The workflows whose saved form guards the format; run as a script it writes that form anew.

`python -m tests.etl.saved_workflow` replaces saved_workflow_v1: only before the format is released.
Afterwards a change of the format gets a new version and a new directory beside the old one.
"""

from collections.abc import Callable
from pathlib import Path

import polars as pl

import emberline.etl as nvt
from emberline.etl import ops

__all__ = ["DIRECTORY", "FRAME", "WORKFLOWS"]

DIRECTORY = Path(__file__).parent / "saved_workflow_v1"

FRAME = pl.DataFrame(
    {
        "a/b": ["x", None, "y", "x", "x"],
        "c": ["y", "z", "z", None, "ä"],
        "g": [["p", None], [], None, ["q", "p"], ["p"]],
        "n": [1.5, None, float("nan"), -2.0, 8.0],
        "k": [1, 2, 3, 2, 2],
        "d": ["2|3", "", None, "2", "3"],
        "m": [0, 1, 2, 3, 0],
        "y": [0.5, 1.0, 0.25, 4.0, 2.0],
    }
)
TABLE = pl.DataFrame({"k": [1, 2], "t": [["u"], ["v", "w"]]})
SIMILAR = [[1.0, 0.0, 2.0], [0.5, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 2.0, 1.0]]


def features() -> nvt.Workflow:
    """Every operator that keeps the rows as they are."""
    joint = [["a/b", "c"]] >> ops.Categorify(freq_threshold={"a/b_c": 2}) >> ops.TagAsItemID()
    lists = ["g"] >> ops.Categorify(max_size=4) >> ops.Rename(name="list")
    sliced = lists >> ops.ListSlice(1) >> ops.ValueCount() >> ops.Rename(postfix="_sliced")
    pairs = [["c", "k"]] >> ops.Categorify(encode_type="combo", num_buckets=3)
    hashed = ["c"] >> ops.HashBucket(7) >> ops.Rename(postfix="_hash")
    crossed = [["c", "k"]] >> ops.HashedCross(11)
    filled = ["n"] >> ops.FillMissing(0.0, add_binary_cols=True)
    clipped = filled["n"] >> ops.Clip(0.5) >> ops.LogOp() >> ops.Rename(name="log")
    median = ["n"] >> ops.FillMedian()
    numbers = median >> ops.Normalize() >> ops.Rename(name="normal")
    scaled = median >> ops.NormalizeMinMax() >> ops.Rename(name="scaled")
    bins = median >> ops.Bucketize([0.0, 2.0]) >> ops.Rename(name="bin")
    small = ["k"] >> ops.ReduceDtypeSize() >> ops.DataStats() >> ops.Rename(name="small")
    lag = ["y"] >> ops.DifferenceLag("k")
    groups = ["k"] >> ops.JoinGroupby(cont_cols=["y"], stats=["count", "mean", "max"])
    target = ["k"] >> ops.TargetEncoding("y", kfold=2, p_smooth=2)
    similar = [["k", "m"]] >> ops.ColumnSimilarity(SIMILAR, metric="cosine")
    low = ["c"] >> ops.Categorify() >> ops.DropLowCardinality(2) >> ops.Rename(postfix="_low")
    joined = ["k"] >> ops.JoinExternal(TABLE, on="k")
    split = ["d"] >> ops.SplitString("|") >> ops.Cast("int64") >> ops.AddProperties({"p": [1]})
    label = ["n", "k"] >> ops.Sql("n > 0 AND k < 3", name="label") >> ops.AddTags(["target"])
    user = ["y"] >> ops.TagAsUserFeatures() >> ops.TagAsUserID() >> ops.TagAsItemFeatures()
    user = user >> ops.AddMetadata(["mine"], {"q": None})
    named = nvt.Subgraph("features", joint + lists + sliced + pairs + hashed + crossed)
    rest = (
        filled["n_filled"]
        + clipped
        + numbers
        + scaled
        + bins
        + small
        + lag
        + groups
        + target
        + similar
    )
    return nvt.Workflow(named + rest + low + (joined - ["k"]) + split + label + user)


def rows() -> nvt.Workflow:
    """Operators that drop rows or make others."""
    whole = ["k", "y", "n"] >> ops.Dropna()
    return nvt.Workflow(whole >> ops.Groupby("k", sort_cols="y", aggs={"y": ["list", "sum"]}))


WORKFLOWS: dict[str, Callable[[], nvt.Workflow]] = {"features": features, "rows": rows}

if __name__ == "__main__":
    for name, make in WORKFLOWS.items():
        workflow = make().fit(FRAME)
        workflow.save(DIRECTORY / name)
        workflow.transform(FRAME).write_ndjson(DIRECTORY / f"{name}.expected.json")
