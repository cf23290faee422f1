"""The workflow whose saved form guards the format; run as a script it writes that form anew.

`python tests/etl/saved_workflow.py` replaces saved_workflow_v1: only before the format is released.
Afterwards a change of the format gets a new version and a new directory beside the old one.
"""

from pathlib import Path

import polars as pl

import emberline.etl as nvt
from emberline.etl import ops

__all__ = ["DIRECTORY", "FRAME", "workflow"]

DIRECTORY = Path(__file__).parent / "saved_workflow_v1"

FRAME = pl.DataFrame(
    {
        "a/b": ["x", None, "y", "x", "x"],
        "c": ["y", "z", "z", None, "ä"],
        "g": [["p", None], [], None, ["q", "p"], ["p"]],
        "n": [1.5, None, float("nan"), -2.0, 8.0],
        "k": [1, 2, 3, 2, 2],
        "d": ["2|3", "", None, "2", "3"],
    }
)
TABLE = pl.DataFrame({"k": [1, 2], "t": [["u"], ["v", "w"]]})


def workflow() -> nvt.Workflow:
    """Give the workflow, not fitted."""
    joint = [["a/b", "c"]] >> ops.Categorify(freq_threshold={"a/b_c": 2}) >> ops.TagAsItemID()
    lists = ["g"] >> ops.Categorify(max_size=4) >> ops.Rename(name="list")
    pairs = [["c", "k"]] >> ops.Categorify(encode_type="combo", num_buckets=3)
    numbers = ["n"] >> ops.FillMissing(0.0, add_binary_cols=True)
    clipped = numbers["n"] >> ops.Clip(0.5) >> ops.LogOp() >> ops.Rename(name="log")
    joined = ["k"] >> ops.JoinExternal(TABLE, on="k")
    split = ["d"] >> ops.SplitString("|") >> ops.Cast("int64") >> ops.AddProperties({"p": [1]})
    label = ["n", "k"] >> ops.Sql("n > 0 AND k < 3", name="label") >> ops.AddTags(["target"])
    features = nvt.Subgraph("features", joint + lists + pairs + numbers["n_filled"] + clipped)
    return nvt.Workflow(features + (joined - ["k"]) + split + label)


if __name__ == "__main__":
    workflow().fit(FRAME).save(DIRECTORY)
    workflow().fit(FRAME).transform(FRAME).write_ndjson(DIRECTORY.with_suffix(".expected.json"))
