"""What a user installs: the sdist, the wheel built from it, and the package outside the checkout."""

import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from email.parser import BytesParser
from pathlib import Path

import pytest

import emberline

ROOT = Path(__file__).parents[1]
ROOMS = ("etl", "dataloaders", "models", "workflows", "kernels")


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command to its end and return what it printed; a failure shows it."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, f"{command} failed:\n{done.stdout}"
    return done.stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, made from this checkout."""
    folder = tmp_path_factory.mktemp("sdist")
    build = f"from scikit_build_core.build import build_sdist; build_sdist({str(folder)!r})"
    run(sys.executable, "-c", build, cwd=ROOT)
    (file,) = folder.glob("*.tar.gz")
    return file


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel built from the source distribution, in a folder of its own."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "wheel", "-qq", "--no-deps", "--no-build-isolation")
    run(*pip, "--no-index", "--wheel-dir", folder, sdist, cwd=folder)
    (file,) = folder.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment outside the checkout with the wheel installed.

    The dependencies are borrowed from the environment that runs the tests through a path file
    (they are large); path files inside a borrowed folder are not followed, so the editable
    install of this checkout stays out.
    """
    folder = tmp_path_factory.mktemp("user") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    (site,) = (folder / "lib").glob("python3.*/site-packages")
    borrowed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site / "borrowed.pth").write_text("\n".join(sorted(borrowed)) + "\n")
    pip = (sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install", "-qq")
    run(*pip, "--no-deps", "--no-index", "--ignore-installed", wheel, cwd=folder.parent)
    return folder


@pytest.mark.slow
def test_sdist_holds_the_sources_and_nothing_built(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "LICENSE", "README.md", "kernels/CMakeLists.txt"} <= names
    assert {f"{room}/__init__.py" for room in ROOMS} <= names
    assert any(name.startswith("kernels/cpu/") and name.endswith(".cpp") for name in names)
    assert "dataloaders/cpu/gather.cpp" in names
    unwanted = re.compile(r"\.so$|\.pyc$|(^|/)(build|\.venv[^/]*|\.git|__pycache__|shared)/")
    assert [name for name in names if unwanted.search(name)] == []


@pytest.mark.slow
def test_wheel_holds_the_package_alone(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        message = BytesParser().parsebytes(archive.read(metadata))
    # Bare `import etl` or `import tests` is impossible: nothing lies beside the package.
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"emberline", metadata.partition("/")[0]}
    assert {f"emberline/{room}/__init__.py" for room in ROOMS} <= set(names)
    assert {"emberline/py.typed", "emberline/errors.py", "emberline/artifacts.py"} <= set(names)
    # The GPU compiles the headers when they are first used; the CPU's sources are compiled.
    headers = {f"emberline/kernels/include/{h.name}" for h in (ROOT / "kernels/include").iterdir()}
    assert headers
    assert headers <= set(names)
    assert any(re.match(r"emberline/kernels/_cpu\..*\.so$", name) for name in names)
    assert any(re.match(r"emberline/etl/_native\..*\.so$", name) for name in names)
    assert any(re.match(r"emberline/dataloaders/_gather\..*\.so$", name) for name in names)
    assert [name for name in names if re.search(r"\.(cpp|cc|hpp|o)$|CMakeLists", name)] == []
    assert message["Version"] == emberline.__version__
    assert message["License-Expression"] == "Apache-2.0"
    assert set(message["Requires-Python"].split(",")) == {">=3.11", "<3.14"}


@pytest.mark.slow
def test_installed_command_runs_from_another_folder(installed: Path, tmp_path: Path) -> None:
    printed = run(installed / "bin" / "emberline", "--version", cwd=tmp_path)
    assert emberline.__version__ in printed


@pytest.mark.slow
def test_installed_package_is_the_wheels(installed: Path, tmp_path: Path) -> None:
    code = (
        "import importlib.util as u, emberline.etl, emberline.kernels._cpu as c;"
        "print(emberline.__file__, emberline.etl.__file__, c.__file__, sep='\\n');"
        "print([n for n in ('etl', 'dataloaders', 'models', 'workflows', 'kernels', 'tests',"
        " 'benchmarks') if u.find_spec(n)])"
    )
    *files, bare = run(installed / "bin" / "python", "-c", code, cwd=tmp_path).splitlines()
    assert len(files) == 3
    assert all(Path(file).is_relative_to(installed) for file in files)
    assert bare == "[]"


def configure(tree: Path) -> subprocess.CompletedProcess[str]:
    """Let CMake read kernels/CMakeLists.txt of a tree, as far as it gets without a compiler."""
    cmake = Path(sysconfig.get_path("scripts")) / "cmake"
    return subprocess.run(
        [cmake, "-S", tree / "kernels", "-B", tree / "build", "-DCMAKE_CXX_COMPILER=/nowhere/c++"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_lost_links_stop_the_build_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "kernels").mkdir()
    shutil.copy(ROOT / "kernels" / "CMakeLists.txt", tmp_path / "kernels")
    package = tmp_path / "src" / "emberline"
    package.mkdir(parents=True)
    for room in ROOMS:
        (tmp_path / room).mkdir(exist_ok=True)
        (package / room).symlink_to(Path("..") / ".." / room)
    # With the links in place it goes on to the compiler, which is not there.
    intact = configure(tmp_path)
    assert "/nowhere/c++" in intact.stderr
    assert "links" not in intact.stderr

    # What git without symbolic links, and a zip of the tree, make of a link.
    (package / "etl").unlink()
    (package / "etl").write_text("../../etl")
    lost = configure(tmp_path)
    assert lost.returncode != 0
    message = " ".join(lost.stderr.split())
    assert (
        "src/emberline/etl is not a directory: the links of this source tree were lost" in message
    )
    assert "from a git checkout (core.symlinks on) or from its sdist" in message
