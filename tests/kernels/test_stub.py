"""The committed type stub of the binding is the one its generator gives."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_stub_is_current(tmp_path: Path) -> None:
    beside = Path(sys.executable).with_name("ruff")
    ruff = str(beside) if beside.exists() else shutil.which("ruff")
    if importlib.util.find_spec("nanobind") is None or ruff is None:
        pytest.skip("needs nanobind (stubgen) and ruff")
    stub = tmp_path / "_cpu.pyi"
    config = str(ROOT / "pyproject.toml")
    commands = [
        [sys.executable, "-m", "nanobind.stubgen", "-q", "-m", "emberline.kernels._cpu", "-o"],
        [ruff, "check", "-q", "--no-cache", "--config", config, "--fix", "--unsafe-fixes"],
        [ruff, "format", "-q", "--no-cache", "--config", config],
    ]
    for command in commands:
        subprocess.run([*command, str(stub)], check=True, cwd=tmp_path)
    steps = "\n".join(" ".join([*command, "kernels/_cpu.pyi"]) for command in commands)
    committed = (ROOT / "kernels" / "_cpu.pyi").read_text()
    assert committed == stub.read_text(), f"kernels/_cpu.pyi is out of date; run\n{steps}"
