"""The C++ table alone, under sanitizers: broken invariants are found, random use is sound."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from emberline.kernels import HashTable, TableCorruptError

KERNELS = Path(__file__).parents[2] / "kernels"

BROKEN = {
    "row-out-of-range": r"index chunk \d+ slot \d+: row 12345 does not exist",
    "row-free": r"index chunk \d+ slot \d+: row 2 is free",
    "key-differs": r"index chunk \d+ slot \d+: key \d+, but row \d+ has key \d+",
    "tag-wrong": r"index chunk \d+ slot \d+: key \d+ is not found here by a probe",
    "slot-lost": r"index has 36 keys, the table counts 37",
    "tombstone-count": r"index has (\d+) tombstones, the table counts \d+",
    "live-bit": r"38 rows are live, the table counts 37",
    "free-twice": r"free list: row 2 is listed twice",
    "free-out-of-range": r"free list: row 12345 does not exist",
    "free-lost": r"rows are lost: 37 live and 2 free of 40",
}


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the table without Python, with AddressSanitizer and UBSan."""
    compiler = shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler on the PATH")
    program = tmp_path_factory.mktemp("native") / "probe"
    sources = [p for p in sorted((KERNELS / "cpu").glob("*.cpp")) if p.name != "module.cpp"]
    sources.append(Path(__file__).parent / "native" / "probe.cpp")
    options = ["-std=c++17", "-O1", "-g0", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror"]
    options += ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    options += [f"-I{KERNELS / 'include'}", f"-I{KERNELS / 'cpu'}", "-pthread"]
    command = [compiler, *options, *map(str, sources), "-o", str(program)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if "cannot find" in result.stderr and "san" in result.stderr:
        pytest.skip("the compiler has no sanitizer libraries")
    assert result.returncode == 0, result.stderr
    return program


def run(program: Path, case: str) -> str:
    result = subprocess.run([str(program), case], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout.strip()


@pytest.mark.parametrize("case", BROKEN)
def test_check_names_the_broken_invariant(probe: Path, case: str) -> None:
    assert re.fullmatch(BROKEN[case], run(probe, case))


def test_random_use_is_sound(probe: Path) -> None:
    assert run(probe, "fuzz") == "sound"


def test_every_instruction_set_gives_the_same_bits(probe: Path) -> None:
    levels = ["level 0", "level 1", "level 2"]
    found = run(probe, "levels").splitlines()
    assert found == levels[: len(found)]
    assert found


def test_a_broken_table_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def check(self) -> str:
            return "index has 1 keys, the table counts 2"

    table = HashTable(2, name="item")
    table.check()
    monkeypatch.setattr(table, "_table", Broken())
    with pytest.raises(TableCorruptError, match="table 'item' is corrupt: index has 1 keys"):
        table.check()
