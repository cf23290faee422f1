"""The command line: version, help, one-line errors, small commands."""

import contextlib
import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from unittest import mock

import polars as pl
import pytest

import emberline
from emberline.workflows.cli import main

EMBERLINE = [sys.executable, "-m", "emberline.workflows.cli"]

MOVIES = "movieId,title,genres\n1,One (1990),Drama\n2,Two (1991),Comedy|Drama\n"


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command in this process: a new one would import TensorFlow each time."""
    out, err = io.StringIO(), io.StringIO()
    command = ["emberline", *map(str, arguments)]
    with (
        mock.patch.object(sys, "argv", command),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as ended:
            code = ended.code
    assert isinstance(code, int)
    return subprocess.CompletedProcess(command, code, out.getvalue(), err.getvalue())


def run_alone(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, as a user does."""
    command = [*EMBERLINE, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def folder(path: Path, ratings: str, movies: str = MOVIES) -> Path:
    path.mkdir()
    (path / "ratings.csv").write_text(ratings)
    (path / "movies.csv").write_text(movies)
    return path


def assert_one_line(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if line.startswith("emberline: error: ")]
    assert len(lines) == 1
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in lines[0]


def test_version_and_help() -> None:
    assert run_alone("--version").stdout == f"emberline {emberline.__version__}\n"
    shown = run("--help").stdout
    for command in ("demo", "data", "etl", "train", "evaluate", "predict"):
        assert command in shown


def test_usage_errors_have_code_2() -> None:
    done = run("demo", "--epoch", "3")
    assert done.returncode == 2
    assert "No such option: --epoch" in done.stderr
    assert "Traceback" not in done.stderr
    assert run("demmo").returncode == 2


def test_missing_data_is_one_line_and_debug_shows_the_traceback(tmp_path: Path) -> None:
    arguments = ["demo", "--data", tmp_path / "nowhere", "--out", tmp_path / "run"]
    assert_one_line(run_alone(*arguments), "nowhere")
    for place in (0, 3):
        debug = run_alone(*arguments[:place], "--debug", *arguments[place:])
        assert debug.returncode != 0
        assert "Traceback" in debug.stderr
        assert "nowhere" in debug.stderr


@pytest.mark.parametrize(
    ("ratings", "movies", "words"),
    [
        ("userId,movieId,stars,timestamp\n1,1,4,9\n", MOVIES, ("ratings.csv", "'rating'")),
        ("userId,movieId,rating,timestamp\n1,1,good,9\n", MOVIES, ("ratings.csv", "rating")),
        ("", MOVIES, ("ratings.csv", "empty")),
        ("userId,movieId,rating,timestamp\n", MOVIES, ("ratings.csv", "no rows")),
        ("userId,movieId,rating,timestamp\n1,1,4,9\n", MOVIES, ("valid", "too few ratings")),
        (
            "userId,movieId,rating,timestamp\n1,1,4,9\n",
            "movieId,title\n1,One\n",
            ("movies.csv", "'genres'"),
        ),
    ],
    ids=["missing column", "wrong dtype", "empty file", "no rows", "nothing to validate", "genres"],
)
def test_bad_raw_files_are_named(
    tmp_path: Path, ratings: str, movies: str, words: tuple[str, ...]
) -> None:
    data = folder(tmp_path / "data", ratings, movies)
    assert_one_line(run("demo", "--data", data, "--out", tmp_path / "run"), *words)
    left = [p.name for p in (tmp_path / "run").iterdir() if p.name != ".lock"]
    assert left == []


def test_a_foreign_output_folder_is_left_alone(tmp_path: Path) -> None:
    data = folder(tmp_path / "data", "userId,movieId,rating,timestamp\n" + "1,1,4,9\n" * 9)
    (tmp_path / "run" / "examples").mkdir(parents=True)
    (tmp_path / "run" / "examples" / "mine.txt").write_text("mine")
    done = run("etl", "movielens", "--data", data, "--out", tmp_path / "run")
    assert_one_line(done, "examples", "not a directory that emberline wrote")
    assert (tmp_path / "run" / "examples" / "mine.txt").read_text() == "mine"


def test_steps_out_of_order_say_what_is_missing(tmp_path: Path) -> None:
    assert_one_line(run("train", tmp_path), "no finished stage 'workflow'")
    assert_one_line(run("evaluate", tmp_path), "no finished stage 'examples'")
    rows = tmp_path / "rows.csv"
    rows.write_text("userId,movieId,genres\n1,2,Drama\n")
    assert_one_line(run("predict", tmp_path, rows), "no workflow at")
    assert_one_line(run("predict", tmp_path, tmp_path / "none.csv"), "none.csv: no such file")
    assert_one_line(run("predict", tmp_path, tmp_path / "rows.xls"), "expected one of .csv")


def test_generated_data_can_be_described_and_encoded(tmp_path: Path) -> None:
    assert run("data", "movielens", tmp_path / "ml", "--rows", 3000).returncode == 0
    shown = run("data", "info", tmp_path / "ml").stdout
    assert "3,000 ratings" in shown
    assert run("data", "criteo", tmp_path / "criteo", "--rows", 500).returncode == 0
    parts = pl.read_parquet(tmp_path / "criteo" / "*.parquet")
    assert parts.shape == (500, 40)
    done = run("etl", "movielens", "--data", tmp_path / "ml", "--out", tmp_path / "run")
    assert "userId: cardinality" in done.stdout
    done = run(
        "etl", "transform", tmp_path / "run" / "workflow",
        tmp_path / "run" / "examples" / "valid.parquet", tmp_path / "again",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert pl.read_parquet(tmp_path / "again" / "*.parquet").equals(
        pl.read_parquet(tmp_path / "run" / "valid" / "*.parquet")
    )


def test_a_terminal_gets_a_progress_bar_and_a_pipe_gets_lines(tmp_path: Path) -> None:
    command = [*EMBERLINE, "data", "movielens", str(tmp_path / "ml"), "--rows", "300000"]
    main, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "xterm"}  # a dumb terminal gets lines too
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=terminal, env=environment
    ) as child:
        os.close(terminal)
        shown = b""
        while True:
            try:
                part = os.read(main, 4096)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            shown += part
    os.close(main)
    assert child.returncode == 0
    assert b"generate" in shown
    assert "━".encode() in shown
    assert "━" not in run("data", "movielens", tmp_path / "ml", "--rows", 3000).stderr


