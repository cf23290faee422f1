"""A peer in an environment of its own: a process that obeys commands over a pipe."""

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

__all__ = ["Peer", "PeerError"]

ROOT = Path(__file__).parents[2]


class PeerError(RuntimeError):
    """The peer is not there or its process died; its last words are in the message."""


class Peer:
    """A module of benchmarks/peers, run by another Python.

    Commands and answers are JSON, one a line. The peer times itself, so the pipe is not measured,
    and sleeps in a read while we work.

    Args:
        environment: the folder of its virtual environment, below the repository's root.
        module: for example "benchmarks.peers.tfra_table".
        variables: environment variables it needs.
    """

    def __init__(self, environment: str, module: str, variables: dict[str, str]) -> None:
        python = self.python(environment)
        if not python.exists():
            raise PeerError(f"{environment} is not there; build it with: make peers")
        with tempfile.TemporaryFile() as errors:
            self._process = subprocess.Popen(
                [str(python), "-m", module],
                cwd=ROOT,
                env={**os.environ, **variables},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
            self._errors = os.dup(errors.fileno())

    @staticmethod
    def python(environment: str) -> Path:
        """Give the path of an environment's interpreter."""
        return ROOT / environment / "bin" / "python"

    def call(self, command: str, **arguments: Any) -> Any:
        """Send a command, wait for its answer.

        Raises:
            PeerError: the process is gone; an error there ends it.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise PeerError("the peer has no pipes")
        try:
            stdin.write(json.dumps({"command": command, **arguments}) + "\n")
            stdin.flush()
            line = stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            status = self._process.wait()
            size = os.fstat(self._errors).st_size
            words = os.pread(self._errors, 2000, max(0, size - 2000)).decode(errors="replace")
            raise PeerError(f"the peer ended with status {status} at {command!r}:\n{words}")
        return json.loads(line)["result"]

    def close(self) -> None:
        """End the process."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        os.close(self._errors)
