"""Raw rows -> saved workflow -> saved model -> probabilities, in any process."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

from emberline.dataloaders import to_batch
from emberline.errors import DataError
from emberline.etl import Workflow
from emberline.models import load_model

__all__ = ["Scorer", "read_rows", "write_rows"]

Choice = TypeVar("Choice")


class Scorer:
    """A workflow and a model that score raw rows.

    Args:
        workflow: fitted; it is changed: inputs that the model does not need are removed.
        model: a Keras model whose inputs are outputs of the workflow.
        label_inputs: raw columns that only the label is made of; rows to score lack them.
    """

    def __init__(
        self, workflow: Workflow, model: Any, *, label_inputs: Sequence[str] = ("rating",)
    ) -> None:
        self.workflow = workflow.remove_inputs(label_inputs)
        self.model = model

    @classmethod
    def load(cls, run: str | os.PathLike[str]) -> "Scorer":
        """Load `workflow/` and `model/` of a run directory."""
        workflow = Workflow.load(Path(run) / "workflow")
        # MovieLens' ratings, Criteo's labels.
        labels = [name for name in ("rating", "label") if name in workflow.input_schema]
        return cls(workflow, load_model(Path(run) / "model"), label_inputs=labels)

    def score(self, rows: pl.DataFrame) -> npt.NDArray[np.float32]:
        """Return the probability of each row, float32 [n].

        Args:
            rows: raw rows; unseen and missing values are fine, missing columns are not.

        Raises:
            DataError: no rows, or a column is missing or of a type that cannot be converted.
        """
        if rows.is_empty():
            raise DataError("no rows to score")
        batch = to_batch(self.workflow.transform(rows))
        scores: npt.NDArray[np.float32] = self.model.predict_on_batch(batch)
        return scores.reshape(-1)


def read_rows(path: str | os.PathLike[str]) -> pl.DataFrame:
    """Read raw rows from `.csv`, `.json` (a list of objects), `.jsonl`/`.ndjson` or `.parquet`.

    Raises:
        DataError: no such file, another suffix, or a file that cannot be parsed.
    """
    file = Path(path)
    readers: Mapping[str, Callable[[Path], pl.DataFrame]] = {
        ".csv": pl.read_csv,
        ".json": pl.read_json,
        ".jsonl": pl.read_ndjson,
        ".ndjson": pl.read_ndjson,
        ".parquet": pl.read_parquet,
    }
    read = _by_suffix(file, readers)
    if not file.is_file():
        raise DataError(f"{file}: no such file")
    try:
        return read(file)
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{file} cannot be read: {error}") from error


def write_rows(rows: pl.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write rows to `.parquet`, `.csv`, `.jsonl` or `.ndjson`; the file appears complete or not at all.

    Raises:
        DataError: another suffix.
    """
    file = Path(path)
    writers: Mapping[str, Callable[[Path], None]] = {
        ".csv": rows.write_csv,
        ".jsonl": rows.write_ndjson,
        ".ndjson": rows.write_ndjson,
        ".parquet": rows.write_parquet,
    }
    write = _by_suffix(file, writers)
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.writing")
    write(temporary)
    temporary.replace(file)


def _by_suffix(file: Path, choices: Mapping[str, Choice]) -> Choice:
    if file.suffix not in choices:
        raise DataError(f"{file}: unknown kind of file; expected one of {', '.join(choices)}")
    return choices[file.suffix]
