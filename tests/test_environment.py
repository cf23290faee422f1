"""The lists of packages agree: pyproject.toml, the pinned sets, environment.yml."""

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
import yaml
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
REQUIREMENTS = ROOT / "requirements"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DEPENDENCIES: list[str] = PROJECT["project"]["dependencies"]
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
BUILD: list[str] = PROJECT["build-system"]["requires"]

PYTHONS = ("3.11", "3.12", "3.13")
SETS = {
    "cpu": PYTHONS,
    "gpu": PYTHONS,
    "polars-gpu": PYTHONS,
    "nvtabular": ("3.11",),
    "tfra": ("3.11",),
}


@dataclass(frozen=True, kw_only=True)
class Pin:
    """One pinned package of a set.

    Attributes:
        requirement: name, `==version` and the marker.
        hashes: the SHA-256 of each file that pip may take for it.
    """

    requirement: Requirement
    hashes: tuple[str, ...]

    @property
    def version(self) -> Version:
        (specifier,) = self.requirement.specifier
        assert specifier.operator == "=="
        return Version(specifier.version)


def read_pins(text: str) -> list[Pin]:
    """Parse a pinned set; raises ValueError on a line that is neither a pin nor a comment."""
    pins = []
    for line in text.replace("\\\n", " ").splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        pinned, *hashes = line.split(" --hash=sha256:")
        if pinned.lstrip().startswith("-") or not all(
            re.fullmatch(r"[0-9a-f]{64}\s*", digest) for digest in (h.strip() for h in hashes)
        ):
            raise ValueError(f"neither a pin with hashes nor a comment: {line!r}")
        pins.append(Pin(requirement=Requirement(pinned.strip()), hashes=tuple(hashes)))
    return pins


def pins_of(name: str) -> list[Pin]:
    return read_pins((REQUIREMENTS / f"{name}.txt").read_text())


def applies(marker: Marker | None, python: str) -> bool:
    """Evaluate a marker for this Python on Linux, whatever runs the test."""
    environment = {
        "implementation_name": "cpython",
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": "linux",
    }
    return marker is None or marker.evaluate({**environment, "extra": ""})


def versions(name: str, python: str) -> dict[str, Version]:
    """The versions that a set installs on this Python; a name pinned twice is an error."""
    found: dict[str, Version] = {}
    for pin in pins_of(name):
        if applies(pin.requirement.marker, python):
            key = canonicalize_name(pin.requirement.name)
            assert key not in found, f"{key} is pinned twice in {name}.txt on Python {python}"
            found[key] = pin.version
    return found


def refused(requirements: Iterable[str], pinned: dict[str, Version], python: str) -> list[str]:
    """List the requirements that the pinned versions do not meet."""
    wrong = []
    for requirement in map(Requirement, requirements):
        if applies(requirement.marker, python):
            version = pinned.get(canonicalize_name(requirement.name))
            if version is None:
                wrong.append(f"{requirement}: not pinned")
            elif not requirement.specifier.contains(version):
                wrong.append(f"{requirement}: {version} is pinned")
    return wrong


def read_in(name: str) -> list[str]:
    """The requirements written in a .in file, without comments and options."""
    lines = (REQUIREMENTS / f"{name}.in").read_text().splitlines()
    return [line for line in lines if line and not line.startswith(("#", "-"))]


def test_every_set_is_checked() -> None:
    assert {path.stem for path in REQUIREMENTS.glob("*.in")} == set(SETS)
    assert {path.stem for path in REQUIREMENTS.glob("*.txt")} == set(SETS)


@pytest.mark.parametrize("name", SETS)
def test_a_set_has_hashes_and_names_no_place(name: str) -> None:
    text = (REQUIREMENTS / f"{name}.txt").read_text()
    pins = pins_of(name)
    assert len(pins) > 1
    assert all(pin.hashes for pin in pins)
    # The address of an index, or a path of the machine that resolved the set.
    assert not re.search(r"://|\s/\w|find-links|index-url", text)


@pytest.mark.parametrize(
    ("name", "python"), [(n, p) for n, pythons in SETS.items() for p in pythons]
)
def test_a_set_meets_its_list(name: str, python: str) -> None:
    pinned = versions(name, python)
    assert refused(read_in(name), pinned, python) == []


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize(
    ("name", "extras"), [("cpu", ["test"]), ("gpu", ["gpu", "dask", "test"])], ids=["cpu", "gpu"]
)
def test_a_set_meets_pyproject(name: str, extras: list[str], python: str) -> None:
    pinned = versions(name, python)
    wanted = [*DEPENDENCIES, *BUILD, *(line for extra in extras for line in EXTRAS[extra])]
    assert refused(wanted, pinned, python) == []


