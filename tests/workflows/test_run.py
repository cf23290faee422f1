"""Stages of a run directory: reused, redone, continued, locked."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from emberline.artifacts import write_directory
from emberline.workflows.run import Run, RunLockedError, StageMissingError


def worker(calls: list[str], text: str = "x") -> Any:
    def work(path: Path) -> dict[str, Any]:
        calls.append(text)
        with write_directory(path, kind="stage", version=1) as staging:
            (staging.path / "a.txt").write_text(text)
        return {"length": len(text)}

    return work


def test_a_finished_stage_is_reused_and_a_changed_input_redoes_it(tmp_path: Path) -> None:
    calls: list[str] = []
    run = Run(tmp_path)
    first = run.stage("one", {"seed": 1}, worker(calls))
    again = Run(tmp_path).stage("one", {"seed": 1}, worker(calls))
    assert (first.reused, again.reused, calls) == (False, True, ["x"])
    assert again.info == {"length": 1}
    assert again.fingerprint == first.fingerprint
    other = run.stage("one", {"seed": 2}, worker(calls, "yy"))
    assert not other.reused
    assert (tmp_path / "one" / "a.txt").read_text() == "yy"
    assert not run.stage("one", {"seed": 1}, worker(calls)).reused


def test_a_stage_that_failed_is_not_finished(tmp_path: Path) -> None:
    run = Run(tmp_path)

    def fail(path: Path) -> dict[str, Any]:
        raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        run.stage("one", {}, fail)
    assert run.finished("one", {}) is None
    with pytest.raises(StageMissingError, match="no finished stage 'one'"):
        run.last("one")
    calls: list[str] = []
    assert not run.stage("one", {}, worker(calls)).reused
    assert run.last("one").info == {"length": 1}


def test_a_stage_replaced_by_hand_or_gone_is_redone(tmp_path: Path) -> None:
    run = Run(tmp_path)
    calls: list[str] = []
    run.stage("one", {}, worker(calls))
    worker(calls, "by hand")(tmp_path / "one")
    assert run.finished("one", {}) is None
    assert not run.stage("one", {}, worker(calls)).reused
    (tmp_path / "stages" / "one.json").write_text("{")  # not JSON: as if never finished
    assert run.finished("one", {}) is None
    assert not run.stage("one", {}, worker(calls)).reused
    (tmp_path / "one" / "_manifest.json").unlink()
    assert run.finished("one", {}) is None


def test_two_processes_do_not_share_a_run(tmp_path: Path) -> None:
    program = (
        "import sys, time\nfrom emberline.workflows.run import Run\n"
        "with Run(sys.argv[1]).lock():\n    print('held', flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        with (
            pytest.raises(RunLockedError, match="another process is working"),
            Run(tmp_path).lock(),
        ):
            raise AssertionError("the lock was given twice")
        child.kill()
    with Run(tmp_path).lock():  # a killed process leaves no lock behind
        assert (tmp_path / ".lock").exists()
