"""What is shown at a terminal, and only there."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import emberline.etl as nvt
from emberline.etl import ops

SCRIPT = """
import sys
import emberline.etl as nvt
from emberline.etl import ops, workflow

workflow.SMALL_ROWS, workflow.PART_ROWS = 0, 1000
found = nvt.Workflow(["a"] >> ops.Categorify()).fit(sys.argv[1])
found.transform(nvt.Dataset(sys.argv[1])).to_parquet(sys.argv[2])
"""


def test_nothing_is_shown_elsewhere(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    workflow = nvt.Workflow(["a"] >> ops.Categorify())
    data = nvt.Dataset(pl.DataFrame({"a": [1, 2]}))
    workflow.fit_transform(data).to_parquet(tmp_path / "out")
    assert capfd.readouterr() == ("", "")


def test_a_terminal_shows_fit_and_write(tmp_path: Path) -> None:
    pl.DataFrame({"a": range(5000)}).write_parquet(tmp_path / "in.parquet")
    controller, terminal = pty.openpty()
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "in.parquet"), str(tmp_path / "out")]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=terminal,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "200"},
    ) as process:
        os.close(terminal)
        shown = b""
        # A pseudo-terminal whose other end has closed gives an error, not an empty read.
        while True:
            try:
                shown += os.read(controller, 4096)
            except OSError:
                break
        assert process.stdout is not None
        assert process.stdout.read() == b""
        assert process.wait(timeout=60) == 0
    os.close(controller)
    assert b"fitting" in shown
    assert b"writing" in shown
    assert b"MB" in shown