def test_a_pin_carries_the_extras_that_others_ask_for() -> None:
    """Otherwise pip looks at the newest version for the extra, and finds that it has no hash.

    That stops the installation on the day when a newer version comes out.
    """
    pinned: dict[str, set[str]] = {}
    for pin in pins_of("cpu"):
        extras = pinned.setdefault(canonicalize_name(pin.requirement.name), set())
        extras.update(pin.requirement.extras)
    missing = []
    asked = 0
    for name, extras in pinned.items():
        try:
            requirements = map(Requirement, distribution(name).requires or ())
        except PackageNotFoundError:  # for another Python or platform
            continue
        for requirement in requirements:
            marker = requirement.marker
            if requirement.extras and any(
                marker is None or marker.evaluate({"extra": extra}) for extra in ("", *extras)
            ):
                asked += 1
                if lacking := requirement.extras - pinned[canonicalize_name(requirement.name)]:
                    missing.append(f"{name} wants {requirement}: not pinned with {lacking}")
    assert asked > 0
    assert missing == []


def test_the_peer_set_is_the_extra() -> None:
    pinned = versions("nvtabular", "3.11")
    assert refused(EXTRAS["nvtabular"], pinned, "3.11") == []
    # On a Python that the peer does not run on, the extra asks for nothing.
    assert not any(applies(Requirement(line).marker, "3.12") for line in EXTRAS["nvtabular"])


def test_an_extra_that_cannot_share_an_environment_is_declared() -> None:
    conflicts = PROJECT["tool"]["uv"]["conflicts"]
    declared = {frozenset(item["extra"] for item in pair) for pair in conflicts}
    assert declared == {frozenset({"nvtabular", extra}) for extra in EXTRAS if extra != "nvtabular"}


@pytest.mark.parametrize("python", PYTHONS)
def test_the_second_polars_is_the_gpu_sets(python: str) -> None:
    second = versions("polars-gpu", python)
    gpu = versions("gpu", python)
    assert second == {name: gpu[name] for name in second}
    # Two majors, or the second run of tests/etl would prove nothing.
    assert second["polars"].major != versions("cpu", python)["polars"].major


def test_supported_pythons() -> None:
    supported = SpecifierSet(PROJECT["project"]["requires-python"])
    assert all(supported.contains(f"{python}.0") for python in PYTHONS)
    assert not supported.contains("3.10.0")
    assert not supported.contains("3.14.0")


def conda() -> tuple[list[str], list[str]]:
    """The conda packages and the pip section of environment.yml."""
    parsed = yaml.safe_load((ROOT / "environment.yml").read_text())
    packages = [item for item in parsed["dependencies"] if isinstance(item, str)]
    (section,) = [item["pip"] for item in parsed["dependencies"] if isinstance(item, dict)]
    return packages, section


def test_conda_brings_a_supported_python_a_compiler_and_make() -> None:
    packages, _ = conda()
    (python,) = [item.removeprefix("python=") for item in packages if item.startswith("python=")]
    assert python in PYTHONS
    assert {"cxx-compiler", "make", "pip"} <= set(packages)


def test_conda_asks_for_what_the_gpu_set_pins() -> None:
    _, section = conda()
    wanted = [line for line in section if not line.startswith("-")]
    assert refused(wanted, versions("gpu", "3.12"), "3.12") == []
    # The same names, extras and ranges as pyproject.toml: the list is read by people, too.
    assert {str(Requirement(line)) for line in wanted} == {
        str(Requirement(line)) for line in EXTRAS["gpu"]
    }


def test_conda_installs_this_checkout_with_extras_that_exist() -> None:
    _, section = conda()
    (editable,) = [line for line in section if line.startswith("-")]
    match = re.fullmatch(r"-e \.\[([a-z,-]+)\]", editable)
    assert match is not None
    extras = match.group(1).split(",")
    assert "gpu" in extras
    assert set(extras) <= set(EXTRAS)
    assert "nvtabular" not in extras


@pytest.mark.parametrize(
    "line",
    ["--index-url https://example.org", "numpy==2.0.0 --hash=sha256:12", "-e ."],
)
def test_a_planted_line_is_found(line: str) -> None:
    with pytest.raises(ValueError, match="neither a pin with hashes nor a comment"):
        read_pins(line)


def test_a_planted_mismatch_is_found() -> None:
    pinned = {"numpy": Version("1.26.4")}
    wrong = refused(["numpy>=2", "Polars>=1; python_version < '3.12'", "tomli"], pinned, "3.12")
    assert wrong == ["numpy>=2: 1.26.4 is pinned", "tomli: not pinned"]
