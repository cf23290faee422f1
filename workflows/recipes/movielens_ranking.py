"""The main job: raw MovieLens -> workflow -> parquet -> trained model -> raw rows scored again.

Stages, each a directory of the run (see `emberline.workflows.run`):

    examples/      ratings joined with genres, split by time: train.parquet, valid.parquet
    workflow/      Categorify on users, movies and genres, fitted on train; the label
    train/ valid/  encoded parquet
    checkpoint/    the model after each finished epoch
    model/         the trained model
    evaluation/    metrics.json: the model, three baselines, for generated data the optimum
    rows/          raw rows, and their scores by this process and by a new one
"""

import contextlib
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from emberline.artifacts import write_directory
from emberline.errors import ArtifactMissingError, DataError, EmberlineError
from emberline.etl import Dataset, Workflow, get_embedding_sizes, ops
from emberline.etl.datasets import MovieLens, SyntheticMovieLens, open_movielens, planted_model
from emberline.workflows.baselines import base_rate, item_mean, linear, quality
from emberline.workflows.progress import Reporter, reported_stage
from emberline.workflows.run import Run, StageResult
from emberline.workflows.tensorflow_start import start_tensorflow

__all__ = ["MovieLensRanking", "RankingJob", "feature_workflow"]

LABEL = "label"
UNSEEN_ID = -1


@dataclass(frozen=True, kw_only=True)
class MovieLensRanking:
    """Settings of the job.

    Attributes:
        split: "user": the last 20 % of each user's ratings by time are validation; "global": the
            last 20 % of all ratings.
        seed: of shuffling, initial weights and tables.
        epochs: passes over the training rows.
        batch_size: rows per step.
        learning_rate: of the dense layers (Adam).
        table_learning_rate: of the embedding tables (Adagrad).
        initial_range: a new embedding starts uniform in [-initial_range, initial_range]. Small is
            better: rows seen once then stay near zero instead of adding noise.
        max_dim: ceiling on an embedding's dim; below it `get_embedding_sizes` decides.
        hidden: units of the Dense layers.
        dropout: after each Dense layer, 0..1.
    """

    split: Literal["user", "global"] = "user"
    seed: int = 0
    epochs: int = 3
    batch_size: int = 512
    learning_rate: float = 1e-3
    table_learning_rate: float = 0.1
    initial_range: float = 0.01
    max_dim: int = 16
    hidden: tuple[int, ...] = (128, 128, 128)
    dropout: float = 0.2

    def __post_init__(self) -> None:
        if self.split not in ("user", "global"):
            raise DataError(f"split is {self.split!r}, expected 'user' or 'global'")
        for name in ("epochs", "batch_size", "max_dim"):
            if getattr(self, name) < 1:
                raise DataError(f"{name} is {getattr(self, name)}, expected at least 1")


def feature_workflow() -> Workflow:
    """Encode users, movies and the '|'-separated genres; label = rating >= 4."""
    ids = ["userId", "movieId"] >> ops.Categorify()
    genres = ["genres"] >> ops.SplitString("|") >> ops.Categorify()
    label = ["rating"] >> ops.Sql("rating >= 4", name=LABEL) >> ops.AddTags(["target"])
    return Workflow(ids + genres + label)


