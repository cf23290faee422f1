"""What the files of a data set lack for fast loading."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from emberline.etl.source import Source

__all__ = ["faults"]


def faults(
    source: Source | None, *, require_metadata_file: bool, row_group_max: int, file_min: int
) -> list[str]:
    """Give a sentence for each fault, none for files that suit the loader.

    Args:
        source: the files, or None for a frame.
        require_metadata_file: whether `_metadata` must lie beside them.
        row_group_max: bytes, uncompressed, of the largest row group.
        file_min: bytes of the smallest file.
    """
    if source is None or source.remote is not None or source.engine != "parquet":
        return ["the data set is no local parquet files; write it with to_parquet"]
    found = []
    folders = {file.parent for file in source.paths}
    if require_metadata_file and not any((folder / "_metadata").is_file() for folder in folders):
        found.append(f"{source.paths[0].parent} has no _metadata; write it with to_parquet")
    for file in source.paths:
        found += _file_faults(file, row_group_max, file_min)
    return found


def _file_faults(file: Path, row_group_max: int, file_min: int) -> list[str]:
    try:
        footer = pq.read_metadata(file)
    except (pa.ArrowException, OSError) as error:
        return [f"{file} cannot be read ({error})"]
    found = []
    size = file.stat().st_size
    if size < file_min:
        found.append(f"{file} has {size} bytes, fewer than {file_min}; write fewer files")
    groups = [footer.row_group(i).total_byte_size for i in range(footer.num_row_groups)]
    if groups and max(groups) > row_group_max:
        found.append(
            f"{file} has a row group of {max(groups)} bytes, more than {row_group_max}; write it "
            "with a smaller row_group_size"
        )
    return found
