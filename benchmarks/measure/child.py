"""Work in a process of its own: time and peak memory of nothing else."""

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["ChildError", "Measured", "peak_bytes", "print_measured", "run_child"]

ROOT = Path(__file__).parents[2]


class ChildError(RuntimeError):
    """The process failed; its last words are in the message."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a child says of its work.

    Attributes:
        seconds: wall time of the work, imports excluded.
        cpu_seconds: processor time of the whole process, imports included: on a busy machine it
            says more than wall time.
        peak_bytes: the largest resident set, of the whole process.
        stages: seconds by stage.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    stages: dict[str, float]


def peak_bytes() -> int:
    """Give the largest resident set of this process so far.

    Not `ru_maxrss`: that begins with what the parent had when it forked.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status has no VmHWM")


def run_child(python: Path, module: str, arguments: Sequence[str | Path]) -> Measured:
    """Run a module that prints what it measured as its last line, in JSON.

    Raises:
        ChildError: it failed.
    """
    done = subprocess.run(
        [str(python), "-m", module, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ChildError(f"{module} ended with status {done.returncode}:\n{done.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return Measured(**answer)


def print_measured(stages: dict[str, float]) -> None:
    """Print what this process took, given seconds by stage, for `run_child` to read."""
    busy = os.times()
    answer = {
        "seconds": sum(stages.values()),
        "cpu_seconds": busy.user + busy.system,
        "peak_bytes": peak_bytes(),
        "stages": stages,
    }
    print(json.dumps(answer), flush=True)
