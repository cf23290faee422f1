"""Which rows and which workflow a report is about."""

from dataclasses import dataclass
from pathlib import Path

from emberline.errors import DataError

__all__ = ["ReportSources", "report_sources"]


@dataclass(frozen=True, kw_only=True)
class ReportSources:
    """Paths: training rows, validation rows or None, a saved workflow or None."""

    train: Path
    valid: Path | None
    workflow: Path | None


def report_sources(
    data: Path,
    *,
    train: Path | None = None,
    valid: Path | None = None,
    workflow: Path | None = None,
) -> ReportSources:
    """Find what a path means; what is given wins.

    Args:
        data: a run directory: its raw rows (`examples/`) and its workflow; a directory with `train/`
            and `valid/`; or one data set, all of it training.
        train: training rows, looked for below `data` too.
        valid: validation rows, likewise.
        workflow: a saved workflow, likewise.

    Raises:
        DataError: no such path.
    """
    if not data.exists():
        raise DataError(f"{data} does not exist; give a run directory or a data set")
    examples = data / "examples"
    found: dict[str, Path | None] = {"train": data, "valid": None, "workflow": None}
    if (examples / "train.parquet").is_file():
        found = {"train": examples / "train.parquet", "valid": examples / "valid.parquet"}
        found["workflow"] = data / "workflow" if (data / "workflow").is_dir() else None
    elif (data / "train").is_dir():
        found["train"] = data / "train"
        found["valid"] = data / "valid" if (data / "valid").is_dir() else None
    for name, given in (("train", train), ("valid", valid), ("workflow", workflow)):
        if given is None:
            continue
        inside = data / given
        if not given.exists() and not inside.exists():
            raise DataError(f"--{name}: {given} does not exist, neither here nor in {data}")
        found[name] = given if given.exists() else inside
    assert found["train"] is not None, "set in every branch"
    return ReportSources(
        train=found["train"], valid=found.get("valid"), workflow=found.get("workflow")
    )
