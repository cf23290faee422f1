"""The files by which Merlin's tools recognise a parquet data set.

The schema is a tensorflow-metadata `Schema` message: as JSON in `.merlin/schema.json` and as
protobuf text in `schema.pbtxt`. Format as merlin-core 23.08 writes and reads it.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from emberline.etl.schema import ColumnSchema, Schema

__all__ = ["merlin_json", "merlin_pbtxt", "write_merlin_files"]

_BITS = ("64", "32", "16", "8")


def write_merlin_files(directory: Path, parts: Sequence[Path], schema: Schema) -> int:
    """Write `_metadata`, `_metadata.json`, `_file_list.txt`, `.merlin/` and `schema.pbtxt`.

    Args:
        directory: the data set directory.
        parts: its parquet files, complete, at least one.
        schema: its columns.

    Returns:
        The number of rows.
    """
    footers = []
    for part in parts:
        footer = pq.read_metadata(part)
        footer.set_file_path(part.relative_to(directory).as_posix())
        footers.append(footer)
    listed = [part.relative_to(directory).as_posix() for part in parts]
    counts = [footer.num_rows for footer in footers]
    text = json.dumps(_statistics(listed, counts, schema), indent=1)
    (directory / "_metadata.json").write_text(text + "\n", encoding="utf-8")
    for footer in footers[1:]:
        footers[0].append_row_groups(footer)
    footers[0].write_metadata_file(directory / "_metadata")
    names = "\n".join(listed)
    (directory / "_file_list.txt").write_text(f"{len(parts)}\n{names}\n", encoding="utf-8")
    (directory / ".merlin").mkdir()
    text = json.dumps(merlin_json(schema))
    (directory / ".merlin" / "schema.json").write_text(text, encoding="utf-8")
    (directory / "schema.pbtxt").write_text(merlin_pbtxt(schema), encoding="utf-8")
    return int(sum(counts))


def _statistics(names: Sequence[str], rows: Sequence[int], schema: Schema) -> dict[str, Any]:
    """Give `_metadata.json`: each file's rows, and the columns of each role by position."""
    out: dict[str, Any] = {
        "file_stats": [
            {"file_name": name, "num_rows": count} for name, count in zip(names, rows, strict=True)
        ]
    }
    for key, tag in (("cats", "categorical"), ("conts", "continuous"), ("labels", "target")):
        out[key] = [
            {"col_name": column.name, "index": i}
            for i, column in enumerate(schema)
            if tag in column.tags
        ]
    return out


def _type(column: ColumnSchema) -> str | None:
    if column.dtype.startswith(("int", "uint")):
        return "INT"
    return "FLOAT" if column.dtype.startswith("float") else None


def _value_count(column: ColumnSchema) -> dict[str, int] | None:
    if not column.is_list:
        return None
    count = column.properties.get("value_count") or {}
    # Zero and None are left out, as protobuf leaves defaults out.
    return {key: int(count[key]) for key in ("min", "max") if count.get(key)}


def _domain(column: ColumnSchema) -> dict[str, Any] | None:
    domain = column.properties.get("domain")
    if not isinstance(domain, Mapping) or _type(column) != "INT":
        return None
    out: dict[str, Any] = {"name": str(domain.get("name", column.name))}
    out |= {key: int(domain[key]) for key in ("min", "max") if domain.get(key)}
    return out | ({"is_categorical": True} if "categorical" in column.tags else {})


def _extra(column: ColumnSchema) -> dict[str, Any]:
    """Give what tensorflow-metadata has no field for; Merlin rebuilds dtype and shape from it."""
    extra: dict[str, Any] = {
        key: value
        for key, value in column.properties.items()
        if key not in {"domain", "value_count"}
    }
    dims: list[Any] = []
    if column.is_list:
        count = _value_count(column) or {}
        fixed = not column.is_ragged and count.get("max")
        dims = [[0, None], count["max"] if fixed else [count.get("min", 0), count.get("max")]]
    extra |= {"is_list": column.is_list, "is_ragged": column.is_ragged, "_dims": dims}
    if _type(column) or column.dtype.startswith("datetime64"):
        bits = next((b for b in _BITS if column.dtype.endswith(b)), "64")
        extra["dtype_item_size"] = int(bits)
    return extra


def merlin_json(schema: Schema) -> dict[str, Any]:
    """Give the schema as tensorflow-metadata's JSON (camelCase, 64-bit integers as text)."""
    features = []
    for column in schema:
        feature: dict[str, Any] = {"name": column.name}
        count, domain = _value_count(column), _domain(column)
        if count is not None:
            feature["valueCount"] = {key: str(value) for key, value in count.items()}
        if _type(column):
            feature["type"] = _type(column)
        if domain is not None:
            feature["intDomain"] = {
                "isCategorical" if key == "is_categorical" else key: value
                if isinstance(value, (bool, str))
                else str(value)
                for key, value in domain.items()
            }
        annotation: dict[str, Any] = {"extraMetadata": [_extra(column)]}
        if column.tags:
            annotation = {"tag": sorted(str(tag) for tag in column.tags)} | annotation
        features.append(feature | {"annotation": annotation})
    return {"feature": features}


def merlin_pbtxt(schema: Schema) -> str:
    """Give the schema as protobuf text; the extra metadata is a binary Struct in an Any."""
    lines: list[str] = []
    for column in schema:
        count, domain = _value_count(column), _domain(column)
        lines += ["feature {", f"  name: {_quote(column.name.encode())}"]
        if count is not None:
            lines += ["  value_count {", *(f"    {k}: {v}" for k, v in count.items()), "  }"]
        if _type(column):
            lines += [f"  type: {_type(column)}"]
        if domain is not None:
            shown = (
                f"    {k}: {_quote(v.encode()) if isinstance(v, str) else str(v).lower()}"
                for k, v in domain.items()
            )
            lines += ["  int_domain {", *shown, "  }"]
        lines += ["  annotation {"]
        lines += [f"    tag: {_quote(str(tag).encode())}" for tag in sorted(column.tags)]
        lines += [
            "    extra_metadata {",
            '      type_url: "type.googleapis.com/google.protobuf.Struct"',
            f"      value: {_quote(_struct(_extra(column)))}",
            "    }",
            "  }",
            "}",
        ]
    return "\n".join([*lines, ""])


def _quote(data: bytes) -> str:
    printable = {9: "\\t", 10: "\\n", 13: "\\r", 34: '\\"', 92: "\\\\"}
    return (
        '"'
        + "".join(printable.get(b) or (chr(b) if 32 <= b < 127 else f"\\{b:03o}") for b in data)
        + '"'
    )


def _field(number: int, payload: bytes) -> bytes:
    """Encode a length-delimited protobuf field."""
    return bytes([number << 3 | 2]) + _varint(len(payload)) + payload


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _struct(fields: Mapping[str, Any]) -> bytes:
    """Encode google.protobuf.Struct: map<string, Value> fields = 1."""
    return b"".join(
        _field(1, _field(1, str(key).encode()) + _field(2, _value(value)))
        for key, value in fields.items()
    )


def _value(value: Any) -> bytes:
    """Encode google.protobuf.Value: null 1, number 2, string 3, bool 4, struct 5, list 6."""
    if value is None:
        return b"\x08\x00"
    if isinstance(value, bool):
        return bytes([0x20, value])
    if isinstance(value, (int, float)):
        return b"\x11" + struct.pack("<d", value)
    if isinstance(value, Mapping):
        return _field(5, _struct(value))
    if isinstance(value, (list, tuple)):
        return _field(6, b"".join(_field(1, _value(item)) for item in value))
    return _field(3, str(value).encode())
