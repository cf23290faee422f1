"""The C++ table alone, under sanitizers: broken invariants are found, random use is sound."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import pytest

from emberline.kernels import HashTable, TableCorruptError

KERNELS = Path(__file__).parents[2] / "kernels"
NATIVE = Path(__file__).parent / "native"

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
    "version-ahead": r"row 5: version 2 is above the table's 1",
    "step-ahead": r"row 5: last step 1 is above the newest, 0",
    "given-back": r"row 3: live, but its slab was given back",
    "given-back-count": r"the count of given-back slabs is not 1",
    "over-max-rows": r"37 keys are more than max_rows, 36",
    "log-order": r"eviction log: entry 3 has version 2 after 1",
    "live-candidate": r"key 5000 is in the table and a candidate for it",
    "candidate-count": r"admission: a candidate has a wrong count or is not found",
}


SANITIZERS = {
    "address": ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    "thread": ["-fsanitize=thread"],
}
CONCURRENCY = {"callers": "sound", "tables": "identical", "pool": "identical"}

Build = Callable[[str, str], Path]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Build a program of native/ with the table, without Python, under a sanitizer."""
    compiler = shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler on the PATH")
    folder = tmp_path_factory.mktemp("native")

    def compile_(arguments: list[str], sanitizer: str) -> list[str]:
        options = ["-std=c++17", "-O1", "-g1", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror"]
        options += [f"-I{KERNELS / 'include'}", f"-I{KERNELS / 'cpu'}", "-pthread"]
        return [compiler, *options, *SANITIZERS[sanitizer], *arguments]

    @cache
    def objects(sanitizer: str) -> list[Path]:
        sources = [p for p in sorted((KERNELS / "cpu").glob("*.cpp")) if p.name != "module.cpp"]
        made = [folder / f"{source.stem}-{sanitizer}.o" for source in sources]
        commands = [
            compile_(["-c", str(source), "-o", str(target)], sanitizer)
            for source, target in zip(sources, made, strict=True)
        ]
        with ThreadPoolExecutor(2) as pool:
            for result in pool.map(run_compiler, commands):
                assert result.returncode == 0, result.stderr
        return made

    @cache
    def program(name: str, sanitizer: str) -> Path:
        target = folder / f"{name}-{sanitizer}"
        sources = [str(NATIVE / f"{name}.cpp"), *map(str, objects(sanitizer))]
        result = run_compiler(compile_([*sources, "-o", str(target)], sanitizer))
        if "cannot find" in result.stderr and "san" in result.stderr:
            pytest.skip("the compiler has no sanitizer libraries")
        assert result.returncode == 0, result.stderr
        return target

    return program


@pytest.fixture(scope="module")
def probe(build: Build) -> Path:
    """The program that breaks invariants, under AddressSanitizer and UBSan."""
    return build("probe", "address")


def run_compiler(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def run(program: Path, case: str) -> str:
    command = [str(program), case]
    if program.name.endswith("-thread") and (setarch := shutil.which("setarch")):
        # ThreadSanitizer of GCC 12 wants its address ranges free; newer kernels move more.
        command = [setarch, "-R", *command]
    environment = {**os.environ, "TSAN_OPTIONS": "halt_on_error=1 exitcode=66"}
    result = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, timeout=300
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout.strip()


@pytest.mark.parametrize("case", BROKEN)
def test_check_names_the_broken_invariant(probe: Path, case: str) -> None:
    assert re.fullmatch(BROKEN[case], run(probe, case))


@pytest.mark.parametrize("rule", range(4))
def test_random_use_is_sound(probe: Path, rule: int) -> None:
    assert run(probe, f"fuzz{rule}") == "sound"


def test_rows_of_every_size_and_type_are_aligned(build: Build) -> None:
    assert run(build("row_types", "address"), "dims") == "sound"


def test_the_highest_row_numbers_are_addressed_right(probe: Path) -> None:
    assert run(probe, "last-row") == "sound"


@pytest.mark.parametrize("program", ["probe", "row_types"])
def test_every_instruction_set_gives_the_same_bits(build: Build, program: str) -> None:
    levels = ["level 0", "level 1", "level 2"]
    found = run(build(program, "address"), "levels").splitlines()
    assert found == levels[: len(found)]
    assert found


@pytest.mark.parametrize("case", CONCURRENCY)
@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_concurrent_use_is_sound(build: Build, sanitizer: str, case: str) -> None:
    assert run(build("concurrency", sanitizer), case) == CONCURRENCY[case]


RACE = """
#include <thread>
int main() {
  int shared = 0;
  std::thread other([&] { ++shared; });
  ++shared;
  other.join();
  return shared == 2 ? 0 : 1;
}
"""


def test_a_planted_race_is_found(build: Build, tmp_path: Path) -> None:
    """The sanitizer works on this machine: silence above means something."""
    build("concurrency", "thread")  # skips without the library
    source = tmp_path / "race.cpp"
    source.write_text(RACE)
    program = tmp_path / "race-thread"
    compiler = shutil.which("g++") or shutil.which("c++")
    assert compiler is not None
    options = ["-std=c++17", "-O0", "-pthread", *SANITIZERS["thread"]]
    built = run_compiler([compiler, *options, str(source), "-o", str(program)])
    assert built.returncode == 0, built.stderr
    with pytest.raises(AssertionError, match="data race"):
        run(program, "race")


def test_a_broken_table_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def check(self) -> str:
            return "index has 1 keys, the table counts 2"

    table = HashTable(2, name="item")
    table.check()
    monkeypatch.setattr(table, "_table", Broken())
    with pytest.raises(TableCorruptError, match="table 'item' is corrupt: index has 1 keys"):
        table.check()
