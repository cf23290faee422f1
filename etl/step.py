"""The steps of a workflow, alone and with their columns known."""

from dataclasses import dataclass

from emberline.etl.node import Kind
from emberline.etl.operator import Operator
from emberline.etl.selection import Selection
from emberline.etl.selector import ColumnSelector

__all__ = ["MARK", "BoundStep", "Step"]

#: Starts the plan's unique column names; a control character that no user column may start with.
MARK = "\x1f"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One node, numbered.

    Attributes:
        name: unique in the graph, "<index>_<what>"; names its directory of artifacts.
        kind: as in `Node`.
        parents: indices of earlier steps.
        selector: the names of select, subset and drop.
        operator: the operator of apply, this graph's own copy.
        subgraph: the name of the subgraph that ends here, if any.
    """

    name: str
    kind: Kind
    parents: tuple[int, ...] = ()
    selector: ColumnSelector | None = None
    operator: Operator | None = None
    subgraph: str | None = None

    @property
    def where(self) -> str:
        """How messages call this step."""
        return f"node {self.name!r}"


@dataclass(frozen=True, kw_only=True)
class BoundStep:
    """A step with its columns known.

    Attributes:
        inputs: the columns that reach it.
        outputs: the columns it gives.
        origin: output name -> the plan's unique name of that column, made of the step's index
            and the name. Steps that only choose columns pass their parents' names on.
        rows: whose rows these are: 0 the data's, else the number of the step that made them.
    """

    inputs: Selection
    outputs: Selection
    origin: dict[str, str]
    rows: int = 0
