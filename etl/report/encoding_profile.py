"""How a workflow's vocabularies fit the rows."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from emberline.etl.dataset import Dataset
from emberline.etl.report.batches import each_batch
from emberline.etl.vocabulary import NULL, OOV
from emberline.etl.workflow import Workflow

__all__ = ["EncodedPart", "EncodingProfile", "encodings"]


@dataclass(frozen=True, kw_only=True)
class EncodedPart:
    """Ids of one column in training or in validation.

    Attributes:
        leaves: all ids.
        null: those of missing values.
        unknown: those out of vocabulary.
    """

    leaves: int
    null: int
    unknown: int

    @property
    def unknown_share(self) -> float:
        """Of all ids, 0 without any."""
        return self.unknown / self.leaves if self.leaves else 0.0


@dataclass(frozen=True, kw_only=True)
class EncodingProfile:
    """A column that Categorify encodes.

    Attributes:
        name: of the workflow's output.
        size: categories in the vocabulary.
        train: training.
        valid: validation, or None.
        coverage: (categories, share of training's ids that are the most frequent so many).
        unused: categories that do not occur in validation; None without it.
    """

    name: str
    size: int
    train: EncodedPart
    valid: EncodedPart | None
    coverage: tuple[tuple[int, float], ...]
    unused: int | None


def encodings(
    workflow: Workflow, train: Dataset, valid: Dataset | None
) -> tuple[EncodingProfile, ...]:
    """Encode both data sets once and count the ids; memory is that of the vocabularies."""
    buckets = {}
    sizes = {}
    for column in workflow.output_schema:
        properties = column.properties
        # Only Categorify has a threshold: hashed columns know no unknown values.
        if "freq_threshold" in properties and isinstance(properties.get("domain"), dict):
            buckets[column.name] = int(properties.get("num_buckets") or 1)
            sizes[column.name] = int(properties["domain"]["max"]) + 1
    if not sizes:
        return ()
    first = _ids(workflow, train, sizes)
    second = None if valid is None else _ids(workflow, valid, sizes)
    out = []
    for name, counts in first.items():
        start = OOV + buckets[name]
        other = None if second is None else second[name]
        out.append(
            EncodingProfile(
                name=name,
                size=sizes[name] - start,
                train=_part(counts, start),
                valid=None if other is None else _part(other, start),
                coverage=_coverage(counts, start),
                unused=None if other is None else int((other[start:] == 0).sum()),
            )
        )
    return tuple(out)


def _ids(
    workflow: Workflow, data: Dataset, sizes: dict[str, int]
) -> dict[str, npt.NDArray[np.int64]]:
    counts = {name: np.zeros(size, np.int64) for name, size in sizes.items()}
    plan = workflow.transform(data).to_lazy().select(list(sizes))

    def see(batch: pl.DataFrame) -> None:
        for name, total in counts.items():
            ids = batch[name]
            if isinstance(ids.dtype, pl.List):
                # Empty lists are left out, the arguments only silence a warning of Polars 1.
                ids = ids.filter(ids.list.len() > 0).explode(empty_as_null=True, keep_nulls=True)
            total += np.bincount(ids.to_numpy(), minlength=total.size)

    each_batch(plan, see, data.files)
    return counts


def _part(counts: npt.NDArray[np.int64], start: int) -> EncodedPart:
    return EncodedPart(
        leaves=int(counts.sum()),
        null=int(counts[NULL]),
        unknown=int(counts[OOV:start].sum()),
    )


def _coverage(counts: npt.NDArray[np.int64], start: int) -> tuple[tuple[int, float], ...]:
    """Give the share of ids that the 1, 2, ... most frequent categories have, at about 40 places."""
    own, total = np.sort(counts[start:])[::-1], int(counts.sum())
    if not own.size or not total:
        return ()
    places = np.unique(np.geomspace(1, own.size, 40).round().astype(np.int64))
    shares = np.cumsum(own)[places - 1] / total
    return tuple(zip(places.tolist(), shares.tolist(), strict=True))
