"""Workflows on real data, against numbers counted with Python's csv, Counter and statistics."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

import emberline.etl as nvt
from emberline.etl import PandasFunctionWarning, ops

REAL = Path(__file__).parents[2] / "../shared/data"


def real(name: str) -> Path:
    path = REAL / name
    if not path.exists():
        pytest.skip(f"{name} is not in ../shared/data")
    return path


def operator(workflow: nvt.Workflow, kind: type[Any]) -> Any:
    found = [s.operator for s in workflow._graph.steps if isinstance(s.operator, kind)]
    assert len(found) == 1
    return found[0]


def test_movielens_small(tmp_path: Path) -> None:
    """Join, ragged genres, label, group statistics, target encoding, lags."""
    movies = nvt.Dataset(real("ml-latest-small/movies.csv"))
    ratings = nvt.Dataset(real("ml-latest-small/ratings.csv"))
    joined = ["movieId"] >> ops.JoinExternal(movies, on="movieId", columns_ext=["genres"])
    genres = joined["genres"] >> ops.SplitString("|")
    cats = (joined["movieId"] + ["userId"] + genres) >> ops.Categorify()
    label = ["rating"] >> ops.Sql("CAST(rating > 3 AS TINYINT)", name="label")
    groups = ["userId"] >> ops.JoinGroupby(cont_cols=["rating"], stats=["count", "mean", "std"])
    encoded = ["movieId"] >> ops.TargetEncoding("rating", kfold=5, p_smooth=20)
    lag = ["timestamp"] >> ops.DifferenceLag("userId")
    normal = ["rating"] >> ops.Normalize()
    workflow = nvt.Workflow(cats + label + groups + encoded + lag + normal).fit(ratings)
    workflow.transform(ratings).to_parquet(tmp_path / "out")
    out = nvt.Dataset(tmp_path / "out").to_polars()

    assert out.height == 100_836
    single, multi = nvt.get_embedding_sizes(workflow)
    assert isinstance(single, dict)
    assert {c: n for c, (n, _) in single.items()} == {"movieId": 9724 + 3, "userId": 610 + 3}
    assert isinstance(multi, dict)
    assert multi["genres"][0] == 20 + 3
    lists = out["genres"].explode(empty_as_null=True, keep_nulls=True)
    # Drama is the most frequent genre of ratings, then Comedy, Action, Thriller.
    counts = lists.value_counts().sort("count", descending=True)
    assert counts.head(4).rows() == [(3, 41928), (4, 39053), (5, 30635), (6, 26452)]
    assert len(lists) == 274_480
    assert int(out["label"].cast(pl.Int64).sum()) == 61_716
    # User 414 rated most: id 3, 2698 ratings.
    most = out.filter(pl.col("userId") == 3)
    assert most.height == 2698
    assert set(most["userId_count"]) == {2698}
    assert most["userId_rating_mean"][0] == pytest.approx(9151.5 / 2698, rel=1e-7)
    assert most["userId_rating_std"][0] == pytest.approx(0.9333072723358359, rel=1e-7)
    normalize = operator(workflow, ops.Normalize)
    assert normalize.means["rating"] == pytest.approx(3.501556983616962, rel=1e-15)
    assert normalize.stds["rating"] == pytest.approx(1.042529239060635, rel=1e-15)
    # User 1's first ratings: at 964982703, 964981247, 964982224, 964983815.
    assert out["timestamp_difference_lag_1"].head(4).to_list() == [None, -1456.0, 977.0, 1591.0]
    assert out["timestamp_difference_lag_1"].null_count() == 610
    assert out["TE_movieId_rating"].is_between(0.5, 5).all()


def test_movielens_small_sessions(tmp_path: Path) -> None:
    ratings = nvt.Dataset(real("ml-latest-small/ratings.csv"))
    grouped = ["userId", "movieId", "timestamp"] >> ops.Groupby(
        "userId", sort_cols="timestamp", aggs={"movieId": ["list", "count"], "timestamp": "first"}
    )
    last = grouped["movieId_list"] >> ops.ListSlice(-20, pad=True)
    node = (grouped["userId", "movieId_count", "timestamp_first"] + last) >> ops.Filter(
        lambda df: df["movieId_count"] >= 232
    )
    out = nvt.Workflow(node).fit_transform(ratings).to_polars()
    assert out["userId"].is_sorted()
    first = out.row(0, named=True)
    assert (first["userId"], first["movieId_count"], first["timestamp_first"]) == (
        1,
        232,
        964980499,
    )
    assert first["movieId_list"][-1] == 2492
    assert out.schema["movieId_list"] == pl.Array(pl.Int64, 20)
    assert out["movieId_count"].min() == 232


def test_goodbooks() -> None:
    """Authors split into a ragged list, medians of years with nulls, language codes with nulls."""
    books = nvt.Dataset(real("goodbooks-10k/books.parquet"))
    authors = ["authors"] >> ops.SplitString(", ") >> ops.ValueCount() >> ops.Categorify()
    year = ["original_publication_year"] >> ops.FillMedian(add_binary_cols=True)
    decade = year["original_publication_year"] >> ops.Bucketize([1900, 1950, 1990, 2000, 2010])
    language = ["language_code"] >> ops.Categorify(freq_threshold=100)
    node = ["book_id"] + authors + (decade >> ops.Rename(name="era")) + year + language
    workflow = nvt.Workflow(node)
    out = workflow.fit_transform(books).to_polars()

    assert out.height == 10_000
    # James Patterson wrote 98 of the books, Stephen King 97, Nora Roberts 65.
    lists = out["authors"].explode(empty_as_null=True, keep_nulls=True)
    top = lists.value_counts().sort("count", descending=True).head(3).rows()
    assert top == [(3, 98), (4, 97), (5, 65)]
    assert len(lists) == 13_216
    assert workflow.output_schema["authors"].properties["embedding_sizes"]["cardinality"] == 5844
    assert operator(workflow, ops.ValueCount).stats["authors"]["value_count"] == {
        "min": 1,
        "max": 47,
    }
    assert operator(workflow, ops.FillMedian).medians == {"original_publication_year": 2004.0}
    assert int(out["original_publication_year_filled"].sum()) == 10_000 - 9_979
    assert set(out.filter("original_publication_year_filled")["era"]) == {4}
    languages = out["language_code"].value_counts().sort("language_code").rows()
    # 1 null, then eng, en-US and en-GB; rarer ones are 2.
    assert languages[0] == (1, 1084)
    assert languages[2:] == [(3, 6341), (4, 2070), (5, 257)]


def test_goodbooks_ratings_with_their_authors() -> None:
    books = nvt.Dataset(real("goodbooks-10k/books.parquet"))
    ratings = nvt.Dataset(real("goodbooks-10k/ratings.parquet"))
    joined = ["book_id"] >> ops.JoinExternal(books, on="book_id", columns_ext=["authors"])
    authors = joined["authors"] >> ops.SplitString(", ") >> ops.Categorify()
    size = ["rating"] >> ops.ReduceDtypeSize()
    counts = ["book_id"] >> ops.JoinGroupby() >> ops.NormalizeMinMax()
    workflow = nvt.Workflow(authors + size + counts)
    out = workflow.fit_transform(ratings).to_polars()
    assert out.height == 981_756
    lists = out["authors"].explode(empty_as_null=True, keep_nulls=True)
    top = lists.value_counts().sort("count", descending=True).head(3).rows()
    assert top == [(3, 9754), (4, 9667), (5, 6482)]
    assert out.schema["rating"] == pl.Int8
    assert out["rating"].value_counts().sort("rating")["count"].to_list() == [
        19575,
        63231,
        248623,
        357366,
        292961,
    ]
    # A book has 8 to 100 ratings.
    normalize = operator(workflow, ops.NormalizeMinMax)
    assert (normalize.mins, normalize.maxs) == ({"book_id_count": 8}, {"book_id_count": 100})


def test_online_retail(tmp_path: Path) -> None:
    """Nulls, text, negative numbers."""
    retail = nvt.Dataset(real("online-retail/online-retail.parquet"))
    customers = ["CustomerID", "Country"] >> ops.Categorify()
    words = ["Description"] >> ops.LambdaOp(lambda text: text.str.strip().str.lower())
    numbers = ["Quantity", "UnitPrice"] >> ops.Normalize()
    spent = ["CustomerID"] >> ops.JoinGroupby(
        cont_cols=["Quantity"], stats=["count", "sum", "mean", "std", "min", "max"]
    )
    logs = ["Quantity"] >> ops.Clip(min_value=0) >> ops.LogOp() >> ops.Rename(postfix="_log")
    node = customers + (words >> ops.Categorify()) + numbers + spent + logs
    stats = ops.DataStats()
    workflow = nvt.Workflow(
        node + (["UnitPrice", "InvoiceDate"] >> stats >> ops.Rename(postfix="_"))
    )
    with pytest.warns(PandasFunctionWarning, match="in Polars strip is str.strip_chars"):
        workflow.fit(retail)
    out = workflow.transform(retail).to_polars()

    assert out.height == 541_909
    ids = out["CustomerID"].value_counts().sort("CustomerID")
    # 135,080 rows without a customer; 17841 has most rows.
    assert ids.head(4).rows() == [(1, 135080), (3, 7983), (4, 5903), (5, 5128)]
    countries = out["Country"].value_counts().sort("Country")["count"].head(3).to_list()
    assert countries == [495478, 9495, 8557]
    texts = out["Description"].value_counts().sort("Description")["count"].head(4).to_list()
    assert texts == [1454, 2369, 2200, 2159]
    normalize = operator(workflow, ops.Normalize)
    assert normalize.means == {
        "Quantity": pytest.approx(9.55224954743324, rel=1e-15),
        "UnitPrice": pytest.approx(4.611113626088513, rel=1e-15),
    }
    assert normalize.stds == {
        "Quantity": pytest.approx(218.08115785023384, rel=1e-15),
        "UnitPrice": pytest.approx(96.75985306117938, rel=1e-15),
    }
    # The first row is of customer 17850, whose quantities go down to -12.
    row = out.row(0, named=True)
    assert (row["CustomerID_count"], row["CustomerID_Quantity_sum"]) == (312, 1693)
    assert row["CustomerID_Quantity_mean"] == pytest.approx(1693 / 312, rel=1e-7)
    assert row["CustomerID_Quantity_std"] == pytest.approx(2.6947039205127243, rel=1e-7)
    assert (row["CustomerID_Quantity_min"], row["CustomerID_Quantity_max"]) == (-12, 12)
    # Null customers are a group too.
    nobody = out.filter(pl.col("CustomerID") == 1).row(0, named=True)
    assert (nobody["CustomerID_count"], nobody["CustomerID_Quantity_sum"]) == (135080, 269562)
    assert out.filter(pl.col("Quantity_log") == 0).height == 10_624
    assert stats.output["UnitPrice"]["min"] == -11062.06
    assert stats.output["UnitPrice"]["per_nan"] == 0.0
    assert stats.output["InvoiceDate"]["cardinality"] == 23_260


def test_online_retail_baskets() -> None:
    retail = nvt.Dataset(real("online-retail/online-retail.parquet"))
    columns = ["InvoiceNo", "StockCode", "Quantity", "CustomerID"]
    bought = columns >> ops.Dropna() >> ops.Filter(lambda df: df["Quantity"] > 0)
    baskets = bought >> ops.Groupby("InvoiceNo", aggs={"StockCode": "list", "Quantity": "sum"})
    out = nvt.Workflow(baskets).fit_transform(retail).to_polars()
    # Lists in the order of the rows; 397,924 rows are left of 18,536 invoices.
    assert out.height == 18_536
    assert int(out["StockCode_list"].list.len().sum()) == 397_924
    assert out.row(0, named=True)["StockCode_list"] == [
        "85123A",
        "71053",
        "84406B",
        "84029G",
        "84029E",
        "22752",
        "21730",
    ]
    assert out["InvoiceNo"][0] == "536365"
