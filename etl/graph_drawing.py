"""The picture of a workflow's steps."""

from collections.abc import Mapping, Sequence

from emberline.etl.drawing import Box, Drawing
from emberline.etl.graph import Graph
from emberline.etl.stat_operator import StatOperator
from emberline.etl.step import BoundStep, Step

__all__ = ["draw"]


def draw(graph: Graph, bound: Sequence[BoundStep] | None = None) -> Drawing:
    """Give a picture of a graph.

    Args:
        graph: the steps.
        bound: from `Graph.bind`; names the columns of each step. Without it only those that the
            user wrote are shown.
    """
    boxes: list[Box] = []
    place: dict[int, int] = {}
    children = [parent for step in graph.steps for parent in step.parents]
    end = len(graph.steps) - 1
    for number, step in enumerate(graph.steps):
        if number != end and _is_sum(step) and children.count(number) == 1:
            after = next(s for s in graph.steps if number in s.parents)
            if _is_sum(after):
                continue  # a + b + c is one box, not two
        names = bound[number].outputs.names if bound is not None else _written(step)
        parents = tuple(place[p] for p in _shown(graph, step, place))
        place[number] = len(boxes)
        boxes.append(_box(step, names, parents, last=number == end))
    return Drawing(boxes, title="Graph of a workflow")


def _is_sum(step: Step) -> bool:
    return step.kind == "concat" and step.subgraph is None


def _shown(graph: Graph, step: Step, place: Mapping[int, int]) -> list[int]:
    """Give the parents that have boxes, those of the left out ones instead of them."""
    out: list[int] = []
    stack = list(reversed(step.parents))
    while stack:
        parent = stack.pop()
        if parent in place:
            out.append(parent)
        else:
            stack += reversed(graph.steps[parent].parents)
    return list(dict.fromkeys(out))


def _written(step: Step) -> list[str]:
    """Give the columns as the user selected them, before a schema is known."""
    if step.selector is None:
        return []
    tags = [f"tag {tag}" for tag in sorted(map(str, step.selector.tags))]
    return [*step.selector.names, *(["*"] if step.selector.all else []), *tags]


def _box(step: Step, names: Sequence[str], parents: tuple[int, ...], *, last: bool) -> Box:
    """Give the picture of one step."""
    columns = ", ".join(names)
    style, title = "em-join", {"concat": "+", "subset": "[ ]", "drop": "-"}.get(step.kind, "")
    hint = columns
    if step.kind == "select":
        style, title = "em-select", "data"
    elif step.operator is not None:
        style, title = "em-apply", type(step.operator).__name__
        hint = f"{step.operator!r}\n{columns}".rstrip()
        if isinstance(step.operator, StatOperator):
            style = "em-apply em-stat" + ("" if step.operator.fitted else " em-unfitted")
    if step.subgraph is not None:
        title = f"subgraph {step.subgraph}"
    detail = columns if len(names) < 4 else f"{len(names)} columns: {columns}"
    return Box(
        title="output " + title if last and step.kind == "concat" else title,
        detail=detail,
        hint=hint,
        style=style + (" em-output" if last else ""),
        parents=parents,
    )
