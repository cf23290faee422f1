"""Directories that are complete or absent."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from emberline.artifacts import MANIFEST, open_directory, write_directory
from emberline.errors import (
    ArtifactCorruptError,
    ArtifactMissingError,
    ArtifactVersionError,
    EmberlineError,
)


def save(path: Path, text: str = "one", *, version: int = 1) -> None:
    with write_directory(path, kind="thing", version=version, info={"rows": 3}) as staging:
        (staging.path / "deep").mkdir()
        (staging.path / "deep" / "a.txt").write_text(text)
        staging.info["more"] = True


def read(path: Path) -> str:
    open_directory(path, kind="thing", max_version=1)
    return (path / "deep" / "a.txt").read_text()


def test_a_written_directory_opens_with_its_notes(tmp_path: Path) -> None:
    save(tmp_path / "x")
    manifest = open_directory(tmp_path / "x", kind="thing", max_version=1)
    assert dict(manifest.info) == {"rows": 3, "more": True}
    assert manifest.files["deep/a.txt"]["size_bytes"] == 3
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_writing_again_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    save(tmp_path / "x")
    save(tmp_path / "x", "two")
    assert read(tmp_path / "x") == "two"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize("before", [False, True])
def test_an_error_while_writing_changes_nothing(tmp_path: Path, before: bool) -> None:
    if before:
        save(tmp_path / "x")

    def fail_half_way() -> None:
        with write_directory(tmp_path / "x", kind="thing", version=1) as staging:
            (staging.path / "half").write_text("half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match="No space left"):
        fail_half_way()
    assert [p.name for p in tmp_path.iterdir()] == (["x"] if before else [])
    if before:
        assert read(tmp_path / "x") == "one"


def test_what_is_not_ours_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "letter.txt").write_text("dear")
    with pytest.raises(FileExistsError, match=r"holds no _manifest\.json"):
        save(tmp_path / "x")
    (tmp_path / "file").write_text("dear")
    with pytest.raises(FileExistsError, match=r"holds no _manifest\.json"):
        save(tmp_path / "file")
    assert (tmp_path / "x" / "letter.txt").read_text() == "dear"
    assert (tmp_path / "file").read_text() == "dear"


def test_missing_and_interrupted_directories_are_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactMissingError, match=r"no thing at .*nowhere"):
        open_directory(tmp_path / "nowhere", kind="thing", max_version=1)
    save(tmp_path / "x")
    (tmp_path / "x" / MANIFEST).unlink()
    with pytest.raises(FileNotFoundError, match="interrupted save"):
        open_directory(tmp_path / "x", kind="thing", max_version=1)


def test_another_kind_or_a_newer_version_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "x", version=2)
    with pytest.raises(ArtifactVersionError, match="version 2 is newer than 1"):
        open_directory(tmp_path / "x", kind="thing", max_version=1)
    with pytest.raises(ArtifactVersionError, match="holds a thing, expected a workflow"):
        open_directory(tmp_path / "x", kind="workflow", max_version=2)


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    save(tmp_path / "x")
    file = tmp_path / "x" / "deep" / "a.txt"
    good = file.read_bytes()
    for position in range(8 * len(good)):
        bad = bytearray(good)
        bad[position // 8] ^= 1 << position % 8
        file.write_bytes(bad)
        with pytest.raises(ArtifactCorruptError, match=r"a\.txt: its SHA-256 differs"):
            open_directory(tmp_path / "x", kind="thing", max_version=1)
    file.write_bytes(good[:-1])
    with pytest.raises(ArtifactCorruptError, match="has 2 bytes, the manifest says 3"):
        open_directory(tmp_path / "x", kind="thing", max_version=1, verify=False)
    file.unlink()
    with pytest.raises(ArtifactCorruptError, match=r"a\.txt is missing"):
        open_directory(tmp_path / "x", kind="thing", max_version=1)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"kind": "thing"}', '{"kind": 1, "files": 2}'])
def test_a_damaged_manifest_is_named(tmp_path: Path, text: str) -> None:
    save(tmp_path / "x")
    (tmp_path / "x" / MANIFEST).write_text(text)
    with pytest.raises(ArtifactCorruptError, match="is not a manifest"):
        open_directory(tmp_path / "x", kind="thing", max_version=1)


def test_a_manifest_cannot_point_outside(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("abc")
    save(tmp_path / "x")
    manifest = json.loads((tmp_path / "x" / MANIFEST).read_text())
    manifest["files"] = {"../secret": {"size_bytes": 3, "sha256": ""}}
    (tmp_path / "x" / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ArtifactCorruptError, match="outside the directory"):
        open_directory(tmp_path / "x", kind="thing", max_version=1)


def test_a_half_done_replacement_is_undone(tmp_path: Path) -> None:
    save(tmp_path / "x")
    (tmp_path / "x").rename(tmp_path / ".x.previous")  # killed between the two renames
    assert read(tmp_path / "x") == "one"
    shutil.copytree(tmp_path / "x", tmp_path / ".x.previous")  # killed before the clean-up
    save(tmp_path / "x", "two")
    assert read(tmp_path / "x") == "two"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_kill_at_any_moment_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    program = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from emberline.artifacts import write_directory
        number = 0
        while True:
            with write_directory(sys.argv[1], kind="thing", version=1) as staging:
                (staging.path / "deep").mkdir()
                for name in ("a.txt", "b.txt"):
                    (staging.path / "deep" / name).write_text(str(number))
            number += 1
            print(number, flush=True)
        """
    )
    for delay_ms in range(10):
        with subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "x")], stdout=subprocess.PIPE
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline()  # at least one is complete
            time.sleep(delay_ms / 1000)
            child.send_signal(signal.SIGKILL)
        first = read(tmp_path / "x")
        assert (tmp_path / "x" / "deep" / "b.txt").read_text() == first


def test_every_error_is_ours_and_a_builtin() -> None:
    for error, builtin in (
        (ArtifactMissingError, FileNotFoundError),
        (ArtifactCorruptError, ValueError),
        (ArtifactVersionError, ValueError),
    ):
        assert issubclass(error, builtin)
        assert issubclass(error, EmberlineError)
    assert str(ArtifactMissingError("plain text")) == "plain text"
