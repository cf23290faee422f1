"""The two files of a MovieLens archive, extracted once and complete."""

import shutil
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from emberline.artifacts import MANIFEST, open_directory, write_directory
from emberline.errors import ArtifactError, DataError
from emberline.etl.datasets.errors import MovieLensMissingError

__all__ = ["extract_archive"]

_KIND, _VERSION = "raw-movielens", 1


def extract_archive(archive: Path, layouts: tuple[str, ...], cache_dir: Path) -> Path:
    """Extract ratings and movies to `cache_dir / <stem of the archive>`.

    What is there already is used again: files that came from an archive with the same checksums, or
    files of the same sizes that someone unpacked by hand.

    Args:
        archive: the `.zip`.
        layouts: file endings to look for, the preferred first.
        cache_dir: created where absent.

    Returns:
        The folder with the two files.

    Raises:
        MovieLensMissingError: the archive does not hold both files.
        DataError: a damaged archive, or another folder is in the way.
    """
    folder = cache_dir / archive.stem
    try:
        with zipfile.ZipFile(archive) as opened:
            members = _members(archive, opened, layouts)
            if _is_extracted(folder, members):
                return folder
            checksums = {name: member.CRC for name, member in members.items()}
            with write_directory(
                folder, kind=_KIND, version=_VERSION, info={"crc32": checksums}
            ) as staging:
                for name, member in members.items():
                    # Copied under our own name: a member's path is never followed. Reading to the
                    # end makes zipfile compare the checksum.
                    with opened.open(member) as source, (staging.path / name).open("wb") as target:
                        shutil.copyfileobj(source, target, 1 << 20)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DataError(f"{archive} is damaged ({error}); download it again") from error
    except FileExistsError as error:
        raise DataError(
            f"cannot extract {archive}: {folder} exists and holds other files; remove it or give "
            "another cache_dir"
        ) from error
    return folder


def _members(
    archive: Path, opened: zipfile.ZipFile, layouts: tuple[str, ...]
) -> dict[str, zipfile.ZipInfo]:
    by_path = {PurePosixPath(m.filename): m for m in opened.infolist() if not m.is_dir()}
    for layout in layouts:
        names = (f"ratings.{layout}", f"movies.{layout}")
        for path in by_path:
            if path.name == names[0] and path.with_name(names[1]) in by_path:
                return {name: by_path[path.with_name(name)] for name in names}
    looked = " or ".join(f"ratings.{layout} + movies.{layout}" for layout in layouts)
    raise MovieLensMissingError(
        f"{archive} holds no MovieLens files; looked for {looked}, found "
        f"{', '.join(sorted(map(str, by_path))[:10]) or 'nothing'}"
    )


def _is_extracted(folder: Path, members: dict[str, zipfile.ZipInfo]) -> bool:
    if (folder / MANIFEST).is_file():
        try:
            manifest = open_directory(folder, kind=_KIND, max_version=_VERSION, verify=False)
        except ArtifactError:
            return False
        return manifest.info.get("crc32") == {name: m.CRC for name, m in members.items()}
    return all(
        (folder / name).is_file() and (folder / name).stat().st_size == member.file_size
        for name, member in members.items()
    )
