"""Which columns Categorify encodes with which vocabulary."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from emberline.errors import DataError
from emberline.etl.dtypes import parse_dtype
from emberline.etl.errors import ColumnTypeError
from emberline.etl.keys import shared_key_dtype
from emberline.etl.selection import Selection

__all__ = ["EncodeType", "Encoding", "encodings_of"]

EncodeType = Literal["joint", "combo"]


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """One vocabulary and its columns.

    Attributes:
        name: of the vocabulary: the column, or the names of the group joined.
        columns: the input columns.
        combo: the columns together make one output, called `name`; otherwise each makes its own.
    """

    name: str
    columns: tuple[str, ...]
    combo: bool = False

    @property
    def labels(self) -> tuple[str, ...]:
        """What the parts of a category are called: the columns of a combination, or the name."""
        return self.columns if self.combo else (self.name,)

    def key_dtypes(self, selection: Selection) -> list[pl.DataType]:
        """Give the dtypes of the keys: one for each label.

        Raises:
            ColumnTypeError: columns that share a vocabulary have dtypes that no dtype holds, or
                a combination has a list column.
        """
        if not self.combo:
            return [self._shared_dtype(selection)]
        for column in self.columns:
            if selection.schema[column].is_list:
                raise ColumnTypeError(
                    f"Categorify: column {column!r} holds lists; combinations are made of scalars. "
                    f"Take it out of {self.name!r}, or encode it with encode_type='joint'"
                )
        return [parse_dtype(selection.schema[c].dtype, column=c) for c in self.columns]

    def _shared_dtype(self, selection: Selection) -> pl.DataType:
        found: pl.DataType = pl.Null()
        owner = ""
        for column in self.columns:
            leaf = parse_dtype(selection.schema[column].dtype, column=column)
            both = shared_key_dtype(found, leaf)
            if both is None:
                raise ColumnTypeError(
                    f"Categorify: columns {owner!r} ({found}) and {column!r} ({leaf}) are encoded "
                    f"jointly as {self.name!r} and need one dtype; cast one of them before"
                )
            if both != found:
                found, owner = both, column
        return found


def encodings_of(selection: Selection, encode_type: EncodeType, sep: str) -> list[Encoding]:
    """Give the encodings of a selection, those of groups first.

    Args:
        selection: the columns and groups.
        encode_type: "joint": the columns of a group share a vocabulary, also those that are
            selected alone as well. "combo": a group is one output, and a column is encoded by
            itself where it is selected alone.
        sep: joins the names of a group.

    Raises:
        DataError: two encodings have one name, or a column would have two joint vocabularies.
    """
    combo = encode_type == "combo"
    groups = selection.groups if combo else (*selection.groups, *selection.broken_groups)
    out = [Encoding(name=sep.join(group), columns=group, combo=combo) for group in groups]
    grouped = [column for group in groups for column in group]
    if not combo:
        for column in grouped:
            if grouped.count(column) > 1:
                raise DataError(f"column {column!r} is in two groups; a column has one vocabulary")
    alone = selection.alone if combo else [n for n in selection.names if n not in grouped]
    out += [Encoding(name=column, columns=(column,)) for column in alone]
    _check_names(out, selection)
    return out


def _check_names(encodings: Sequence[Encoding], selection: Selection) -> None:
    names = [encoding.name for encoding in encodings]
    for encoding in encodings:
        single = encoding.columns == (encoding.name,)
        if encoding.name in selection.schema and not single:
            raise DataError(
                f"Categorify: the joint name of a group is {encoding.name!r}, which is also a "
                "column; choose another name_sep"
            )
        if names.count(encoding.name) > 1:
            raise DataError(
                f"Categorify: two groups have the joint name {encoding.name!r}; choose another "
                "name_sep"
            )
