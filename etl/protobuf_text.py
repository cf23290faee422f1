"""A reader of protobuf's text format, without message definitions (standard library only).

Source: the text format's language specification, protobuf.dev/reference/protobuf/textformat-spec.
"""

import re
import struct
from typing import Any

__all__ = ["parse_protobuf_text", "parse_struct"]

_TOKEN = re.compile(
    r"""\s+|\#[^\n]*
    |(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<word>[A-Za-z0-9_.+\-]+)
    |(?P<url>\[[A-Za-z0-9_.\-/%]+\])
    |(?P<mark>[{}<>\[\]:,;])""",
    re.VERBOSE,
)
_ESCAPE = re.compile(
    r"\\(x[0-9A-Fa-f]{1,2}|[0-7]{1,3}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|.)", re.DOTALL
)
_SIMPLE = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
#: Deeper nesting is refused: a file must not exhaust the stack.
MAX_DEPTH = 64

Message = dict[str, list[Any]]


def parse_protobuf_text(text: str) -> Message:
    r"""Read a message: field name -> its values in order.

    Messages are dictionaries, strings are text with one character a byte (Latin-1), anything else
    (numbers, enum names, true) is its text.

    Raises:
        ValueError: not protobuf text; the line is named.

    >>> parse_protobuf_text('feature { name: "a" } feature < name: "b\\303\\251" size: [1, 2] >')
    {'feature': [{'name': ['a']}, {'name': ['bÃ©'], 'size': ['1', '2']}]}
    """
    return _Parser(text).message("", 0)


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens: list[tuple[str, str, int]] = []
        self.next = 0
        position, line = 0, 1
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None:
                raise ValueError(f"line {line}: unexpected {text[position : position + 20]!r}")
            if match.lastgroup:
                self.tokens.append((match.lastgroup, match[0], line))
            line += match[0].count("\n")
            position = match.end()
        self.tokens.append(("end", "", line))

    def take(self) -> tuple[str, str, int]:
        token = self.tokens[self.next]
        self.next += token[0] != "end"
        return token

    def accept(self, *marks: str) -> bool:
        kind, text, _ = self.tokens[self.next]
        found = kind == "mark" and text in marks
        self.next += found
        return found

    def message(self, close: str, depth: int) -> Message:
        if depth > MAX_DEPTH:
            raise ValueError(f"messages are nested more than {MAX_DEPTH} deep")
        out: Message = {}
        while True:
            kind, name, line = self.take()
            if (kind, name) == ("end", "") or (kind == "mark" and name == close):
                if (kind == "end") != (close == ""):
                    raise ValueError(f"line {line}: a message is not closed with {close!r}")
                return out
            if kind not in ("word", "url"):
                raise ValueError(f"line {line}: expected a field name, got {name!r}")
            values = self.values(name, depth, line)
            if kind == "url":
                # The expanded form of an Any: `[type.googleapis.com/...] { fields { ... } }`.
                out.setdefault("type_url", []).append(name[1:-1])
                out.setdefault("expanded", []).extend(values)
            else:
                out.setdefault(name, []).extend(values)
            self.accept(",", ";")

    def values(self, name: str, depth: int, line: int) -> list[Any]:
        colon = self.accept(":")
        if self.accept("["):
            found: list[Any] = []
            while not self.accept("]"):
                found.append(self.value(depth))
                if not self.accept(","):
                    if self.accept("]"):
                        break
                    raise ValueError(f"line {line}: the list of {name!r} is not closed")
            return found
        kind, text, _ = self.tokens[self.next]
        if not colon and not (kind == "mark" and text in "{<"):
            raise ValueError(f"line {line}: expected ':' or a message after {name!r}, got {text!r}")
        return [self.value(depth)]

    def value(self, depth: int) -> Any:
        if self.accept("{"):
            return self.message("}", depth + 1)
        if self.accept("<"):
            return self.message(">", depth + 1)
        kind, text, line = self.take()
        if kind == "string":
            parts = [_unquote(text)]
            while self.tokens[self.next][0] == "string":  # neighbours are one string
                parts.append(_unquote(self.take()[1]))
            return "".join(parts)
        if kind != "word":
            raise ValueError(f"line {line}: expected a value, got {text!r}")
        return text


def _unquote(text: str) -> str:
    """Give a quoted string's bytes, one a character."""

    def character(match: re.Match[str]) -> str:
        code = match[1]
        if code[0] in "uU" and len(code) > 1:
            return chr(int(code[1:], 16)).encode().decode("latin-1")
        if code[0] == "x" and len(code) > 1:
            return chr(int(code[1:], 16))
        if code[0] in "01234567":
            return chr(int(code, 8) & 255)
        return _SIMPLE.get(code, code)

    # Characters that stand unescaped are UTF-8, as the writer's file is.
    raw = text[1:-1].encode().decode("latin-1")
    return _ESCAPE.sub(character, raw)


def parse_struct(data: bytes) -> dict[str, Any]:
    """Read a binary google.protobuf.Struct: map<string, Value> fields = 1.

    Raises:
        ValueError: truncated or not a Struct.
    """
    return _struct(data, 0)


def _fields(data: bytes) -> list[tuple[int, Any]]:
    """Give (field number, value) of a message; unknown wire types are refused."""
    out: list[tuple[int, Any]] = []
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        kind = tag & 7
        if kind == 0:
            value, position = _varint(data, position)
            out.append((tag >> 3, value))
            continue
        if kind == 2:
            size, position = _varint(data, position)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"a binary Struct has the wire type {kind}")
        if position + size > len(data):
            raise ValueError("a binary Struct is truncated")
        out.append((tag >> 3, data[position : position + size]))
        position += size
    return out


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(data) or shift > 63:
            raise ValueError("a binary Struct is truncated")
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, position


def _struct(data: bytes, depth: int) -> dict[str, Any]:
    if depth > MAX_DEPTH:
        raise ValueError(f"a binary Struct is nested more than {MAX_DEPTH} deep")
    out: dict[str, Any] = {}
    for number, entry in _fields(data):
        if number == 1:
            pair = dict(_fields(entry))
            out[pair.get(1, b"").decode()] = _value(pair.get(2, b""), depth + 1)
    return out


def _value(data: bytes, depth: int) -> Any:
    """Read a Value: null 1, number 2, string 3, bool 4, struct 5, list 6."""
    result: Any = None
    for number, item in _fields(data):
        if number == 2:
            if len(item) != 8:
                raise ValueError("a binary Struct has a number of another size than 8 bytes")
            result = struct.unpack("<d", item)[0]
        elif number == 3:
            result = item.decode()
        elif number == 4:
            result = bool(item)
        elif number == 5:
            result = _struct(item, depth + 1)
        elif number == 6:
            if depth > MAX_DEPTH:
                raise ValueError(f"a binary Struct is nested more than {MAX_DEPTH} deep")
            result = [_value(v, depth + 1) for n, v in _fields(item) if n == 1]
    return result
