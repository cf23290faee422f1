"""Reading the schema files that Merlin and tensorflow-metadata write."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emberline.etl.merlin_files import merlin_json, merlin_pbtxt
from emberline.etl.merlin_schema import schema_from_merlin_json, schema_from_pbtxt
from emberline.etl.protobuf_text import parse_protobuf_text, parse_struct
from emberline.etl.schema import ColumnSchema, Schema
from emberline.etl.tags import Tags

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**50), 2**50) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
COLUMNS = st.builds(
    ColumnSchema,
    name=st.text(min_size=1, max_size=6),
    dtype=st.sampled_from(["int8", "int64", "float32", "float64", "string"]),
    is_list=st.just(True),
    is_ragged=st.booleans(),
    tags=st.sets(st.sampled_from([*Tags, "mine", "ö"])),
    properties=st.dictionaries(st.sampled_from(["a", "ß", "c d"]), VALUES),
)


@given(st.lists(COLUMNS, unique_by=lambda column: column.name, max_size=4))
def test_what_we_write_is_what_we_read(columns: list[ColumnSchema]) -> None:
    schema = Schema(columns)
    text = merlin_pbtxt(schema)
    for read in (
        schema_from_pbtxt(text),
        schema_from_merlin_json(json.dumps(merlin_json(schema))),
    ):
        assert read.names == schema.names
        for one, other in zip(read, schema, strict=True):
            assert (one.dtype, one.is_list, one.is_ragged, one.tags) == (
                other.dtype,
                other.is_list,
                other.is_ragged,
                other.tags,
            )
            properties = {k: v for k, v in one.properties.items() if k != "value_count"}
            assert properties == other.properties


BY_HAND = """
# A schema of TensorFlow Data Validation, with what we do not use.
feature {
  name: 'user' type: INT
  presence { min_fraction: 1.0 min_count: 1 }
  shape { dim { size: 1 } }
  int_domain { name: "user" min: 1 max: 99 is_categorical: true }
  annotation { tag: ["user", "id"], comment: "two " 'strings' }
};
feature <
  name: "genres" value_count { min: 1 max: 3 } type: 1
  annotation: {
    extra_metadata: {
      [type.googleapis.com/google.protobuf.Struct] {
        fields { key: "weight" value { number_value: -2 } }
        fields { key: "why" value { list_value { values { string_value: "\\303\\251" }
                                                 values { bool_value: true }
                                                 values { null_value: NULL_VALUE } } } }
        fields { key: "deep" value { struct_value { fields { key: "x" value { number_value: 0.5 } } } } }
      }
    }
  }
>
string_domain { name: "words" value: "a" value: "b" }
default_environment: "SERVING"
"""


def test_a_schema_by_hand() -> None:
    schema = schema_from_pbtxt(BY_HAND)
    user, genres = schema
    assert (user.name, user.dtype) == ("user", "int64")
    assert user.tags == {"user", "id"}
    assert user.properties["domain"] == {"min": 1, "max": 99, "name": "user"}
    assert (genres.dtype, genres.is_list, genres.is_ragged) == ("string", True, True)
    assert genres.properties["value_count"] == {"min": 1, "max": 3}
    assert genres.properties["weight"] == -2
    assert genres.properties["why"] == ["é", True, None]
    assert genres.properties["deep"] == {"x": 0.5}
    assert schema_from_pbtxt("").names == []


def test_text_of_merlin_core() -> None:
    # As merlin-core 23.08 wrote an int8 column: the Struct is binary, its map in another order.
    text = (
        'feature {\n  name: "i8"\n  type: INT\n  annotation {\n    tag: "context"\n'
        '    extra_metadata {\n      type_url: "type.googleapis.com/google.protobuf.Struct"\n'
        r'      value: "\n\r\n\007is_list\022\002 \000\n\017\n\tis_ragged\022\002 \000\n\013\n\005_dims'
        r'\022\0022\000\n\034\n\017dtype_item_size\022\t\021\000\000\000\000\000\000 @"'
        "\n    }\n  }\n}\n"
    )
    assert list(schema_from_pbtxt(text)) == [
        ColumnSchema("i8", "int8", tags=frozenset({"context"}))
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("feature {", "line 1: a message is not closed with '}'"),
        ("feature }", "line 1: expected ':' or a message after 'feature'"),
        ('\n\nname: "a', "line 3: unexpected"),
        ("a: [1 2]", "the list of 'a' is not closed"),
        ("a: }", "expected a value, got '}'"),
        (": 1", "expected a field name"),
        ("a {" * 100, "nested more than 64 deep"),
    ],
)
def test_text_that_is_none(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_protobuf_text(text)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_struct_or_refused(data: bytes) -> None:
    # Errors that `stored_merlin_schema` turns into an ArtifactCorruptError.
    with contextlib.suppress(ValueError, TypeError, AttributeError):
        assert isinstance(parse_struct(data), dict)


@given(st.text(max_size=60))
def test_any_text_is_a_message_or_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(parse_protobuf_text(text), dict)
