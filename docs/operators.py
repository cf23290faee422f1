"""Write `operators.md` from the operators' docstrings: `python docs/operators.py`."""

import inspect
import re
from pathlib import Path

from emberline.etl import ops
from emberline.etl.operator import Operator

PAGE = Path(__file__).with_name("operators.md")

GROUPS = {
    "Ids from values": ["Categorify", "HashBucket", "HashedCross", "DropLowCardinality"],
    "Numbers": [
        "Bucketize", "Clip", "FillMedian", "FillMissing", "LogOp", "Normalize", "NormalizeMinMax",
        "ReduceDtypeSize",
    ],
    "Statistics by group": [
        "ColumnSimilarity", "DataStats", "DifferenceLag", "Groupby", "JoinGroupby", "TargetEncoding",
    ],
    "Lists and text": ["ListSlice", "SplitString", "ValueCount"],
    "Rows and columns": ["Cast", "Dropna", "Filter", "JoinExternal", "LambdaOp", "Rename", "Sql"],
    "Tags and properties": [
        "AddMetadata", "AddProperties", "AddTags", "TagAsItemFeatures", "TagAsItemID",
        "TagAsUserFeatures", "TagAsUserID",
    ],
}  # fmt: skip

INTRODUCTION = """# Operators

Every operator of `emberline.etl.ops`, from its docstring; `python docs/operators.py` writes this page.
[etl.md](etl.md) teaches how they are put together, [nvtabular.md](nvtabular.md) lists what differs from
NVTabular. In the examples `pl` is Polars.
"""


def operators() -> dict[str, type[Operator]]:
    """Give the public operator classes by name."""
    found = {name: getattr(ops, name) for name in ops.__all__}
    bases = {"Operator", "StatOperator"}
    return {
        name: value
        for name, value in found.items()
        if inspect.isclass(value) and issubclass(value, Operator) and name not in bases
    }


def page() -> str:
    """Give the text of the page.

    Raises:
        ValueError: an operator that is in no group, in two, or has no example.
    """
    known = operators()
    listed = [name for names in GROUPS.values() for name in names]
    if sorted(listed) != sorted(known):
        raise ValueError(f"GROUPS and ops differ in {sorted(set(listed) ^ set(known))}")
    parts = [INTRODUCTION]
    for group, names in GROUPS.items():
        links = " · ".join(f"[{name}](#{name.lower()})" for name in names)
        parts.append(f"**{group}**: {links}\n")
    for group, names in GROUPS.items():
        parts.append(f"## {group}\n")
        parts += [section(name, known[name]) for name in names]
    return "\n".join(parts)


def section(name: str, operator: type[Operator]) -> str:
    """Give the part of one operator: its call, what it does, an example, its arguments."""
    text = inspect.cleandoc(operator.__doc__ or "")
    if ">>> " not in text:
        raise ValueError(f"{name} has no example in its docstring")
    arguments = inspect.cleandoc(operator.__init__.__doc__ or "")
    parts = [f"### {name}\n", f"```python\n{call(name, operator)}\n```\n", markdown(text)]
    if "Args:" in arguments:
        parts.append(markdown(arguments[arguments.index("Args:") :]))
    elif "Raises:" in arguments:
        parts.append(markdown(arguments[arguments.index("Raises:") :]))
    return "\n".join(parts)


def call(name: str, operator: type[Operator]) -> str:
    """Give the signature without annotations, wrapped."""
    shown = []
    star = False
    for parameter in inspect.signature(operator).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            shown.append("*")
            star = True
        shown.append(parameter.replace(annotation=parameter.empty).__str__())
    shown = [one.replace("'", '"') for one in shown]  # as the formatter writes them
    line = f"{name}({', '.join(shown)})"
    if len(line) <= 100:
        return line
    return f"{name}(\n" + "".join(f"    {one},\n" for one in shown) + ")"


def markdown(text: str) -> str:
    """Turn a docstring into Markdown: examples into code, sections into lists."""
    out: list[str] = []
    code = False
    for line in text.splitlines():
        begins = line.lstrip().startswith(">>> ")
        if begins and not code:
            out += ["```pycon"]
            code = True
        elif code and not line.strip():
            out += ["```"]
            code = False
        heading = re.fullmatch(r"(Args|Raises|Returns|Attributes|Source):", line)
        if heading and not code:
            out += [f"*{ {'Args': 'Arguments'}.get(heading[1], heading[1]) }*", ""]
        elif not code and (item := re.fullmatch(r"    (\S[^:]*): (.*)", line)):
            out.append(f"- `{item[1]}`: {item[2]}")
        elif not code and line.startswith("        "):
            out.append(f"  {line.strip()}")
        else:
            out.append(line)
    return "\n".join([*out, "```"] if code else out) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
