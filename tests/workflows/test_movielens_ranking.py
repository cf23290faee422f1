"""The main job: split, stages, figures, killing, real data."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from emberline.etl import Workflow
from emberline.etl.datasets import SyntheticMovieLens
from emberline.models import load_model
from emberline.workflows.recipes.movielens_ranking import split_by_time
from emberline.workflows.scoring import Scorer

REAL = Path(__file__).parents[2] / "../shared/data/ml-latest-small"

EMBERLINE = [sys.executable, "-m", "emberline.workflows.cli"]


def emberline(*arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*EMBERLINE, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    if check and done.returncode:
        raise AssertionError(done.stderr)
    return done


def ratings(rows: list[tuple[int, int, int]]) -> pl.LazyFrame:
    return pl.LazyFrame(rows, schema=["userId", "movieId", "timestamp"], orient="row")


def test_the_last_fifth_of_each_users_rows_is_validation() -> None:
    rows = [(1, m, 100 - m) for m in range(10)] + [(2, m, 5) for m in range(4)] + [(3, 9, 1)]
    train, valid = split_by_time(ratings(rows), "user")
    assert sorted(valid.rows()) == [(1, 0, 100), (1, 1, 99)]  # of 4 rows ceil(3.2) = 4 are train
    assert sorted([*train.rows(), *valid.rows()]) == sorted(rows)


def test_the_global_split_cuts_at_one_moment() -> None:
    rows = [(u, m, u + 10 * m) for u in range(5) for m in range(5)]
    train, valid = split_by_time(ratings(rows), "global")
    assert (train.height, valid.height) == (20, 5)
    assert train["timestamp"].max() < valid["timestamp"].min()  # type: ignore[operator]


def test_equal_times_are_split_the_same_in_any_row_order() -> None:
    rows = [(1, m, 7) for m in range(20)]
    once = split_by_time(ratings(rows), "user")[1]
    again = split_by_time(ratings(rows[::-1]), "user")[1]
    assert sorted(once.rows()) == sorted(again.rows()) == [(1, m, 7) for m in range(16, 20)]


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Run the whole job on a small generated set."""
    root = tmp_path_factory.mktemp("job")
    SyntheticMovieLens(rows=30_000, movies=2500, seed=1).write(root / "data", format="csv")
    emberline("demo", "--data", root / "data", "--out", root / "run", "--json", root / "r.json")
    return root / "run", json.loads((root / "r.json").read_text())


def test_the_job_reports_everything(job: tuple[Path, dict[str, Any]]) -> None:
    run, report = job
    assert report["reloaded_identical"] is True
    assert report["rows"]["ratings"] == 30_000 == report["rows"]["train"] + report["rows"]["valid"]
    assert set(report["metrics"]) == {"model", "base_rate", "item_mean", "linear", "planted"}
    metrics = report["metrics"]
    assert metrics["base_rate"]["auc"] == 0.5
    assert metrics["item_mean"]["auc"] < metrics["model"]["auc"] < metrics["planted"]["auc"]
    assert metrics["model"]["logloss"] < metrics["base_rate"]["logloss"]
    assert (
        set(report["embedding_sizes"]) == {"userId", "movieId", "genres"} == set(report["tables"])
    )
    for stage in report["stages"].values():
        assert Path(stage["path"]).is_dir()
        assert stage["seconds"] > 0
    assert (run / "evaluation" / "metrics.json").is_file()


def test_the_workflow_was_fitted_on_the_training_rows_only(
    job: tuple[Path, dict[str, Any]],
) -> None:
    run, report = job
    train = pl.read_parquet(run / "examples" / "train.parquet")
    assert report["embedding_sizes"]["movieId"][0] == train["movieId"].n_unique() + 3
    encoded = pl.read_parquet(run / "valid" / "part_0.parquet")
    raw = pl.read_parquet(run / "examples" / "valid.parquet")
    unseen = ~raw["movieId"].is_in(train["movieId"].unique().to_list())
    assert unseen.any()
    assert ((encoded["movieId"] == 2) == unseen).all()
    assert (encoded["label"] == (raw["rating"] >= 4)).all()


def test_raw_rows_are_scored_and_odd_ones_too(job: tuple[Path, dict[str, Any]]) -> None:
    _, report = job
    rows = report["scored"]
    assert [row["userId"] for row in rows].count(-1) == 1
    assert [row["movieId"] for row in rows].count(-1) == 1
    assert any(row["genres"] is None for row in rows)
    assert any(row["userId"] is None for row in rows)
    assert all(0 < row["score"] < 1 for row in rows)
    assert len({row["score"] for row in rows}) > 4


