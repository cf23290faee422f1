"""Subgraph: a part of a workflow with a name."""

from typing import Any

from emberline.errors import DataError
from emberline.etl.node import Node

__all__ = ["Subgraph"]


class Subgraph(Node):
    """The columns of another node, under a name by which `Workflow.get_subworkflow` finds it.

    For serving: the user's features need one part of what the training data went through.

    >>> from emberline.etl import Workflow, ops
    >>> user = Subgraph("user", ["age"] >> ops.Clip(0, 99))
    >>> workflow = Workflow(user + ["label"])
    >>> workflow.subworkflows
    ['user']
    """

    def __init__(self, name: str, output_node: Any) -> None:
        """Name the node.

        Args:
            name: unique in a workflow.
            output_node: a node, or columns of the data (names, list, selector).

        Raises:
            DataError: no name.
        """
        if not isinstance(name, str) or not name:
            raise DataError(f"the name of a subgraph must be a non-empty string, got {name!r}")
        super().__init__("concat", [Node.select(output_node)])
        self.name = name
