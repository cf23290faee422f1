"""The embedding hash table: keys -> rows -> vectors and optimizer states.

Knows NumPy only: no TensorFlow, no Polars, no files. `HashTable` is the entry.
"""

from emberline.kernels.admission import (
    Admission,
    CountAdmission,
    ProbabilisticAdmission,
    SketchAdmission,
    admission_from_dict,
)
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
    VersionError,
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
from emberline.kernels.policy_state import PolicyState
from emberline.kernels.table import HashTable
from emberline.kernels.table_changes import TableChanges
from emberline.kernels.table_feature import TableFeature
from emberline.kernels.table_range import TableRange
from emberline.kernels.table_stats import TableStats

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Admission",
    "ArrayShapeError",
    "ArrayTypeError",
    "ConfigError",
    "Constant",
    "CountAdmission",
    "DeviceError",
    "Ftrl",
    "HashTable",
    "Initializer",
    "KeyRangeError",
    "KeyTypeError",
    "MemoryUsage",
    "Normal",
    "Optimizer",
    "PolicyState",
    "ProbabilisticAdmission",
    "RMSprop",
    "RowIndexError",
    "RowwiseAdagrad",
    "SketchAdmission",
    "TableChanges",
    "TableCorruptError",
    "TableFeature",
    "TableFullError",
    "TableGroup",
    "TableRange",
    "TableStats",
    "Uniform",
    "VersionError",
    "admission_from_dict",
    "initializer_from_dict",
    "optimizer_from_dict",
]
