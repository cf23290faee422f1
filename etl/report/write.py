"""The report as a file."""

import os
from pathlib import Path
from typing import Any

from emberline.etl.report.page import render
from emberline.etl.report.profile import profile
from emberline.etl.workflow import Workflow

__all__ = ["write_report"]


def write_report(
    path: str | os.PathLike[str],
    train: Any,
    valid: Any | None = None,
    *,
    workflow: Workflow | None = None,
    title: str = "Data report",
) -> Path:
    """Write the page; it appears complete or not at all.

    Args:
        path: the `.html` file; it is replaced.
        train: see `profile`.
        valid: see `profile`.
        workflow: see `profile`.
        title: the heading.

    Raises:
        DataError: see `profile`.
        OSError: the file cannot be written.
    """
    target = Path(path)
    text = render(profile(train, valid, workflow=workflow), title=title)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.writing")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return target