def test_predict_prints_json_lines(tmp_path: Path) -> None:
    data = tmp_path / "ml"
    run("data", "movielens", data, "--rows", 2000)
    run("etl", "movielens", "--data", data, "--out", tmp_path / "run")
    assert run("train", tmp_path / "run", "--epochs", 1).returncode == 0
    rows = tmp_path / "rows.csv"
    rows.write_text("userId,movieId,genres\n1,2,Drama\n-5,,\n")
    done = run("predict", tmp_path / "run", rows)
    scored = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["userId"] for row in scored] == [1, -5]
    assert all(0 < row["score"] < 1 for row in scored)
    rows.write_text("userID,movieId,genres\n1,2,Drama\n")
    assert_one_line(run("predict", tmp_path / "run", rows), "'userId'", "did you mean 'userID'")
    rows.write_text("userId,movieId,genres\n")
    assert_one_line(run("predict", tmp_path / "run", rows), "no rows to score")


def test_data_bench(tmp_path: Path) -> None:
    pl.DataFrame({"id": range(1000), "label": [0, 1] * 500}).write_parquet(
        tmp_path / "rows.parquet", row_group_size=100
    )
    figures = tmp_path / "figures.json"
    done = run(
        "data", "bench", tmp_path, "--batch-size", 64, "--shuffle", "--epochs", 2, "--threads", 1,
        "--json", figures,
    )  # fmt: skip
    assert done.returncode == 0
    for word in ("epoch 1", "million rows/s", "consumer waited", "readers waited"):
        assert word in done.stdout
    first, second = json.loads(figures.read_text())
    for epoch in (first, second):
        assert (epoch["rows"], epoch["batches"], epoch["size_bytes"]) == (1000, 16, 16_000)
        assert epoch["threads"] == 1
        assert 0 < epoch["waited_s"] <= epoch["elapsed_s"]
        assert epoch["first_batch_s"] > 0
        assert epoch["rows_per_s"] == pytest.approx(1000 / epoch["elapsed_s"])
    assert_one_line(run("data", "bench", tmp_path / "absent"), "no such file or directory")
