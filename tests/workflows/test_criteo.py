"""The Criteo job: workflow, splits, stages, figures, the command line."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from emberline.errors import DataError
from emberline.etl import Workflow
from emberline.etl.datasets import SyntheticCriteo
from emberline.etl.datasets.criteo import CATEGORIES, INTEGERS
from emberline.etl.tags import Tags
from emberline.models import load_model
from emberline.workflows.progress import Reporter
from emberline.workflows.recipes.criteo import CriteoJob, CriteoRanking, criteo_workflow
from emberline.workflows.run import Run
from emberline.workflows.scoring import Scorer
from tests.workflows.test_cli import assert_one_line, run

MADE = SyntheticCriteo(rows=12_000, seed=4, cardinalities=(40,) * 20 + (3000,) * 6)


def test_the_workflow_by_numpy() -> None:
    rows = MADE.chunk(0).head(500)
    workflow = criteo_workflow(min_count=3).fit(rows)
    out = workflow.transform(rows)
    for name in INTEGERS:
        logs = np.log1p(np.maximum(rows[name].fill_null(0).to_numpy(), 0))
        wanted = (logs - logs.mean()) / logs.std(ddof=1)
        assert out[name].dtype == pl.Float32
        # The logarithm is rounded to float32 before it is normalized.
        np.testing.assert_allclose(out[name].to_numpy(), wanted, atol=2e-6)
    counts = rows["C26"].drop_nulls().value_counts()
    kept = counts.filter(pl.col("count") >= 3).sort(["count", "C26"], descending=[True, False])
    ids = {value: 3 + i for i, value in enumerate(kept["C26"])}
    wanted_ids = [1 if v is None else ids.get(v, 2) for v in rows["C26"]]
    assert out["C26"].to_list() == wanted_ids
    assert 2 in wanted_ids
    assert workflow.output_schema.select_by_tag(Tags.TARGET).names == ["label"]
    assert set(workflow.output_schema.select_by_tag(Tags.CATEGORICAL).names) == set(CATEGORIES)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Run the command once."""
    root = tmp_path_factory.mktemp("criteo")
    MADE.write(root / "data", "tsv", files=3)
    done = run(
        "criteo", "--data", root / "data", "--out", root / "run", "--min-count", 3,
        "--epochs", 2, "--json", root / "r.json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("waited for data") == 2  # the loader's line of each epoch
    return root, json.loads((root / "r.json").read_text())


def test_the_model_beats_the_base_rate_and_not_the_optimum(
    job: tuple[Path, dict[str, Any]],
) -> None:
    _, report = job
    assert report["rows"] == {"train": 9600, "valid": 2400}
    metrics = report["metrics"]
    assert set(metrics) == {"model", "linear", "base_rate", "planted"}
    assert metrics["base_rate"]["auc"] == 0.5
    assert 0.6 < metrics["model"]["auc"] < metrics["planted"]["auc"]
    assert metrics["model"]["logloss"] < metrics["base_rate"]["logloss"]
    # 2400 rows: the standard error of an AUC near 0.8 is 0.011.
    assert metrics["planted"]["auc"] == pytest.approx(MADE.expected_auc(), abs=0.04)


def test_validation_is_the_last_rows_and_fitted_on_none_of_them(
    job: tuple[Path, dict[str, Any]],
) -> None:
    root, _ = job
    made = MADE.chunk(0)
    valid = pl.read_parquet(root / "run" / "examples" / "valid.parquet")
    assert valid.equals(made[9600:])
    encoded = pl.read_parquet(root / "run" / "valid" / "*.parquet")
    counts = made[:9600]["C26"].value_counts().filter(pl.col("count") >= 3)
    unknown = ~made[9600:]["C26"].is_in(counts["C26"].drop_nulls().to_list())
    assert (encoded["C26"] == 2).equals(unknown.fill_null(False))


def test_the_same_command_reuses_every_stage_and_scores_rows(
    job: tuple[Path, dict[str, Any]],
) -> None:
    root, report = job
    again = root / "again.json"
    arguments = ["criteo", "--data", root / "data", "--out", root / "run", "--min-count", 3]
    done = run(*arguments, "--epochs", 2, "--json", again)
    assert done.stderr.count("reused") == 6
    assert json.loads(again.read_text()) == report
    rows = pl.read_parquet(root / "run" / "examples" / "valid.parquet").head(5).drop("label")
    scores = Scorer.load(root / "run").score(rows)
    assert np.all((scores > 0) & (scores < 1))
    workflow = Workflow.load(root / "run" / "workflow")
    other = Scorer(workflow, load_model(root / "run" / "model"), label_inputs=["label"])
    np.testing.assert_array_equal(other.score(rows), scores)


def test_the_report_of_a_run(job: tuple[Path, dict[str, Any]]) -> None:
    root, _ = job
    done = run("etl", "report", root / "run", "--out", root / "report.html")
    assert done.returncode == 0, done.stderr
    text = (root / "report.html").read_text()
    assert text.count('<section class="card"') == 40 + 26
    assert "9,600" in text
    assert_one_line(run("etl", "report", root / "nowhere"), "nowhere does not exist")
    done = run("etl", "report", root / "run", "--valid", "gone", "--out", root / "x.html")
    assert_one_line(done, "--valid: gone does not exist")
    assert not (root / "x.html").exists()


def test_split_by_day(tmp_path: Path) -> None:
    MADE.write(tmp_path / "data", "parquet", files=3)
    job = CriteoJob(Run(tmp_path / "run"), CriteoRanking(split="day"), Reporter())
    examples = job.examples(tmp_path / "data")
    assert examples.info["rows"] == {"train": 8000, "valid": 4000}
    file = tmp_path / "data" / "part_0000.parquet"
    with pytest.raises(DataError, match="one file; a split by day needs two"):
        CriteoJob(Run(tmp_path / "one"), CriteoRanking(split="day"), Reporter()).examples(file)
    assert not (tmp_path / "one" / "examples").exists()


@pytest.mark.parametrize(
    ("name", "value"), [("split", "week"), ("valid_share", 1.0), ("min_count", 0), ("epochs", 0)]
)
def test_bad_settings(name: str, value: Any) -> None:
    with pytest.raises(DataError, match=f"{name} is"):
        CriteoRanking(**{name: value})


def test_a_bad_line_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "day_0").write_text("1\t2\n")
    done = run("etl", "criteo", "--data", tmp_path / "day_0", "--out", tmp_path / "run")
    assert_one_line(done, "day_0, line 1: 2 fields, expected 40")
    assert [p.name for p in (tmp_path / "run").iterdir()] == [".lock"]
