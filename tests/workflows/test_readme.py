"""What the README shows works as it stands there."""

import re
import runpy
from pathlib import Path

import polars as pl
import pytest

from emberline.etl.datasets import SyntheticMovieLens, open_movielens

README = Path(__file__).parents[2] / "README.md"


def test_the_python_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    SyntheticMovieLens(rows=3000, seed=0).write(tmp_path / "raw", format="csv")
    movielens = open_movielens(tmp_path / "raw")
    joined = movielens.ratings.join(movielens.movies, on="movieId", how="left")
    joined.collect().write_parquet(tmp_path / "train.parquet")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "example.py").write_text(code)
    names = runpy.run_path(str(tmp_path / "example.py"))
    assert "userId" in capsys.readouterr().out
    encoded = pl.read_parquet(tmp_path / "encoded" / "*.parquet")
    assert encoded.height == 3000
    model = names["model"]
    assert model.get_layer("embeddings").tables["userId"].size == encoded["userId"].n_unique()


def test_every_command_it_names_exists() -> None:
    from typer.main import get_command

    from emberline.workflows.cli import app

    root = get_command(app)
    shell = "\n".join(re.findall(r"```sh\n(.*?)```", README.read_text(), re.DOTALL))
    commands = re.findall(r"^emberline (?!--)([a-z]+)(?: ([a-z]+))?", shell, re.MULTILINE)
    assert len(commands) >= 5
    for first, second in commands:
        command = root.commands[first]  # type: ignore[attr-defined]
        if hasattr(command, "commands"):
            assert second in command.commands
