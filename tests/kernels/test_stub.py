"""The committed type stubs of the bindings are those that their generator gives."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("extension", ["kernels/_cpu", "dataloaders/_gather"])
def test_stub_is_current(extension: str, tmp_path: Path) -> None:
    beside = Path(sys.executable).with_name("ruff")
    ruff = str(beside) if beside.exists() else shutil.which("ruff")
    if importlib.util.find_spec("nanobind") is None or ruff is None:
        pytest.skip("needs nanobind (stubgen) and ruff")
    file = f"{extension}.pyi"
    module = f"emberline.{extension.replace('/', '.')}"
    stub = tmp_path / Path(file).name
    config = str(ROOT / "pyproject.toml")
    commands = [
        [sys.executable, "-m", "nanobind.stubgen", "-q", "-m", module, "-o"],
        [ruff, "check", "-q", "--no-cache", "--config", config, "--fix", "--unsafe-fixes"],
        [ruff, "format", "-q", "--no-cache", "--config", config],
    ]
    for command in commands:
        subprocess.run([*command, str(stub)], check=True, cwd=tmp_path)
    steps = "\n".join(" ".join([*command, file]) for command in commands)
    committed = (ROOT / file).read_text()
    assert committed == stub.read_text(), f"{file} is out of date; run\n{steps}"
