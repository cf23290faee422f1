"""A run directory: stages whose results are reused, so that the same command always continues."""

import contextlib
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emberline.artifacts import MANIFEST, recover
from emberline.errors import EmberlineError

__all__ = ["Run", "RunLockedError", "StageMissingError", "StageResult", "fingerprint"]


class RunLockedError(EmberlineError, RuntimeError):
    """Another process works in this run directory."""


class StageMissingError(EmberlineError, FileNotFoundError):
    """A run directory lacks a finished stage."""

    def __str__(self) -> str:
        """Give the message alone: OSError would format it as an errno."""
        return str(self.args[0])


@dataclass(frozen=True, kw_only=True)
class StageResult:
    """A finished stage.

    Attributes:
        path: its directory.
        fingerprint: digest of everything its result depends on.
        info: what its work returned; JSON.
        seconds: what it took when it ran.
        reused: whether an earlier process had finished it.
    """

    path: Path
    fingerprint: str
    info: Mapping[str, Any]
    seconds: float
    reused: bool


class Run:
    """Stages in one directory, each a directory that is complete or absent.

    A stage is skipped when its record (`stages/<name>.json`) says that the directory that is
    there now was made from the same inputs, by name and value; otherwise it runs again. So a job
    that is killed at any moment continues with the stage it was in, and a changed setting redoes
    what depends on it and nothing else.

    Args:
        path: the run directory, created when the first stage runs.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the directory for this process; the lock goes with the process, however it ends.

        Raises:
            RunLockedError: another process holds it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RunLockedError(
                    f"another process is working in {self.path}; wait for it, or choose another "
                    "directory with --out"
                ) from error
            yield

    def stage(
        self,
        name: str,
        inputs: Mapping[str, Any],
        work: Callable[[Path], Mapping[str, Any]],
    ) -> StageResult:
        """Run `work`, or reuse what it made from the same inputs before.

        Args:
            name: the stage's directory inside the run.
            inputs: JSON-able; everything the result depends on.
            work: given the directory's path, makes it appear there by `write_directory` (or by
                something that uses it), and returns notes for the record.
        """
        done = self.finished(name, inputs)
        if done is not None:
            return done
        begin = time.perf_counter()
        path = self.path / name
        info = dict(work(path))
        record = {
            "inputs": fingerprint(inputs),
            "manifest": _manifest_digest(path),
            "seconds": time.perf_counter() - begin,
            "info": info,
        }
        file = self._record(name)
        file.parent.mkdir(exist_ok=True)
        temporary = file.with_suffix(".writing")
        temporary.write_text(json.dumps(record, indent=1) + "\n")
        temporary.replace(file)
        return self._result(name, record, reused=False)

    def finished(self, name: str, inputs: Mapping[str, Any]) -> StageResult | None:
        """Return the stage's result if its directory is the one made from these inputs."""
        record = self.record(name)
        if record is None or record["inputs"] != fingerprint(inputs):
            return None
        recover(self.path / name)
        if record["manifest"] != _manifest_digest(self.path / name):
            return None
        return self._result(name, record, reused=True)

    def last(self, name: str) -> StageResult:
        """Return the stage that finished last, whatever its inputs.

        Raises:
            StageMissingError: it never finished, or its directory is gone or was changed.
        """
        record = self.record(name)
        recover(self.path / name)
        if record is None or record["manifest"] != _manifest_digest(self.path / name):
            raise StageMissingError(f"{self.path} has no finished stage {name!r}")
        return self._result(name, record, reused=True)

    def record(self, name: str) -> dict[str, Any] | None:
        """Return the stage's last record, whatever its inputs; None when it never finished."""
        try:
            record: dict[str, Any] = json.loads(self._record(name).read_text())
        except (FileNotFoundError, ValueError):
            return None
        return record

    def _record(self, name: str) -> Path:
        return self.path / "stages" / f"{name}.json"

    def _result(self, name: str, record: Mapping[str, Any], *, reused: bool) -> StageResult:
        return StageResult(
            path=self.path / name,
            fingerprint=record["inputs"],
            info=record["info"],
            seconds=record["seconds"],
            reused=reused,
        )


def fingerprint(inputs: Mapping[str, Any]) -> str:
    """Digest JSON-able inputs.

    >>> fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": [2], "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:32]


def _manifest_digest(path: Path) -> str | None:
    file = path / MANIFEST
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None
