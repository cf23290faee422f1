"""kill -9 and full disks: what is there is complete, and running again completes the rest."""

import contextlib
import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import emberline.etl as nvt
from emberline.errors import ArtifactCorruptError, ArtifactMissingError, DataError
from emberline.etl import ops

#: Kills its own process (SIGKILL: nothing is cleaned up) at a moment that is named by an audit
#: event, or as soon as a file of a kind has grown.
SCRIPT = """
import os, signal, sys, threading, time
from pathlib import Path

def die():
    os.kill(os.getpid(), signal.SIGKILL)

moment, source, target = sys.argv[1:]
event, _, which = moment.partition(":")
seen = 0

def hook(name, args):
    global seen
    if name != event:
        return
    if event == "open":
        path, mode = str(args[0]), str(args[1])
        if path.endswith(which) and "w" in mode:
            die()
        return
    seen += 1
    if seen == int(which):
        die()

import polars as pl
import emberline.etl as nvt
from emberline.etl import ops

frame = pl.scan_parquet(source)
workflow = nvt.Workflow(["a"] >> ops.Categorify())
if event == "grown":
    def watch():
        while True:
            for file in Path(target).parent.rglob(which):
                if file.stat().st_size > 0:
                    die()
    threading.Thread(target=watch, daemon=True).start()
elif event == "fit":
    threading.Timer(float(which), die).start()
    while True:
        nvt.Workflow(["a"] >> ops.Categorify()).fit(source)
else:
    sys.addaudithook(hook)
if "save" in target:
    workflow.fit(source).save(target)
else:
    nvt.Dataset(source).to_parquet(target, shuffle=1, output_files=2)
print("not killed")
"""

FRAME = pl.DataFrame({"a": [f"value {i % 5003}" for i in range(200_000)], "n": range(200_000)})

MOMENTS = [
    "os.rename:2",
    pytest.param("grown:rows.tmp", marks=pytest.mark.slow),
    pytest.param("grown:bucket_0.tmp", marks=pytest.mark.slow),
    pytest.param("grown:part_1.parquet", marks=pytest.mark.slow),
    pytest.param("open:schema.pbtxt", marks=pytest.mark.slow),
    pytest.param("open:_manifest.json", marks=pytest.mark.slow),
    pytest.param("os.rename:1", marks=pytest.mark.slow),
    pytest.param("shutil.rmtree:1", marks=pytest.mark.slow),
]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "in.parquet"
    FRAME.write_parquet(path, row_group_size=10_000)
    return path


def killed(moment: str, source: Path, target: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, moment, str(source), str(target)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, (done.stdout, done.stderr)


@pytest.mark.parametrize("moment", MOMENTS)
def test_to_parquet_is_killed(source: Path, tmp_path: Path, moment: str) -> None:
    target = tmp_path / "out"
    small = FRAME.head(7)
    if moment not in ("os.rename:2", "shutil.rmtree:1"):
        # Nothing was there: nothing that looks complete is there.
        killed(moment, source, target)
        assert not target.exists()
        with pytest.raises(DataError, match="no such file"):
            nvt.Dataset(target)
    # Something was there: it, or the new one, is there whole.
    nvt.Dataset(small).to_parquet(target)
    killed(moment, source, target)
    left = nvt.Dataset(target).to_polars()
    assert left.sort("n").equals(FRAME if moment == "shutil.rmtree:1" else small)
    # Running again completes, and leaves nothing behind.
    again = nvt.Dataset(source).to_parquet(target, shuffle=1, output_files=2)
    assert again.to_polars().sort("n").equals(FRAME)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    "moment",
    [
        "open:workflow.json",
        pytest.param("grown:*.parquet", marks=pytest.mark.slow),
        pytest.param("os.rename:1", marks=pytest.mark.slow),
    ],
)
def test_save_is_killed(source: Path, tmp_path: Path, moment: str) -> None:
    target = tmp_path / "saved"
    killed(moment, source, target)
    with pytest.raises(ArtifactMissingError, match="no such directory"):
        nvt.Workflow.load(target)
    workflow = nvt.Workflow(["a"] >> ops.Categorify()).fit(source)
    workflow.save(target)
    assert [p.name for p in tmp_path.iterdir()] == ["saved"]
    assert nvt.Workflow.load(target).transform(FRAME).equals(workflow.transform(FRAME))


def test_fit_is_killed(source: Path, tmp_path: Path) -> None:
    before = source.read_bytes()
    killed("fit:0.2", source, tmp_path / "none")
    assert not list(tmp_path.iterdir())
    assert [p.name for p in source.parent.iterdir()] == ["in.parquet"]
    assert source.read_bytes() == before
    assert nvt.Workflow(["a"] >> ops.Categorify()).fit(source).fitted


@contextlib.contextmanager
def small_disk(path: Path, size: str) -> Iterator[Path]:
    """Mount a file system of a few megabytes, where that is allowed."""
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)]
    try:
        done = subprocess.run(mount, check=False, capture_output=True, text=True)
    except OSError as error:
        pytest.skip(f"no small file system: {error}")
    if done.returncode:
        pytest.skip(f"no small file system: {done.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.mark.parametrize("arguments", [{}, {"shuffle": 1}, {"output_files": 3}])
def test_a_disk_that_is_full(source: Path, tmp_path: Path, arguments: Any) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        nvt.Dataset(FRAME.head(3)).to_parquet(disk / "out")
        # Random bits do not compress.
        frame = FRAME.select(x=pl.col("n").hash())
        with pytest.raises(OSError, match=r"[Nn]o space left") as caught:
            nvt.Dataset(frame).to_parquet(disk / "out", **arguments)
        assert caught.value.errno == errno.ENOSPC
        assert [p.name for p in disk.iterdir()] == ["out"]
        assert nvt.Dataset(disk / "out").num_rows == 3


def test_no_space_to_spill(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    monkeypatch.setattr("emberline.etl.memory_size.LEAST_ROWS", 20_000)
    workflow = nvt.Workflow(["n"] >> ops.Categorify())
    with small_disk(tmp_path / "disk", "256k") as disk:
        monkeypatch.setattr(tempfile, "tempdir", str(disk))
        with pytest.raises(OSError, match=r"[Nn]o space left"):
            workflow.fit(source, memory_limit="2MB")
        assert not list(disk.iterdir())
    assert not workflow.fitted


def test_a_directory_that_may_not_be_written(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("the superuser may write anywhere")
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError):
        nvt.Dataset(FRAME).to_parquet(tmp_path / "out")


def test_one_file_of_many_is_damaged(tmp_path: Path) -> None:
    from tests.etl.test_dataset import damage

    for i in range(20):
        FRAME[i * 5000 : i * 5000 + 5000].write_parquet(tmp_path / f"{i}.parquet")
    damage(tmp_path / "13.parquet")
    data = nvt.Dataset(tmp_path)
    with pytest.raises(DataError, match=r"13\.parquet cannot be read.*damaged; restore it"):
        nvt.Workflow(["a"] >> ops.Categorify()).fit(data)


def test_a_category_file_that_was_edited(tmp_path: Path) -> None:
    nvt.Workflow(["a"] >> ops.Categorify()).fit(FRAME).save(tmp_path / "w")
    (file,) = (tmp_path / "w" / "artifacts").rglob("unique.a.parquet")
    pl.read_parquet(file).reverse().write_parquet(file)
    with pytest.raises(ArtifactCorruptError, match=r"unique\.a\.parquet.*restore the directory"):
        nvt.Workflow.load(tmp_path / "w")