def test_the_same_command_again_reuses_every_stage(job: tuple[Path, dict[str, Any]]) -> None:
    run, report = job
    out = run.parent / "again.json"
    emberline("demo", "--data", run.parent / "data", "--out", run, "--json", out)
    again = json.loads(out.read_text())
    assert all(stage["reused"] for stage in again["stages"].values())
    assert again["metrics"] == report["metrics"]


def test_the_single_commands_give_the_same_model(job: tuple[Path, dict[str, Any]]) -> None:
    run, report = job
    other = run.parent / "steps"
    emberline("etl", "movielens", "--data", run.parent / "data", "--out", other)
    emberline("train", other)
    emberline("evaluate", other, "--json", run.parent / "metrics.json")
    metrics = json.loads((run.parent / "metrics.json").read_text())
    assert metrics == report["metrics"]
    rows = run / "rows" / "rows.json"
    emberline("predict", other, rows, "--out", run.parent / "scores.parquet")
    scores = pl.read_parquet(run.parent / "scores.parquet")
    assert_frame_equal(scores, pl.read_parquet(run / "rows" / "scores.parquet"), check_exact=True)


def test_one_row_scores_like_many(job: tuple[Path, dict[str, Any]]) -> None:
    run, _ = job
    scorer = Scorer(Workflow.load(run / "workflow"), load_model(run / "model"))
    rows = pl.read_parquet(run / "examples" / "valid.parquet").head(40)
    rows = rows.select("userId", "movieId", "genres")
    together = scorer.score(rows)
    alone = np.array([scorer.score(rows[i : i + 1])[0] for i in range(rows.height)])
    # The dense layers' sums are taken in another order for another batch size.
    np.testing.assert_allclose(alone, together, rtol=2e-6)


def wait_for(condition: Any, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.slow
def test_killed_at_ten_moments_the_same_command_ends_with_the_same_figures(
    job: tuple[Path, dict[str, Any]],
) -> None:
    run, report = job
    other, out = run.parent / "killed", run.parent / "killed.json"
    command = [*EMBERLINE, "demo", "--data", run.parent / "data", "--out", other, "--json", out]
    begin = time.monotonic()
    emberline("demo", "--data", run.parent / "data", "--out", run.parent / "timed")
    whole_s = time.monotonic() - begin
    for moment in range(10):
        with subprocess.Popen(
            list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as child:
            time.sleep(whole_s * (0.15 + 0.08 * moment) * 0.5)
            child.send_signal(signal.SIGKILL)
    emberline(*command[len(EMBERLINE) :])
    again = json.loads(out.read_text())
    assert again["metrics"] == report["metrics"]
    assert again["epochs"] == report["epochs"]
    assert again["reloaded_identical"]
    hidden = [p.name for p in other.iterdir() if ".writing-" in p.name or ".previous" in p.name]
    assert hidden == []


@pytest.mark.slow
def test_killed_after_an_epoch_training_continues_with_the_next(
    job: tuple[Path, dict[str, Any]],
) -> None:
    run, report = job
    other = run.parent / "epochs"
    emberline("etl", "movielens", "--data", run.parent / "data", "--out", other)
    with subprocess.Popen([*EMBERLINE, "train", str(other)], stderr=subprocess.DEVNULL) as child:
        wait_for(lambda: (other / "checkpoint" / "_manifest.json").exists())
        os.kill(child.pid, signal.SIGKILL)
    done = emberline("train", other)
    assert "epoch 1/" not in done.stderr
    record = json.loads((other / "stages" / "model.json").read_text())
    assert record["info"]["epochs"] == report["epochs"]


@pytest.mark.skipif(not REAL.is_dir(), reason=f"the real data is not here: {REAL}")
def test_real_ratings_beat_the_baselines(tmp_path: Path) -> None:
    emberline("demo", "--data", REAL, "--out", tmp_path / "run", "--json", tmp_path / "r.json")
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["rows"]["ratings"] == 100_836
    metrics = report["metrics"]
    # Measured with independent code: item mean 0.669, linear 0.769 / 0.571.
    assert metrics["item_mean"]["auc"] == pytest.approx(0.669, abs=0.005)
    assert metrics["linear"]["auc"] == pytest.approx(0.770, abs=0.003)
    assert metrics["model"]["auc"] >= metrics["linear"]["auc"]
    assert metrics["model"]["auc"] > metrics["item_mean"]["auc"] + 0.08
    assert metrics["model"]["logloss"] < metrics["item_mean"]["logloss"] - 0.05
    assert report["reloaded_identical"]
