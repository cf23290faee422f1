"""The Criteo job: click logs -> workflow -> parquet -> DLRM -> figures beside baselines.

Stages, each a directory of the run (see `emberline.workflows.run`):

    examples/      rows split into train.parquet and valid.parquet, in the order of the files
    workflow/      13 numbers filled, clipped, logged and normalized, 26 columns categorified
    train/ valid/  encoded parquet
    checkpoint/    the model after each finished epoch
    model/         the trained model
    evaluation/    metrics.json: the model, two baselines, for generated data the optimum
"""

import contextlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl

from emberline.artifacts import write_directory
from emberline.errors import ArtifactMissingError, DataError
from emberline.etl import Dataset, Workflow, get_embedding_sizes, ops
from emberline.etl.datasets import SyntheticCriteo, open_criteo, planted_model
from emberline.etl.datasets.criteo import CATEGORIES, INTEGERS, LABEL
from emberline.workflows.baselines import base_rate, linear, quality
from emberline.workflows.progress import Reporter, reported_stage
from emberline.workflows.run import Run, StageResult
from emberline.workflows.tensorflow_start import start_tensorflow

if TYPE_CHECKING:
    import keras

__all__ = ["CriteoJob", "CriteoRanking", "criteo_workflow"]

#: Rows that the linear baseline is fitted on, so that it stays within memory.
_LINEAR_ROWS = 300_000


