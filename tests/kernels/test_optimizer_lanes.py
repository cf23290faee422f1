"""The optimizers' headers alone: a warp's order of lanes and sums gives the CPU's bits."""

import shutil
import subprocess
from pathlib import Path

import pytest

KERNELS = Path(__file__).parents[2] / "kernels"


def test_a_warp_gives_the_same_bits(tmp_path: Path) -> None:
    compiler = shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler on the PATH")
    program = tmp_path / "optimizers"
    sources = [KERNELS / "cpu" / name for name in ("optimize.cpp", "simd.cpp")]
    sources.append(Path(__file__).parent / "native/optimizers.cpp")
    # Vectorized as in a release, to compare with lanes one by one.
    options = ["-std=c++17", "-O2", "-ftree-vectorize", "-g0", "-ffp-contract=off"]
    options += ["-fno-math-errno", "-Wall", "-Wextra", "-Werror"]
    options += ["-fsanitize=address,undefined,float-cast-overflow", "-fno-sanitize-recover=all"]
    options += [f"-I{KERNELS / 'include'}", f"-I{KERNELS / 'cpu'}"]
    command = [compiler, *options, *map(str, sources), "-o", str(program)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if "cannot find" in result.stderr and "san" in result.stderr:
        pytest.skip("the compiler has no sanitizer libraries")
    assert result.returncode == 0, result.stderr
    result = subprocess.run([str(program)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    lines = result.stdout.splitlines()
    assert lines
    assert lines == [
        f"level {level}: {13 * 4 * 8 * 5} updates agree" for level in range(len(lines))
    ]
