"""Columns: selection, operators, fit, transform, schema and saved workflows.

NVTabular's vocabulary on Polars; `import emberline.etl as nvt` reads like the original:

    cats = ["user", "item"] >> nvt.ops.Categorify()
    workflow = nvt.Workflow(cats + ["label"])
    workflow.fit_transform(nvt.Dataset("in.parquet")).to_parquet("out")
    workflow.save("workflow")

Names load when they are first touched, so `emberline.etl.schema` (which training and serving
read) does not pull in Polars.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emberline.etl import datasets, io, ops
    from emberline.etl.column_group import ColumnGroup
    from emberline.etl.dataset import Dataset
    from emberline.etl.embedding_sizes import get_embedding_sizes
    from emberline.etl.errors import (
        ColumnNotFoundError,
        ColumnTypeError,
        MemoryLimitError,
        NotFittedError,
        UnsupportedError,
    )
    from emberline.etl.node import Node
    from emberline.etl.operator import Operator
    from emberline.etl.registry import register_operator
    from emberline.etl.schema import ColumnSchema, Schema
    from emberline.etl.selector import ColumnSelector
    from emberline.etl.shuffle import Shuffle
    from emberline.etl.stat_operator import StatOperator
    from emberline.etl.subgraph import Subgraph
    from emberline.etl.tags import Tags
    from emberline.etl.user_function import PandasFunctionWarning
    from emberline.etl.workflow import Workflow

__all__ = [
    "ColumnGroup",
    "ColumnNotFoundError",
    "ColumnSchema",
    "ColumnSelector",
    "ColumnTypeError",
    "Dataset",
    "MemoryLimitError",
    "Node",
    "NotFittedError",
    "Operator",
    "PandasFunctionWarning",
    "Schema",
    "Shuffle",
    "StatOperator",
    "Subgraph",
    "Tags",
    "UnsupportedError",
    "Workflow",
    "datasets",
    "get_embedding_sizes",
    "io",
    "ops",
    "register_operator",
]

_HOME = {
    "ColumnGroup": "column_group",
    "ColumnNotFoundError": "errors",
    "ColumnSchema": "schema",
    "ColumnSelector": "selector",
    "ColumnTypeError": "errors",
    "Dataset": "dataset",
    "MemoryLimitError": "errors",
    "Node": "node",
    "NotFittedError": "errors",
    "Operator": "operator",
    "PandasFunctionWarning": "user_function",
    "Schema": "schema",
    "Shuffle": "shuffle",
    "StatOperator": "stat_operator",
    "Subgraph": "subgraph",
    "Tags": "tags",
    "UnsupportedError": "errors",
    "Workflow": "workflow",
    "get_embedding_sizes": "embedding_sizes",
    "register_operator": "registry",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name in _HOME:
        value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    if name in {"datasets", "io", "ops"}:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted(__all__)
