"""Reading the schema files of Merlin: `.merlin/schema.json` and `schema.pbtxt`.

Both hold a tensorflow-metadata `Schema` message. What it says of columns that a data set has
(tags, properties, domains, list lengths) is taken; dtypes are those of the files.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from emberline.errors import ArtifactCorruptError, EmberlineError
from emberline.etl.protobuf_text import parse_protobuf_text, parse_struct
from emberline.etl.schema import ColumnSchema, Schema

__all__ = ["schema_from_merlin_json", "schema_from_pbtxt", "stored_merlin_schema"]

_DTYPES = {"INT": "int64", "FLOAT": "float32", "BYTES": "string"}
_DTYPE_NUMBERS = {"1": "BYTES", "2": "INT", "3": "FLOAT"}
#: What Merlin writes into the extra metadata to rebuild dtypes; not the user's properties.
_INTERNAL = {"is_list", "is_ragged", "_dims", "dtype_item_size"}
_STRUCT = "google.protobuf.Struct"


def stored_merlin_schema(read: Callable[[str], bytes | None], *, where: str) -> Schema | None:
    """Give the schema that lies beside data files, or None.

    Args:
        read: gives the content of a file of the directory, or None.
        where: the directory, for messages.

    Raises:
        ArtifactCorruptError: a file that is no schema; remove it to go by the data alone.
    """
    for name, parse in (
        (".merlin/schema.json", schema_from_merlin_json),
        ("schema.pbtxt", schema_from_pbtxt),
    ):
        content = read(name)
        if content is None:
            continue
        try:
            return parse(content.decode())
        except (ValueError, KeyError, TypeError, AttributeError, EmberlineError) as error:
            raise ArtifactCorruptError(
                f"{where}/{name} is not a schema ({error}); restore or remove it"
            ) from error
    return None


def schema_from_merlin_json(text: str) -> Schema:
    """Read tensorflow-metadata's JSON; 64-bit integers may be text, keys camelCase or not.

    Raises:
        ValueError, KeyError, TypeError: something else.
    """
    content = json.loads(text)
    if not isinstance(content, dict):
        raise TypeError("not a JSON object")
    return Schema([_column(_snake(feature)) for feature in content.get("feature", [])])


def schema_from_pbtxt(text: str) -> Schema:
    """Read protobuf text; fields that say nothing about columns are skipped.

    Raises:
        ValueError: not protobuf text (the line is named).

    >>> schema_from_pbtxt('feature { name: "a" type: INT annotation { tag: "user" } }')["a"].tags
    frozenset({<Tags.USER: 'user'>})
    """
    message = parse_protobuf_text(text)
    return Schema([_column(_single(feature)) for feature in message.get("feature", [])])


def _snake(feature: Mapping[str, Any]) -> dict[str, Any]:
    """Give a JSON feature with the names of the fields in protobuf text."""
    names = {"valueCount": "value_count", "intDomain": "int_domain", "floatDomain": "float_domain"}
    out = {names.get(key, key): value for key, value in feature.items()}
    annotation = dict(out.get("annotation", {}))
    extra = annotation.pop("extraMetadata", annotation.pop("extra_metadata", []))
    tags = annotation.get("tag", [])
    return {**out, "tags": tags, "extra": dict(extra[0]) if extra else {}}


def _single(feature: Mapping[str, list[Any]]) -> dict[str, Any]:
    """Give a feature of protobuf text with one value for each field, as JSON has."""
    out = {key: _flat(values[-1]) for key, values in feature.items()}
    annotation = feature.get("annotation", [{}])[-1]
    extra: dict[str, Any] = {}
    for item in annotation.get("extra_metadata", []):
        if not str(item.get("type_url", [""])[-1]).endswith(_STRUCT):
            continue
        if "expanded" in item:
            extra |= _written_out(item["expanded"][-1])
        elif "value" in item:
            extra |= parse_struct(item["value"][-1].encode("latin-1"))
    tags = [_text(tag) for tag in annotation.get("tag", [])]
    return {**out, "tags": tags, "extra": extra}


def _written_out(message: Mapping[str, list[Any]]) -> dict[str, Any]:
    """Read a Struct that is spelled field by field."""
    entries = message.get("fields", [])
    return {_text(e["key"][-1]): _written_value(e["value"][-1]) for e in entries}


def _written_value(value: Mapping[str, list[Any]]) -> Any:
    for kind, items in value.items():
        if kind == "number_value":
            return float(items[-1])
        if kind == "bool_value":
            return items[-1] in ("true", "True", "t", "1")
        if kind == "string_value":
            return _text(items[-1])
        if kind == "struct_value":
            return _written_out(items[-1])
        if kind == "list_value":
            return [_written_value(item) for item in items[-1].get("values", [])]
    return None


def _flat(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _flat(values[-1]) for key, values in value.items() if values}
    return _text(value)


def _text(value: Any) -> str:
    """Give what the bytes of a string spell; `parse_protobuf_text` has one a character."""
    try:
        return str(value).encode("latin-1").decode()
    except UnicodeError:
        return str(value)


def _column(feature: Mapping[str, Any]) -> ColumnSchema:
    name = str(feature["name"])
    extra = dict(feature["extra"])
    kind = str(feature.get("type", "BYTES"))
    kind = _DTYPE_NUMBERS.get(kind, kind)
    dtype = _DTYPES.get(kind, "string")
    if (size := extra.get("dtype_item_size")) and kind in ("INT", "FLOAT"):
        dtype = f"{kind.lower()}{int(size)}"
    properties: dict[str, Any] = {
        key: _whole(value) for key, value in extra.items() if key not in _INTERNAL
    }
    count = feature.get("value_count")
    if isinstance(count, Mapping):
        properties["value_count"] = {
            "min": int(count.get("min", 0)),
            "max": int(count["max"]) if count.get("max") else None,
        }
    domain = feature.get("int_domain")
    if isinstance(domain, Mapping):
        properties["domain"] = {
            "min": int(domain.get("min", 0)),
            "max": int(domain.get("max", 0)),
            "name": str(domain.get("name", name)),
        }
    is_list = bool(extra.get("is_list", isinstance(count, Mapping)))
    ragged = bool(extra.get("is_ragged", is_list and _varies(properties.get("value_count"))))
    return ColumnSchema(
        name,
        dtype,
        is_list=is_list,
        is_ragged=is_list and ragged,
        tags=frozenset(str(tag) for tag in feature["tags"]),
        properties=properties,
    )


def _varies(count: Mapping[str, Any] | None) -> bool:
    return not count or count["min"] != count["max"]


def _whole(value: Any) -> Any:
    """Give numbers without a fraction as integers: protobuf's Struct knows floats alone."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    return [_whole(item) for item in value] if isinstance(value, list) else value
