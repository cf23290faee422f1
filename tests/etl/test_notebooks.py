"""Workflows as users of NVTabular write them, the MovieLens and Criteo examples': only the import
is another one."""

import glob
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

# The line that changes: `import nvtabular as nvt`, `from nvtabular import ops`, and
# `from merlin.schema import Tags`.
import emberline.etl as nvt
from emberline.etl import PandasFunctionWarning, Tags, ops
from emberline.etl.errors import UnsupportedError
from emberline.etl.ops import (
    AddMetadata,
    Categorify,
    Clip,
    FillMissing,
    Normalize,
    get_embedding_sizes,
)

pd = pytest.importorskip("pandas", reason="pandas is not installed")


def movielens(folder: str) -> None:
    movies = pd.DataFrame(
        {
            "movieId": [10, 20, 30],
            "genres": [["Comedy", "Drama"], ["Drama"], ["Action", "Comedy"]],
        }
    )
    movies.to_parquet(os.path.join(folder, "movies_converted.parquet"))
    ratings = pd.DataFrame(
        {
            "userId": [1, 1, 2, 3, 1, 2],
            "movieId": [10, 20, 10, 30, 30, 40],
            "rating": [4.0, 2.5, 5.0, 3.0, 3.5, 1.0],
            "timestamp": [5, 6, 7, 8, 9, 10],
        }
    )
    ratings.iloc[:4].to_parquet(os.path.join(folder, "train.parquet"))
    ratings.iloc[4:].to_parquet(os.path.join(folder, "valid.parquet"))


def test_movielens_example(tmp_path: Path) -> None:
    INPUT_DATA_DIR = str(tmp_path)
    movielens(INPUT_DATA_DIR)

    movies = pd.read_parquet(os.path.join(INPUT_DATA_DIR, "movies_converted.parquet"))
    CATEGORICAL_COLUMNS = ["userId", "movieId"]
    LABEL_COLUMNS = ["rating"]

    joined = ["userId", "movieId"] >> nvt.ops.JoinExternal(movies, on=["movieId"])
    cat_features = joined >> nvt.ops.Categorify()
    ratings = nvt.ColumnSelector(["rating"]) >> nvt.ops.LambdaOp(
        lambda col: (col > 3).astype("int8"), dtype=np.int8
    )
    output = cat_features + ratings
    assert output.graph is not None
    workflow = nvt.Workflow(output)

    dict_dtypes: dict[str, Any] = {}
    for col in CATEGORICAL_COLUMNS:
        dict_dtypes[col] = np.int64
    for col in LABEL_COLUMNS:
        dict_dtypes[col] = np.float32
    train_dataset = nvt.Dataset([os.path.join(INPUT_DATA_DIR, "train.parquet")])
    valid_dataset = nvt.Dataset([os.path.join(INPUT_DATA_DIR, "valid.parquet")], part_size="100MB")

    with pytest.warns(PandasFunctionWarning, match=r"in Polars astype is cast\(\.\.\.\)"):
        workflow.fit(train_dataset)
    workflow.transform(train_dataset).to_parquet(
        output_path=os.path.join(INPUT_DATA_DIR, "train"),
        shuffle=nvt.io.Shuffle.PER_PARTITION,
        cats=["userId", "movieId", "genres"],
        labels=["rating"],
        dtypes=dict_dtypes,
    )
    workflow.transform(valid_dataset).to_parquet(
        output_path=os.path.join(INPUT_DATA_DIR, "valid"),
        shuffle=False,
        cats=["userId", "movieId", "genres"],
        labels=["rating"],
        dtypes=dict_dtypes,
    )
    TRAIN_PATHS = sorted(glob.glob(os.path.join(INPUT_DATA_DIR, "train", "*.parquet")))
    assert len(TRAIN_PATHS) == 1
    df = pd.read_parquet(TRAIN_PATHS[0]).sort_values(["userId", "movieId"])
    assert list(df.columns) == ["userId", "movieId", "genres", "rating"]
    # Users 1, 1, 2, 3: ids 3, 3, 4, 5. Movies 10, 20, 10, 30: 3, 4, 3, 5. Genres of the rows:
    # Drama and Comedy three times each, Action once; ties by name: Comedy 3, Drama 4, Action 5.
    assert df["userId"].tolist() == [3, 3, 4, 5]
    assert df["movieId"].tolist() == [3, 4, 3, 5]
    assert [list(g) for g in df["genres"]] == [[3, 4], [4], [3, 4], [5, 3]]
    assert df["rating"].tolist() == [1.0, 0.0, 1.0, 0.0]
    assert df.dtypes[["userId", "rating"]].tolist() == [np.int64, np.float32]
    valid = nvt.Dataset(os.path.join(INPUT_DATA_DIR, "valid"), engine="parquet").compute()
    assert valid["movieId"].to_list() == [5, 2]
    assert valid["genres"].to_list() == [[5, 3], []]
    assert valid["rating"].to_list() == [1.0, 0.0]

    assert get_embedding_sizes(workflow) == (
        {"userId": (6, 16), "movieId": (6, 16)},
        {"genres": (6, 16)},
    )
    schema = nvt.Dataset(os.path.join(INPUT_DATA_DIR, "train")).schema
    assert schema.select_by_tag(Tags.TARGET).names == ["rating"]
    # The one step that is not: a pickled lambda would be code in a file.
    with pytest.raises(UnsupportedError, match=r"ops\.Sql"):
        workflow.save(os.path.join(INPUT_DATA_DIR, "workflow"))
    label = ["rating"] >> ops.Sql("CAST(rating > 3 AS TINYINT)", name="rating")
    saved = nvt.Workflow(cat_features + label)
    saved.fit_transform(train_dataset)
    saved.save(os.path.join(INPUT_DATA_DIR, "workflow"))
    again = nvt.Workflow.load(os.path.join(INPUT_DATA_DIR, "workflow"))
    assert again.transform(valid_dataset).compute()["rating"].to_list() == [1, 0]


