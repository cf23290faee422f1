"""What a reader of the report should look at first."""

from collections.abc import Iterator

from emberline.etl.report.numbers import number, percent
from emberline.etl.report.profile import ColumnProfile, DataProfile

__all__ = ["findings"]

_MANY_MISSING = 0.5
_MISSING_MOVED = 0.1
_MANY_UNKNOWN = 0.1
_SHARE_OF_ONE = 0.99


def findings(data: DataProfile) -> list[tuple[str, str]]:
    """Give (column, phrase), in the order of the columns; encodings come last."""
    found = [(c.name, text) for c in data.columns for text in _of_column(c)]
    for name in data.only_train:
        found.append((name, "not in validation"))
    for encoding in data.encodings:
        for part, where in ((encoding.train, "training"), (encoding.valid, "validation")):
            if part is not None and part.unknown_share > _MANY_UNKNOWN:
                found.append(
                    (
                        encoding.name,
                        f"{percent(part.unknown_share)} of the ids in {where} are out of vocabulary",
                    )
                )
    return found


def _of_column(column: ColumnProfile) -> Iterator[str]:
    sketch = column.train.sketch
    missing = sketch.missing / sketch.rows
    if sketch.missing == sketch.rows:
        yield "no values in training"
        return
    if missing > _MANY_MISSING:
        yield f"{percent(missing)} of training is missing"
    if column.valid is not None:
        other = column.valid.sketch
        there = other.missing / other.rows if other.rows else 0.0
        if abs(there - missing) > _MISSING_MOVED:
            yield f"{percent(missing)} is missing in training, {percent(there)} in validation"
    if sketch.kind == "other":
        return
    distinct = sketch.values.distinct
    if distinct == 1:
        yield "one value only"
    elif len(column.top) and column.train.top[0] / max(sketch.leaves, 1) > _SHARE_OF_ONE:
        yield f"{percent(column.train.top[0] / sketch.leaves)} of the values are the same"
    elif sketch.values.exact and distinct == sketch.leaves > 1 and column.bins is None:
        yield "every value is different: an identifier says nothing about rows to come"
    if column.drift is not None and column.drift.verdict != "stable":
        yield (
            f"training and validation are {column.drift.verdict} "
            f"(PSI {number(round(column.drift.psi, 3))})"
        )
    unseen = None if column.valid is None else column.valid.unseen
    if column.valid is not None and unseen and column.bins is None:
        share = unseen / column.valid.sketch.leaves
        if share > _MANY_UNKNOWN:
            yield f"{percent(share)} of validation's values do not occur in training"
