"""The graph that `>>`, `+`, `[]` and `-` build."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Literal

from emberline.errors import DataError
from emberline.etl.operator import Operator
from emberline.etl.selector import ColumnSelector

if TYPE_CHECKING:
    from emberline.etl.drawing import Drawing

__all__ = ["Kind", "Node"]

Kind = Literal["select", "concat", "subset", "drop", "apply"]


class Node:
    """A set of columns: selected from the data, or made by an operator from other nodes.

    Nodes are never changed; every expression gives a new one.

    Attributes:
        kind: "select" (from the data), "concat" (`+`), "subset" (`[]`), "drop" (`-`) or
            "apply" (`>>`).
        parents: where its columns come from; of apply the first, the others are what the operator
            needs beside them.
        selector: the names of select, subset and drop.
        operator: the operator of apply.
        name: of a `Subgraph`; None for any other node.
    """

    name: str | None = None

    def __init__(
        self,
        kind: Kind,
        parents: Iterable["Node"] = (),
        *,
        selector: ColumnSelector | None = None,
        operator: Operator | None = None,
    ) -> None:
        self.kind: Kind = kind
        self.parents = tuple(parents)
        self.selector = selector
        self.operator = operator

    @classmethod
    def select(cls, columns: object) -> "Node":
        """Give the node of columns of the data: a name, a list, a selector, or a node as it is."""
        if isinstance(columns, Node):
            return columns
        return cls("select", selector=ColumnSelector.of(columns))

    def __rshift__(self, operator: object) -> "Node":
        """Apply an operator; a list applies its operators in turn; a function is a LambdaOp.

        Raises:
            DataError: something else.
        """
        if isinstance(operator, (list, tuple)):
            node = self
            for item in operator:
                node = node >> item
            return node
        if isinstance(operator, type) and issubclass(operator, Operator):
            operator = operator()
        if callable(operator) and not isinstance(operator, Operator):
            from emberline.etl.ops.lambda_op import LambdaOp

            operator = LambdaOp(operator)
        if isinstance(operator, Operator):
            beside = [_dependency(item) for item in operator.dependencies]
            return Node("apply", [self, *beside], operator=operator)
        raise DataError(f"the right side of >> must be an operator or a function, got {operator!r}")

    def __add__(self, other: object) -> "Node":
        """Join the columns of two nodes; names, lists and selectors are columns of the data."""
        return Node("concat", [self, Node.select(other)])

    def __radd__(self, other: object) -> "Node":
        return Node("concat", [Node.select(other), self])

    def __sub__(self, other: object) -> "Node":
        """Leave columns out."""
        return Node("drop", [self], selector=ColumnSelector.of(other))

    def __getitem__(self, names: object) -> "Node":
        """Keep columns: `node["a"]`, `node["a", "b"]`, `node[["a", "b"]]`."""
        return Node("subset", [self], selector=ColumnSelector.of(names))

    # Without this Python would try the sequence protocol through __getitem__, without an end.
    __iter__ = None

    @property
    def graph(self) -> "Drawing":
        """A picture of the node with everything above it."""
        from emberline.etl.graph import Graph
        from emberline.etl.graph_drawing import draw

        return draw(Graph.from_node(self))

    def walk(self) -> Iterator["Node"]:
        """Give every node up to this one, parents first, each once."""
        seen: set[int] = set()
        # Iterative: a long chain of operators must not meet the recursion limit.
        stack: list[tuple[Node, bool]] = [(self, False)]
        while stack:
            node, expanded = stack.pop()
            if id(node) in seen:
                continue
            if expanded:
                seen.add(id(node))
                yield node
            else:
                stack.append((node, True))
                stack.extend((parent, False) for parent in reversed(node.parents))

    def __repr__(self) -> str:
        what = self.operator if self.operator is not None else self.selector
        return f"<Node {self.kind}{'' if what is None else f' {what!r}'}>"


def _dependency(columns: object) -> Node:
    """Give columns that an operator needs as a node; names may turn out to be selected ones."""
    if isinstance(columns, Node):
        return columns
    selector = ColumnSelector.of(columns)
    return Node("select", selector=selector.optional())