@dataclass(frozen=True, kw_only=True)
class CriteoRanking:
    """Settings of the job.

    Attributes:
        split: "share": the last `valid_share` of the rows, which are in the order of time, are
            validation; "day": the last file is.
        valid_share: between 0 and 1.
        min_count: a category seen fewer times in training is out of vocabulary.
        dim: of the embeddings.
        seed: of shuffling, initial weights and tables.
        epochs: passes over the training rows. More than one overfits ids that are seen once.
        batch_size: rows per step. In one pass over 48,000 rows 256 gave an AUC of 0.72, 1024 of 0.65.
        learning_rate: of the dense layers (Adam).
        table_learning_rate: of the embedding tables (Adagrad).
        initial_range: a new embedding starts uniform in [-initial_range, initial_range].
    """

    split: Literal["share", "day"] = "share"
    valid_share: float = 0.2
    min_count: int = 15
    dim: int = 16
    seed: int = 0
    epochs: int = 1
    batch_size: int = 256
    learning_rate: float = 1e-3
    table_learning_rate: float = 0.05
    initial_range: float = 0.01

    def __post_init__(self) -> None:
        if self.split not in ("share", "day"):
            raise DataError(f"split is {self.split!r}, expected 'share' or 'day'")
        if not 0 < self.valid_share < 1:
            raise DataError(f"valid_share is {self.valid_share}, expected 0 < valid_share < 1")
        for name in ("min_count", "dim", "epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise DataError(f"{name} is {getattr(self, name)}, expected at least 1")


def criteo_workflow(*, min_count: int = 15) -> Workflow:
    """Encode Criteo's columns as NVTabular's example does.

    I1 .. I13: nulls 0, negative numbers 0, log(1 + x), zero mean and unit variance, float32.
    C1 .. C26: ids of categories that training has at least `min_count` times. The label is tagged.
    """
    numbers = list(INTEGERS) >> ops.FillMissing() >> ops.Clip(min_value=0) >> ops.LogOp()
    normalized = numbers >> ops.Normalize(out_dtype="float32")
    ids = list(CATEGORIES) >> ops.Categorify(freq_threshold=min_count)
    return Workflow(normalized + ids + ([LABEL] >> ops.AddTags(["target"])))


class CriteoJob:
    """The job's stages over one run directory.

    Args:
        run: where the results go.
        config: the settings.
        reporter: where progress goes.
    """

    def __init__(self, run: Run, config: CriteoRanking, reporter: Reporter) -> None:
        self.run = run
        self.config = config
        self.reporter = reporter

    def examples(self, data: Path) -> StageResult:
        """Split the rows.

        Args:
            data: what `open_criteo` opens.
        """
        # Only named here; the stage itself reads every line.
        files = open_criteo(data, check=False).files
        stats = [[str(f.absolute()), f.stat().st_size, f.stat().st_mtime_ns] for f in files]
        split = [self.config.split, self.config.valid_share]
        return self._stage(
            "examples", {"files": stats, "split": split}, lambda path: self._examples(data, path)
        )

    def _examples(self, data: Path, path: Path) -> dict[str, Any]:
        criteo = open_criteo(data)
        if self.config.split == "day":
            if len(criteo.each) < 2:
                raise DataError(f"{data}: one file; a split by day needs two, or split by share")
            parts = {
                "train": pl.concat(criteo.each[:-1], how="vertical_relaxed"),
                "valid": criteo.each[-1],
            }
        else:
            rows = int(criteo.frame.select(pl.len()).collect(engine="streaming").item())
            cut = math.ceil(rows * (1 - self.config.valid_share))
            parts = {"train": criteo.frame.head(cut), "valid": criteo.frame.slice(cut)}
        counts = {}
        with write_directory(path, kind="examples", version=1) as staging:
            for part, frame in parts.items():
                file = staging.path / f"{part}.parquet"
                frame.sink_parquet(file, maintain_order=True, row_group_size=65_536)
                counts[part] = int(pl.scan_parquet(file).select(pl.len()).collect().item())
                if not counts[part]:
                    raise DataError(f"{data}: no rows in the {part} part; there are too few")
        return {"data": str(data), "files": len(criteo.files), "rows": counts}

    def etl(self, examples: StageResult) -> dict[str, StageResult]:
        """Fit the workflow on the training rows only; encode both parts to parquet."""
        inputs: dict[str, Any] = {
            "examples": examples.fingerprint,
            "min_count": self.config.min_count,
        }
        fitted = self._stage("workflow", inputs, lambda path: self._fit(examples.path, path))
        results = {"workflow": fitted}
        for part in ("train", "valid"):
            inputs = {"workflow": fitted.fingerprint, "part": part, "seed": self.config.seed}
            results[part] = self._stage(
                part, inputs, lambda path, part=part: self._encode(examples.path, part, path)
            )
        return results

    def _fit(self, examples: Path, path: Path) -> dict[str, Any]:
        workflow = criteo_workflow(min_count=self.config.min_count)
        workflow.fit(Dataset(examples / "train.parquet"))
        workflow.save(path)
        return {"embedding_sizes": get_embedding_sizes(workflow)}

    def _encode(self, examples: Path, part: str, path: Path) -> dict[str, Any]:
        workflow = Workflow.load(self.run.path / "workflow")
        encoded = workflow.transform(Dataset(examples / f"{part}.parquet"))
        encoded.to_parquet(path, shuffle=self.config.seed if part == "train" else None)
        return {"size_bytes": sum(f.stat().st_size for f in path.glob("*.parquet"))}

    def train(self, etl: Mapping[str, StageResult]) -> StageResult:
        """Train a DLRM on the encoded rows; a checkpoint after each epoch."""
        inputs = {"train": etl["train"].fingerprint, "config": asdict(self.config)}
        return self._stage("model", inputs, lambda path: self._train(etl, path, inputs))

    def _train(
        self, etl: Mapping[str, StageResult], path: Path, inputs: Mapping[str, Any]
    ) -> dict[str, Any]:
        start_tensorflow()
        from emberline.workflows.recipes.movielens_training import train_model

        return train_model(
            config=self.config,
            build=self._new_model,
            dataset=etl["train"].path,
            checkpoint=self.run.path / "checkpoint",
            path=path,
            inputs=inputs,
            reporter=self.reporter,
        )

    def _new_model(self) -> "keras.Model":
        import keras

        from emberline.models import Adagrad, FeatureConfig, TableConfig, Uniform, dlrm_model

        config = self.config
        features = [
            FeatureConfig(
                name=name,
                table=TableConfig(
                    name=name,
                    dim=config.dim,
                    initializer=Uniform(low=-config.initial_range, high=config.initial_range),
                    optimizer=Adagrad(learning_rate=config.table_learning_rate),
                    seed=config.seed,
                ),
            )
            for name in CATEGORIES
        ]
        model = dlrm_model(features, INTEGERS)
        model.compile(keras.optimizers.Adam(config.learning_rate), "binary_crossentropy")
        return model

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

        # Shuffled on disk, so the first rows are any rows.
        train = Dataset(etl["train"].path).to_lazy().head(_LINEAR_ROWS).collect()
        valid = Dataset(etl["valid"].path).to_polars()
        labels = valid[LABEL].cast(pl.Int8).to_numpy()
        sizes = {n: size for n, (size, _) in etl["workflow"].info["embedding_sizes"].items()}
        probabilities = linear(
            train,
            valid,
            one_hot=CATEGORIES,
            multi_hot=(),
            numbers=INTEGERS,
            sizes=sizes,
            inverse_penalty=0.1,  # with C = 1 the rare categories are learned by heart
        )
        metrics = {
            "model": quality(labels, predict(model.path, etl["valid"].path)),
            "linear": quality(labels, probabilities),
            "base_rate": quality(labels, base_rate(train, valid)),
        }
        with contextlib.suppress(ArtifactMissingError):  # real data have no planted model
            planted = planted_model(examples.info["data"])
            assert isinstance(planted, SyntheticCriteo), "open_criteo read other files"
            logits = planted.logit(pl.read_parquet(examples.path / "valid.parquet"))
            metrics["planted"] = quality(labels, 1 / (1 + np.exp(-logits)))
        with write_directory(path, kind="evaluation", version=1) as staging:
            (staging.path / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
        return {"metrics": metrics}

    def _stage(self, name: str, inputs: Mapping[str, Any], work: Any) -> StageResult:
        return reported_stage(self.run, self.reporter, name, inputs, work)
