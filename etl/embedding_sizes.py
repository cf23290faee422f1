"""How large an embedding table a categorical column wants."""

import math
from typing import TYPE_CHECKING, Any

from emberline.errors import DataError
from emberline.etl.schema import Schema
from emberline.etl.tags import Tags

if TYPE_CHECKING:
    from emberline.etl.workflow import Workflow

__all__ = ["EmbeddingSizes", "embedding_dimension", "get_embedding_sizes"]

#: column -> (cardinality, dimension)
EmbeddingSizes = dict[str, tuple[int, int]]


def embedding_dimension(cardinality: int) -> int:
    """Give NVTabular's default dimension: 1.6 * cardinality**0.56, within 16 and 512.

    >>> embedding_dimension(303), embedding_dimension(5), embedding_dimension(10**7)
    (39, 16, 512)
    """
    return min(max(16, round(1.6 * math.pow(cardinality, 0.56))), 512)


def get_embedding_sizes(
    source: "Workflow | Schema",
) -> EmbeddingSizes | tuple[EmbeddingSizes, EmbeddingSizes]:
    """Give (cardinality, dimension) of every categorical column of a fitted workflow's output.

    Args:
        source: a fitted workflow, or its output schema.

    Returns:
        `{column: (cardinality, dimension)}`; when a ragged list column is among them, two such
        dictionaries: single-hot columns, multi-hot columns.

    Raises:
        DataError: a column is tagged categorical but has no sizes; or a node is given.
        NotFittedError: the workflow has not been fitted.
    """
    if not isinstance(source, Schema) and not hasattr(source, "output_schema"):
        raise DataError(
            f"embedding sizes are those of a fitted workflow or its output schema, got {source!r}. "
            "Nodes learn nothing themselves: make a Workflow of the node and fit it"
        )
    schema = source if isinstance(source, Schema) else source.output_schema
    single: EmbeddingSizes = {}
    multi: EmbeddingSizes = {}
    for column in schema.select_by_tag(Tags.CATEGORICAL):
        sizes: Any = column.properties.get("embedding_sizes")
        if not isinstance(sizes, dict):
            raise DataError(
                f"column {column.name!r} is tagged categorical but has no embedding sizes; encode "
                "it with ops.Categorify and fit the workflow, or set the property embedding_sizes "
                "with ops.AddProperties"
            )
        target = multi if column.is_list and column.is_ragged else single
        target[column.name] = (int(sizes["cardinality"]), int(sizes["dimension"]))
    return (single, multi) if multi else single
