"""How a data set directory is to be written."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from emberline.errors import DataError, nearest
from emberline.etl.errors import ColumnNotFoundError, UnsupportedError
from emberline.etl.schema import Schema
from emberline.etl.tags import Tags

__all__ = [
    "DATASET_KIND",
    "DATASET_VERSION",
    "FILE_LIST",
    "ROW_GROUP_SIZE",
    "Compression",
    "WriteOptions",
    "file_names",
    "tagged",
]

DATASET_KIND = "dataset"
DATASET_VERSION = 1
#: Names the parts in order, after a line with their number.
FILE_LIST = "_file_list.txt"
#: Rows of a row group: small enough to shuffle windows of several, large enough to decode fast.
ROW_GROUP_SIZE = 65_536

Compression = Literal["zstd", "snappy", "lz4", "uncompressed"]
_COMPRESSIONS = get_args(Compression)


@dataclass(frozen=True, kw_only=True)
class WriteOptions:
    """Checked arguments of `Dataset.to_parquet`.

    Attributes:
        shuffle: None keeps the row order; an integer is the seed of a full shuffle.
        row_group_size: rows of every row group but the last of a file.
        files: the names of the files that share the rows evenly, in order.
        partition_on: columns whose values become directories.
        preserve_files: one output file for each input file, of the same name.
        suffix: of `part_N` and preserved names.
        compression: of the parquet pages.
        bucket_rows: rows that a shuffle sorts in memory at a time; None: `BUCKET_ROWS`.
    """

    shuffle: int | None = None
    row_group_size: int = ROW_GROUP_SIZE
    files: tuple[str, ...] = ("part_0.parquet",)
    partition_on: tuple[str, ...] = ()
    preserve_files: bool = False
    suffix: str = ".parquet"
    compression: Compression = "zstd"
    bucket_rows: int | None = None

    def __post_init__(self) -> None:
        """Check the values against each other.

        Raises:
            DataError: what does not fit; says why.
        """
        _positive("row_group_size", self.row_group_size)
        if self.compression not in _COMPRESSIONS:
            raise DataError(
                f"compression {self.compression!r} is unknown"
                f"{nearest(str(self.compression), _COMPRESSIONS)}"
            )
        if not self.suffix.endswith(".parquet") or "/" in self.suffix:
            raise DataError(f"suffix must end in '.parquet', got {self.suffix!r}")
        for name in self.files:
            if "/" in name or name.startswith((".", "_")):
                raise DataError(
                    f"output_files: {name!r} must be a plain file name (hidden and "
                    "underscored names are the directory's own)"
                )
        if len(set(self.files)) != len(self.files):
            raise DataError(f"output_files names a file twice: {list(self.files)}")
        if self.preserve_files and (self.shuffle is not None or self.partition_on):
            raise DataError(
                "preserve_files keeps every row in the file it came from; it cannot be combined "
                "with shuffle or partition_on"
            )
        if self.partition_on and len(self.files) > 1:
            raise DataError("partition_on writes one file for each value; leave output_files out")


def file_names(
    output_files: Any, out_files_per_proc: Any, *, suffix: str, default: int
) -> tuple[str, ...]:
    """Give the names of the files.

    Args:
        output_files: their number, or a list of names (`suffix` is added where it is missing).
        out_files_per_proc: NVTabular's name for the number in each process; there is one process.
        suffix: of the files.
        default: their number if neither is given.

    Raises:
        DataError: something else.
        UnsupportedError: a mapping of names to partitions.
    """
    given = output_files if output_files is not None else out_files_per_proc
    if isinstance(given, dict):
        raise UnsupportedError("output_files={name: partitions} is not offered; give a list")
    if isinstance(given, (list, tuple)) and given and all(isinstance(n, str) for n in given):
        return tuple(n if n.endswith(".parquet") else n + suffix for n in given)
    name = "output_files" if output_files is not None else "out_files_per_proc"
    count = default if given is None else _positive(name, given)
    return tuple(f"part_{i}{suffix}" for i in range(count))


def _positive(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise DataError(f"{name} must be a positive integer, got {value!r}")
    return value


def tagged(
    schema: Schema,
    *,
    cats: Sequence[str] | None,
    conts: Sequence[str] | None,
    labels: Sequence[str] | None,
) -> Schema:
    """Give the schema with the tags that `to_parquet`'s lists of columns mean.

    Raises:
        ColumnNotFoundError: a column that is not there.
    """
    for argument, names, tag in (
        ("cats", cats, Tags.CATEGORICAL),
        ("conts", conts, Tags.CONTINUOUS),
        ("labels", labels, Tags.TARGET),
    ):
        for name in names or ():
            if name not in schema:
                raise ColumnNotFoundError(
                    f"{argument}: no column {name!r}{nearest(name, schema.names)}"
                )
        chosen = set(names or ())
        schema = Schema([c.with_tags([tag]) if c.name in chosen else c for c in schema])
    return schema