def test_criteo_example(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    rows = 400
    CONTINUOUS_COLUMNS = ["I" + str(x) for x in range(1, 14)]
    CATEGORICAL_COLUMNS = ["C" + str(x) for x in range(1, 27)]
    LABEL_COLUMNS = ["label"]
    raw = pd.DataFrame({"label": rng.integers(0, 2, rows).astype("int32")})
    for column in CONTINUOUS_COLUMNS:
        values = rng.integers(-3, 50, rows).astype("float64")
        values[rng.random(rows) < 0.2] = np.nan
        raw[column] = pd.array(values, dtype="Int64")
    for number, column in enumerate(CATEGORICAL_COLUMNS):
        raw[column] = [f"{v:08x}" for v in rng.integers(0, 5 + 3 * number, rows)]
    for day in range(2):
        raw.iloc[day * 200 : day * 200 + 200].to_parquet(tmp_path / f"day_{day}.parquet")

    BASE_DIR = str(tmp_path)
    train_paths = sorted(glob.glob(os.path.join(BASE_DIR, "day_*.parquet")))
    stats_path = os.path.join(BASE_DIR, "stats")
    num_buckets = 20
    categorify_op = Categorify(out_path=stats_path, max_size=num_buckets)
    cat_features = CATEGORICAL_COLUMNS >> categorify_op
    cont_features = CONTINUOUS_COLUMNS >> FillMissing() >> Clip(min_value=0) >> Normalize()
    label_features = LABEL_COLUMNS >> AddMetadata(tags=[Tags.BINARY_CLASSIFICATION, "target"])
    features = cat_features + cont_features + label_features
    workflow = nvt.Workflow(features)

    train_dataset = nvt.Dataset(train_paths, engine="parquet", part_size="1MB")
    dict_dtypes: dict[str, Any] = {}
    for col in CATEGORICAL_COLUMNS:
        dict_dtypes[col] = np.int64
    for col in CONTINUOUS_COLUMNS:
        dict_dtypes[col] = np.float32
    for col in LABEL_COLUMNS:
        dict_dtypes[col] = np.float32

    workflow.fit(train_dataset)
    workflow.transform(train_dataset).to_parquet(
        output_files=len(train_paths),
        output_path=os.path.join(BASE_DIR, "train"),
        shuffle=nvt.io.Shuffle.PER_PARTITION,
        dtypes=dict_dtypes,
        cats=CATEGORICAL_COLUMNS,
        conts=CONTINUOUS_COLUMNS,
        labels=LABEL_COLUMNS,
    )
    workflow.save(os.path.join(BASE_DIR, "workflow"))
    workflow = nvt.Workflow.load(os.path.join(BASE_DIR, "workflow"))

    out = nvt.Dataset(os.path.join(BASE_DIR, "train")).compute().to_pandas()
    assert len(glob.glob(os.path.join(BASE_DIR, "train", "*.parquet"))) == 2
    assert len(out) == rows
    for column in CONTINUOUS_COLUMNS:
        filled = raw[column].astype("float64").fillna(0).clip(lower=0)
        expected = ((filled - filled.mean()) / filled.std()).astype("float32")
        assert np.allclose(np.sort(out[column]), np.sort(expected), atol=1e-6)
        assert out[column].dtype == np.float32
    sizes = get_embedding_sizes(workflow)
    assert isinstance(sizes, dict)
    for column in CATEGORICAL_COLUMNS:
        counts = raw[column].value_counts()
        assert sizes[column][0] == min(len(counts) + 3, num_buckets)
        assert (out[column] == 3).sum() == counts.max()
    assert out["label"].sum() == raw["label"].sum()
    assert Path(stats_path, "categories", "unique.C1.parquet").exists()
    schema = workflow.output_schema
    assert schema.select_by_tag(Tags.TARGET).names == ["label"]
    assert schema.select_by_tag(Tags.CONTINUOUS).names == CONTINUOUS_COLUMNS
    assert schema.select_by_tag(Tags.CATEGORICAL).names == CATEGORICAL_COLUMNS
