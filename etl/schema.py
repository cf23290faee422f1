"""The contract between ETL, training and serving: which columns there are (stdlib only)."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from emberline.errors import (
    ArtifactCorruptError,
    ArtifactMissingError,
    ArtifactVersionError,
    DataError,
    nearest,
)
from emberline.etl.tags import Tags, normalize_tags

__all__ = ["SCHEMA_FILE", "SCHEMA_VERSION", "ColumnSchema", "Schema", "Tags"]

SCHEMA_FILE = "schema.json"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class ColumnSchema:
    """One column.

    Attributes:
        name: the column's name.
        dtype: the leaf dtype as NumPy and Merlin spell it: "int64", "float32", "string", "bool",
            "datetime64[us]", "date", "bytes", ...
        is_list: rows hold lists of `dtype`.
        is_ragged: the lists' lengths differ (True only with `is_list`).
        tags: `Tags`, or text of the user's own; given as any iterable.
        properties: JSON values, for example `domain` and `embedding_sizes` of Categorify.
    """

    name: str
    dtype: str = "int64"
    is_list: bool = False
    is_ragged: bool = False
    tags: frozenset[str] = frozenset()
    properties: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Check the arguments and normalize tags."""
        if not isinstance(self.name, str) or not self.name:
            raise DataError(f"a column name must be a non-empty string, got {self.name!r}")
        if not isinstance(self.dtype, str) or not self.dtype:
            raise DataError(f"column {self.name!r}: dtype must be text, got {self.dtype!r}")
        if self.is_ragged and not self.is_list:
            raise DataError(f"column {self.name!r} is ragged but not a list; set is_list=True")
        object.__setattr__(self, "tags", normalize_tags(self.tags))
        object.__setattr__(self, "properties", dict(self.properties))

    def with_name(self, name: str) -> "ColumnSchema":
        """Give the same column under another name."""
        return replace(self, name=name)

    def with_dtype(
        self, dtype: str, *, is_list: bool | None = None, is_ragged: bool | None = None
    ) -> "ColumnSchema":
        """Give the same column with another dtype; None keeps `is_list` or `is_ragged`."""
        return replace(
            self,
            dtype=dtype,
            is_list=self.is_list if is_list is None else is_list,
            is_ragged=self.is_ragged if is_ragged is None else is_ragged,
        )

    def with_tags(self, tags: Iterable[str]) -> "ColumnSchema":
        """Give the column with these tags added."""
        return replace(self, tags=self.tags | normalize_tags(tags))

    def with_properties(self, properties: Mapping[str, Any]) -> "ColumnSchema":
        """Give the column with these properties added or replaced."""
        return replace(self, properties={**self.properties, **properties})

    def to_dict(self) -> dict[str, Any]:
        """Give the column as JSON values."""
        return {
            "name": self.name,
            "dtype": self.dtype,
            "is_list": self.is_list,
            "is_ragged": self.is_ragged,
            "tags": sorted(str(tag) for tag in self.tags),
            "properties": dict(self.properties),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "ColumnSchema":
        """Rebuild a column from `to_dict`.

        Raises:
            ArtifactCorruptError: a key is missing or unknown, or a value has the wrong type.
        """
        kinds: dict[str, type] = {
            "name": str,
            "dtype": str,
            "is_list": bool,
            "is_ragged": bool,
            "tags": list,
            "properties": dict,
        }
        if not isinstance(data, Mapping) or set(data) != set(kinds):
            raise ArtifactCorruptError(
                f"a schema column must have exactly the keys {sorted(kinds)}, got {data!r}"
            )
        for key, kind in kinds.items():
            if not isinstance(data[key], kind):
                raise ArtifactCorruptError(
                    f"schema column {data['name']!r}: {key} must be {kind.__name__}, "
                    f"got {data[key]!r}"
                )
        try:
            return cls(**data)
        except (DataError, TypeError) as error:
            raise ArtifactCorruptError(f"schema column {data['name']!r}: {error}") from error


class Schema:
    """Columns in order, found by name.

    >>> schema = Schema([ColumnSchema("user", tags=["user_id"]), ColumnSchema("label", "float32")])
    >>> schema.names
    ['user', 'label']
    >>> schema.select_by_tag("id").names
    ['user']
    """

    def __init__(self, columns: Iterable[ColumnSchema | str] = ()) -> None:
        """Keep the columns in the order given; a string stands for a column of that name.

        Raises:
            DataError: two columns have one name.
        """
        self._columns: dict[str, ColumnSchema] = {}
        for item in columns:
            column = ColumnSchema(item) if isinstance(item, str) else item
            if column.name in self._columns:
                raise DataError(f"the schema has two columns named {column.name!r}")
            self._columns[column.name] = column

    @property
    def names(self) -> list[str]:
        """The column names in order."""
        return list(self._columns)

    def __iter__(self) -> Iterator[ColumnSchema]:
        return iter(self._columns.values())

    def __len__(self) -> int:
        return len(self._columns)

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __getitem__(self, name: str) -> ColumnSchema:
        """Give the column of this name.

        Raises:
            DataError: there is none; the message suggests the nearest.
        """
        if name not in self._columns:
            raise DataError(f"no column {name!r} in the schema{nearest(name, self._columns)}")
        return self._columns[name]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Schema):
            return NotImplemented
        return list(self) == list(other)

    def __hash__(self) -> int:
        return hash(tuple(self._columns))

    def __add__(self, other: "Schema") -> "Schema":
        """Join two schemas; a column in both must be the same in both.

        Raises:
            DataError: a name stands for two different columns.
        """
        columns = dict(self._columns)
        for column in other:
            if columns.setdefault(column.name, column) != column:
                raise DataError(f"column {column.name!r} differs between the two schemas")
        return Schema(columns.values())

    def __repr__(self) -> str:
        inner = ", ".join(f"{c.name}: {f'list[{c.dtype}]' if c.is_list else c.dtype}" for c in self)
        return f"Schema({inner})"

    def select(self, names: Iterable[str]) -> "Schema":
        """Give the named columns, in the order of `names`."""
        return Schema([self[name] for name in names])

    def select_by_tag(self, tags: str | Iterable[str]) -> "Schema":
        """Give the columns that have any of the tags, in the schema's order."""
        wanted = normalize_tags([tags] if isinstance(tags, str) else tags)
        return Schema([column for column in self if column.tags & wanted])

    def without(self, names: Iterable[str]) -> "Schema":
        """Give the other columns; names that do not exist are ignored."""
        dropped = set(names)
        return Schema([column for column in self if column.name not in dropped])

    def rename(self, names: Mapping[str, str] | Callable[[str], str]) -> "Schema":
        """Rename columns by a mapping (others keep their names) or a function of the name.

        Raises:
            DataError: a name of the mapping does not exist, or two columns get one name.
        """
        if isinstance(names, Mapping):
            for name in names:
                self[name]
            return Schema(
                [column.with_name(names.get(column.name, column.name)) for column in self]
            )
        return Schema([column.with_name(names(column.name)) for column in self])

    def to_dict(self) -> dict[str, Any]:
        """Give the schema as JSON values, with its format version."""
        return {"version": SCHEMA_VERSION, "columns": [column.to_dict() for column in self]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Schema":
        """Rebuild a schema from `to_dict`.

        Raises:
            ArtifactVersionError: a newer format version.
            ArtifactCorruptError: anything else that `to_dict` would not give.
        """
        if not isinstance(data, Mapping) or not isinstance(data.get("version"), int):
            raise ArtifactCorruptError("not a schema: no integer 'version'")
        if data["version"] > SCHEMA_VERSION:
            raise ArtifactVersionError(
                f"schema format version {data['version']} is newer than {SCHEMA_VERSION}, "
                "the newest this emberline reads; upgrade emberline"
            )
        if not isinstance(data.get("columns"), list):
            raise ArtifactCorruptError("not a schema: no list 'columns'")
        try:
            return cls([ColumnSchema.from_dict(column) for column in data["columns"]])
        except DataError as error:
            raise ArtifactCorruptError(str(error)) from error

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the schema as JSON to the file `path`."""
        Path(path).write_text(json.dumps(self.to_dict(), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Schema":
        """Read what `save` wrote; a directory stands for its `schema.json`.

        Raises:
            ArtifactMissingError: no such file.
            ArtifactVersionError: a newer format version.
            ArtifactCorruptError: not a schema.
        """
        file = Path(path) / SCHEMA_FILE if Path(path).is_dir() else Path(path)
        if not file.is_file():
            raise ArtifactMissingError(f"no schema at {file}: no such file")
        try:
            data = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ArtifactCorruptError(f"{file} is not JSON ({error})") from error
        try:
            return cls.from_dict(data)
        except (ArtifactCorruptError, ArtifactVersionError) as error:
            raise type(error)(f"{file}: {error}") from error
