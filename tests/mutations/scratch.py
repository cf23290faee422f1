"""A scratch copy of the table and its tests, built and run apart from the checkout."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Outcome", "Scratch"]

ROOT = Path(__file__).parents[2]
ROOMS = ("dataloaders", "etl", "models", "workflows")  # linked, but not needed: empty folders
# Sanitizers, NVRTC and the type stub would take minutes a bug; the bugs must fail without them.
LEFT_OUT = ("test_native.py", "test_headers.py", "test_stub.py", "test_fuzz.py")

# An editable install puts a finder first that leads to the checkout: it must not be asked.
LAUNCH = """
import sys
root = sys.argv[1]
sys.meta_path[:] = [f for f in sys.meta_path if "editable" not in type(f).__module__.lower()]
sys.path[:0] = [root, root + "/src"]
import emberline.kernels._cpu as extension
assert extension.__file__.startswith(root), extension.__file__
import pytest
sys.exit(pytest.main(sys.argv[2:]))
"""


@dataclass(frozen=True)
class Outcome:
    """What a run of the tests said.

    Attributes:
        passed: no test failed.
        words: the first failure, or the summary.
        seconds: building and running.
    """

    passed: bool
    words: str
    seconds: float


class Scratch:
    """The copy.

    Args:
        root: an empty folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        ignore = shutil.ignore_patterns("__pycache__", "*.so")
        for name in ("kernels", "src", "tests/kernels"):
            shutil.copytree(ROOT / name, root / name, symlinks=True, ignore=ignore)
        models = [f"tests/{path.name}" for path in (ROOT / "tests").glob("reference*.py")]
        for name in ("pyproject.toml", "tests/conftest.py", *models):
            shutil.copy2(ROOT / name, root / name)
        for room in ROOMS:
            (root / room).mkdir()
        # Named in the same CMakeLists.txt, though not built here.
        for folder in ("dataloaders/cpu", "etl/native"):
            shutil.copytree(ROOT / folder, root / folder)
        lists = root / "kernels" / "CMakeLists.txt"
        lists.write_text(lists.read_text().replace("-O3", "-O1"))  # the bits are the same

    def restore(self, file: str) -> None:
        """Put a file back as it is in the checkout."""
        text = (ROOT / file).read_text()
        (self.root / file).write_text(text)

    def build(self) -> None:
        """Build the extension into the copy; what did not change is not built again.

        Raises:
            RuntimeError: it does not compile.
        """
        folder = self.root / "build"
        cmake = _tool("cmake")
        if not folder.exists():
            nanobind = subprocess.run(
                [sys.executable, "-m", "nanobind", "--cmake_dir"],
                capture_output=True, text=True, check=True,
            ).stdout.strip()  # fmt: skip
            _run(
                [
                    cmake, "-S", str(self.root / "kernels"), "-B", str(folder),
                    "-DCMAKE_BUILD_TYPE=Release", f"-DPython_EXECUTABLE={sys.executable}",
                    f"-Dnanobind_DIR={nanobind}",
                ]
            )  # fmt: skip
        _run([cmake, "--build", str(folder), "--parallel", "2", "--target", "_cpu"])
        for extension in folder.glob("_cpu*.so"):
            shutil.copy2(extension, self.root / "kernels" / extension.name)

    def test(self, *, timeout_s: float, first: str = "") -> Outcome:
        """Run the table's tests up to the first failure; a hang is a failure too.

        Args:
            timeout_s: how long a hang is.
            first: the file of tests/kernels to begin with.
        """
        began = time.monotonic()
        names = {path.name for path in (self.root / "tests/kernels").glob("test_*.py")}
        order = sorted(names.difference(LEFT_OUT), key=lambda name: (name != first, name))
        command = [sys.executable, "-c", LAUNCH, str(self.root), "-x", "-q", "-m", "not slow"]
        command += ["-p", "no:cacheprovider", *(f"tests/kernels/{name}" for name in order)]
        environment = {**os.environ, "HYPOTHESIS_PROFILE": "ci", "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            result = subprocess.run(
                command, cwd=self.root, env=environment, capture_output=True, text=True,
                check=False, timeout=timeout_s,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return Outcome(False, f"no end after {timeout_s:g} s", time.monotonic() - began)
        failed = re.search(r"^(?:FAILED|ERROR) (\S+)", result.stdout, re.MULTILINE)
        if failed is not None:
            words = failed[1]
        elif result.returncode < 0:
            at = re.search(r"tests/(kernels/\S+)\", line \d+ in (\w+)", result.stderr)
            words = f"status {result.returncode}" + (f" in {at[1]}::{at[2]}" if at else "")
        else:
            words = (result.stdout.strip() or result.stderr.strip()).splitlines()[-1]
        return Outcome(result.returncode == 0, words, time.monotonic() - began)


def _tool(name: str) -> str:
    beside = Path(sys.executable).with_name(name)
    spec = importlib.util.find_spec(name)
    packaged = Path(spec.origin).parent / "data" / "bin" / name if spec and spec.origin else beside
    for candidate in (beside, packaged):
        if candidate.exists():
            return str(candidate)
    found = shutil.which(name)
    if found is None:
        raise RuntimeError(f"building the table needs {name}; install requirements/cpu.txt")
    return found


def _run(command: list[str]) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{result.stdout}{result.stderr}")
