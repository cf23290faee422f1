"""The embedding hash table: keys -> rows -> vectors and optimizer states.

Knows NumPy only: no TensorFlow, no Polars, no files. `HashTable` is the entry.
"""

from emberline.kernels.errors import (
    ArrayShapeError,
    ArrayTypeError,
    ConfigError,
    DeviceError,
    KeyRangeError,
    KeyTypeError,
    RowIndexError,
    TableCorruptError,
    TableFullError,
)
from emberline.kernels.group import TableGroup
from emberline.kernels.initializers import (
    Constant,
    Initializer,
    Normal,
    Uniform,
    initializer_from_dict,
)
from emberline.kernels.memory_usage import MemoryUsage
from emberline.kernels.optimizers import (
    SGD,
    Adagrad,
    Adam,
    AdamW,
    Ftrl,
    Optimizer,
    RMSprop,
    RowwiseAdagrad,
    optimizer_from_dict,
)
from emberline.kernels.table import HashTable
from emberline.kernels.table_feature import TableFeature
from emberline.kernels.table_range import TableRange

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "ArrayShapeError",
    "ArrayTypeError",
    "ConfigError",
    "Constant",
    "DeviceError",
    "Ftrl",
    "HashTable",
    "Initializer",
    "KeyRangeError",
    "KeyTypeError",
    "MemoryUsage",
    "Normal",
    "Optimizer",
    "RMSprop",
    "RowIndexError",
    "RowwiseAdagrad",
    "TableCorruptError",
    "TableFeature",
    "TableFullError",
    "TableGroup",
    "TableRange",
    "Uniform",
    "initializer_from_dict",
    "optimizer_from_dict",
]