class RankingJob:
    """The job's stages over one run directory.

    Args:
        run: where the results go.
        config: the settings.
        reporter: where progress goes.
    """

    def __init__(self, run: Run, config: MovieLensRanking, reporter: Reporter) -> None:
        self.run = run
        self.config = config
        self.reporter = reporter

    # ---- raw -> parquet ----

    def examples(self, data: Path) -> StageResult:
        """Join ratings with genres and split them by time."""
        inputs = {"data": _file_state(data), "split": self.config.split}
        return self._stage("examples", inputs, lambda path: self._examples(data, path))

    def _examples(self, data: Path, path: Path) -> dict[str, Any]:
        movielens = open_movielens(data)
        train, valid = split_by_time(joined_with_genres(movielens), self.config.split)
        for part, frame in (("train", train), ("valid", valid)):
            if frame.is_empty():
                raise DataError(f"{data}: no rows in the {part} part; there are too few ratings")
        with write_directory(path, kind="examples", version=1) as staging:
            train.write_parquet(staging.path / "train.parquet")
            valid.write_parquet(staging.path / "valid.parquet")
        return {
            "source": "generated" if (data / "planted.json").is_file() else movielens.name,
            "data": str(data),
            "rows": {
                "ratings": train.height + valid.height,
                "train": train.height,
                "valid": valid.height,
            },
        }

    def etl(self, examples: StageResult) -> dict[str, StageResult]:
        """Fit the workflow on the training rows only; encode both parts to parquet."""
        inputs: dict[str, Any] = {"examples": examples.fingerprint}
        fitted = self._stage("workflow", inputs, lambda path: self._fit(examples.path, path))
        results = {"workflow": fitted}
        for part in ("train", "valid"):
            inputs = {"workflow": fitted.fingerprint, "part": part, "seed": self.config.seed}
            results[part] = self._stage(
                part, inputs, lambda path, part=part: self._encode(examples.path, part, path)
            )
        return results

    def _fit(self, examples: Path, path: Path) -> dict[str, Any]:
        workflow = feature_workflow()
        workflow.fit(Dataset(examples / "train.parquet"))
        workflow.save(path)
        return {"embedding_sizes": embedding_sizes(workflow)}

    def _encode(self, examples: Path, part: str, path: Path) -> dict[str, Any]:
        workflow = Workflow.load(self.run.path / "workflow")
        encoded = workflow.transform(Dataset(examples / f"{part}.parquet"))
        encoded.to_parquet(path, shuffle=self.config.seed if part == "train" else None)
        return {"size_bytes": sum(f.stat().st_size for f in path.glob("*.parquet"))}

    # ---- parquet -> model ----

    def train(self, etl: Mapping[str, StageResult]) -> StageResult:
        """Train on the encoded rows; a checkpoint after each epoch."""
        inputs = {"train": etl["train"].fingerprint, "config": asdict(self.config)}
        return self._stage("model", inputs, lambda path: self._train(etl, path, inputs))

    def _train(
        self, etl: Mapping[str, StageResult], path: Path, inputs: Mapping[str, Any]
    ) -> dict[str, Any]:
        start_tensorflow()
        from emberline.workflows.recipes.movielens_training import new_model, train_model

        dims = {
            name: min(dim, self.config.max_dim)
            for name, (_, dim) in etl["workflow"].info["embedding_sizes"].items()
        }
        return train_model(
            config=self.config,
            build=lambda: new_model(self.config, dims),
            dataset=etl["train"].path,
            checkpoint=self.run.path / "checkpoint",
            path=path,
            inputs=inputs,
            reporter=self.reporter,
        )

    # ---- model -> figures ----

    def evaluate(
        self, examples: StageResult, etl: Mapping[str, StageResult], model: StageResult
    ) -> StageResult:
        """Judge the model and the baselines on the validation rows."""
        inputs = {"model": model.fingerprint, "valid": etl["valid"].fingerprint}
        return self._stage(
            "evaluation", inputs, lambda path: self._evaluate(examples, etl, model, path)
        )

    def _evaluate(
        self,
        examples: StageResult,
        etl: Mapping[str, StageResult],
        model: StageResult,
        path: Path,
    ) -> dict[str, Any]:
        start_tensorflow()
        from emberline.workflows.recipes.movielens_training import predict

        train = Dataset(etl["train"].path).to_polars()
        valid = Dataset(etl["valid"].path).to_polars()
        labels = valid[LABEL].cast(pl.Int8).to_numpy()
        sizes = {n: size for n, (size, _) in etl["workflow"].info["embedding_sizes"].items()}
        metrics = {
            "model": quality(labels, predict(model.path, etl["valid"].path)),
            "base_rate": quality(labels, base_rate(train, valid)),
            "item_mean": quality(labels, item_mean(train, valid)),
            "linear": quality(labels, linear(train, valid, sizes=sizes)),
        }
        with contextlib.suppress(ArtifactMissingError):  # real data have no planted model
            planted = planted_model(examples.info["data"])
            assert isinstance(planted, SyntheticMovieLens), "open_movielens read other files"
            raw = pl.read_parquet(examples.path / "valid.parquet")
            logits = planted.logit(raw["userId"].to_numpy(), raw["movieId"].to_numpy())
            metrics["planted"] = quality(labels, 1 / (1 + np.exp(-logits)))
        with write_directory(path, kind="evaluation", version=1) as staging:
            (staging.path / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
        return {"metrics": metrics}

    # ---- raw rows, scored by a new process ----

    def score_again(self, examples: StageResult, model: StageResult) -> StageResult:
        """Score raw rows here and in a new process; the scores must be the same bits."""
        inputs = {"model": model.fingerprint, "examples": examples.fingerprint}
        return self._stage("rows", inputs, lambda path: self._score_again(examples, path))

    def _score_again(self, examples: StageResult, path: Path) -> dict[str, Any]:
        start_tensorflow()
        from emberline.workflows.scoring import Scorer, read_rows

        rows = raw_rows(examples.path / "valid.parquet")
        with write_directory(path, kind="rows", version=1) as staging:
            file = staging.path / "rows.json"
            rows.write_json(file)
            own = Scorer.load(self.run.path).score(read_rows(file))
            other = staging.path / "scores_new_process.parquet"
            arguments = ["predict", str(self.run.path), str(file), "--out", str(other)]
            child = subprocess.run(
                [sys.executable, "-m", "emberline.workflows.cli", *arguments],
                capture_output=True,
                text=True,
                check=False,
            )
            if child.returncode:
                raise EmberlineError(
                    f"the scoring process ended with code {child.returncode}: {child.stderr.strip()}"
                )
            again = pl.read_parquet(other)["score"].to_numpy()
            rows.with_columns(score=own).write_parquet(staging.path / "scores.parquet")
        return {
            "identical": bool(np.array_equal(own.view(np.int32), again.view(np.int32))),
            "scored": [
                {**row, "score": float(score)}
                for row, score in zip(rows.to_dicts(), own, strict=True)
            ],
        }

    def _stage(self, name: str, inputs: Mapping[str, Any], work: Any) -> StageResult:
        return reported_stage(self.run, self.reporter, name, inputs, work)


def joined_with_genres(movielens: MovieLens) -> pl.LazyFrame:
    """Return userId, movieId, rating, timestamp, genres, by the workflow engine's own join."""
    movies = movielens.movies.select("movieId", "genres").collect()
    columns = ["userId", "movieId", "rating", "timestamp"]
    joined = columns >> ops.JoinExternal(movies, on=["movieId"])
    frame: pl.LazyFrame = Workflow(joined).fit_transform(movielens.ratings)
    return frame


def split_by_time(
    examples: pl.LazyFrame, split: Literal["user", "global"]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Cut off the last 20 % by time; equal times are ordered by movieId, then userId.

    Args:
        examples: rows with userId, movieId and timestamp.
        split: "user" cuts each user's rows, "global" all rows at one moment.

    Returns:
        (train, valid); of n rows the first ceil(0.8 n) are train.
    """
    order = ["timestamp", "movieId", "userId"]
    if split == "global":
        rows = examples.sort(order).collect()
        cut = -(-rows.height * 4 // 5)
        return rows[:cut], rows[cut:]
    rows = examples.sort(["userId", *order[:2]]).collect()
    position = pl.int_range(pl.len()).over("userId")
    late = rows.select((position * 5 >= pl.len().over("userId") * 4).alias("late"))["late"]
    return rows.filter(~late), rows.filter(late)


def embedding_sizes(workflow: Workflow) -> dict[str, tuple[int, int]]:
    """Return {column: (cardinality, dim)} of scalar and multi-hot columns alike."""
    sizes = get_embedding_sizes(workflow)
    if isinstance(sizes, tuple):
        return {**sizes[0], **sizes[1]}
    return sizes


def raw_rows(valid: Path, count: int = 5) -> pl.DataFrame:
    """Return raw rows to score: known ones, an unseen user, an unseen movie, a missing value."""
    known = pl.scan_parquet(valid).select("userId", "movieId", "genres").head(count).collect()
    first = known.row(0, named=True)
    odd = [
        {**first, "userId": UNSEEN_ID},
        {**first, "movieId": UNSEEN_ID, "genres": "Comedy|Never Seen"},
        {**first, "genres": None},
        {**first, "userId": None},
    ]
    return pl.concat([known, pl.DataFrame(odd, schema=known.schema)])


def _file_state(data: Path) -> list[list[Any]]:
    """Name, size and time of each file of the data: enough to notice other data."""
    files = sorted(data.rglob("*")) if data.is_dir() else [data]
    return [
        [str(f.relative_to(data.parent)), f.stat().st_size, f.stat().st_mtime_ns]
        for f in files
        if f.is_file()
    ]
