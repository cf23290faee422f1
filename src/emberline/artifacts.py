"""Directories that are complete or absent (standard library only).

Data sets, workflows, models and checkpoints are all directories. One rule serves them all: the
files are written under a temporary name beside the target, `_manifest.json` (kind, format
version, size and SHA-256 of every file) comes last, then one rename makes the directory
appear. A directory without a manifest is an interrupted save and is never read.

An existing target is replaced: it is first renamed to a hidden name, and put back by the next
`recover` (called by every reader and writer) if the process died between the two renames. So
at every moment either the old or the new directory can be opened.
"""

import contextlib
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emberline.errors import ArtifactCorruptError, ArtifactMissingError, ArtifactVersionError

__all__ = [
    "MANIFEST",
    "Manifest",
    "Staging",
    "open_directory",
    "parse_manifest",
    "recover",
    "write_directory",
]

MANIFEST = "_manifest.json"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a complete directory says of itself.

    Attributes:
        kind: what the directory is, for example "workflow".
        version: the format version of that kind.
        files: relative POSIX path -> {"size_bytes": int, "sha256": hex}.
        info: what the writer noted (rows, settings); JSON.
    """

    kind: str
    version: int
    files: Mapping[str, Mapping[str, Any]]
    info: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Staging:
    """A directory being written: put files under `path`, notes for the manifest into `info`."""

    path: Path
    info: dict[str, Any]


def _hidden(path: Path, role: str) -> Path:
    return path.parent / f".{path.name}.{role}"


def recover(path: str | os.PathLike[str]) -> None:
    """Finish or undo a replacement that a killed process left half done at `path`."""
    target = Path(path)
    previous = _hidden(target, "previous")
    if not previous.is_dir():
        return
    if target.exists():
        shutil.rmtree(previous, ignore_errors=True)
    else:
        previous.rename(target)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def write_directory(
    path: str | os.PathLike[str],
    *,
    kind: str,
    version: int,
    info: Mapping[str, Any] | None = None,
) -> Iterator[Staging]:
    """Write a directory so that it appears complete at `path`, or not at all.

    On an error (a full disk, an exception of the caller) the temporary directory is removed and
    what was at `path` before stays untouched. After kill -9 the temporary directory stays under
    a hidden name and the next write to the same `path` removes it.

    Args:
        path: the directory to create; a complete or interrupted directory of ours there is
            replaced, anything else is refused.
        kind: what it is, checked again by `open_directory`.
        version: the format version of that kind.
        info: first notes for the manifest; `staging.info` can be changed until the end.

    Raises:
        FileExistsError: `path` exists and is not a directory that emberline wrote.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    recover(target)
    empty = target.is_dir() and not any(target.iterdir())
    if target.exists() and not empty and not (target / MANIFEST).is_file():
        raise FileExistsError(
            f"{target} exists and holds no {MANIFEST}: not a directory that emberline wrote; "
            "remove it or choose another path"
        )
    for stale in target.parent.glob(f".{target.name}.writing-*"):
        shutil.rmtree(stale, ignore_errors=True)
    temporary = _hidden(target, f"writing-{uuid.uuid4().hex[:8]}")
    temporary.mkdir()
    staging = Staging(temporary, dict(info or {}))
    try:
        yield staging
        files: dict[str, dict[str, Any]] = {}
        for file in sorted(p for p in temporary.rglob("*") if p.is_file()):
            _fsync(file)
            name = file.relative_to(temporary).as_posix()
            files[name] = {"size_bytes": file.stat().st_size, "sha256": _sha256(file)}
        manifest = {"kind": kind, "version": version, "info": staging.info, "files": files}
        (temporary / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
        _fsync(temporary / MANIFEST)
        if target.exists():
            target.rename(_hidden(target, "previous"))
        temporary.rename(target)
        _fsync(target.parent)
        recover(target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        recover(target)
        raise


def open_directory(
    path: str | os.PathLike[str], *, kind: str, max_version: int, verify: bool = True
) -> Manifest:
    """Check that `path` is a complete directory of this kind before anything in it is parsed.

    Args:
        path: the directory.
        kind: the kind it must have.
        max_version: the newest format version that the caller reads.
        verify: also compare every file's SHA-256 (sizes are always compared).

    Raises:
        ArtifactMissingError: no directory, or no manifest (an interrupted save).
        ArtifactVersionError: another kind, or a newer format version.
        ArtifactCorruptError: a file is missing, has another size or another checksum.
    """
    target = Path(path)
    recover(target)
    file = target / MANIFEST
    if not target.is_dir():
        raise ArtifactMissingError(f"no {kind} at {target}: no such directory")
    if not file.is_file():
        raise ArtifactMissingError(
            f"no complete {kind} at {target}: {MANIFEST} is missing (an interrupted save?)"
        )
    manifest = parse_manifest(file.read_bytes(), str(target), kind=kind, max_version=max_version)
    for name, entry in manifest.files.items():
        _check_file(target, name, entry, verify=verify)
    return manifest


def parse_manifest(data: bytes, directory: str, *, kind: str, max_version: int) -> Manifest:
    """Read a manifest's text, wherever its directory is; the files are for the caller to check.

    Args:
        data: the text.
        directory: named in messages.
        kind: the kind it must have.
        max_version: the newest format version that the caller reads.

    Raises:
        ArtifactVersionError: another kind, or a newer format version.
        ArtifactCorruptError: not a manifest.
    """
    try:
        raw = json.loads(data)
        manifest = Manifest(
            kind=str(raw["kind"]),
            version=int(raw["version"]),
            files={str(k): dict(v) for k, v in raw["files"].items()},
            info=dict(raw["info"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactCorruptError(
            f"{directory}/{MANIFEST} is not a manifest ({error}); restore the directory"
        ) from error
    if manifest.kind != kind:
        raise ArtifactVersionError(f"{directory} holds a {manifest.kind}, expected a {kind}")
    if manifest.version > max_version:
        raise ArtifactVersionError(
            f"{directory}: {kind} format version {manifest.version} is newer than {max_version}, "
            "the newest this emberline reads; upgrade emberline"
        )
    return manifest


def _check_file(root: Path, name: str, entry: Mapping[str, Any], *, verify: bool) -> None:
    file = root / name
    if not file.resolve().is_relative_to(root.resolve()):
        raise ArtifactCorruptError(f"{root / MANIFEST} names {name!r}, outside the directory")
    if not file.is_file():
        raise ArtifactCorruptError(f"{file} is missing; restore the directory")
    size = file.stat().st_size
    if size != entry.get("size_bytes"):
        raise ArtifactCorruptError(
            f"{file} has {size} bytes, the manifest says {entry.get('size_bytes')}; "
            "restore the directory"
        )
    if verify and _sha256(file) != entry.get("sha256"):
        raise ArtifactCorruptError(
            f"{file}: its SHA-256 differs from the manifest's (a changed or damaged file); "
            "restore the directory"
        )
