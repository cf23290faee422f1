"""The operators, one file each, with NVTabular's names."""

from emberline.etl.embedding_sizes import get_embedding_sizes
from emberline.etl.operator import Operator
from emberline.etl.ops.add_metadata import (
    AddMetadata,
    AddProperties,
    AddTags,
    TagAsItemFeatures,
    TagAsItemID,
    TagAsUserFeatures,
    TagAsUserID,
)
from emberline.etl.ops.cast import Cast
from emberline.etl.ops.categorify import Categorify
from emberline.etl.ops.clip import Clip
from emberline.etl.ops.fill_missing import FillMissing
from emberline.etl.ops.hash_bucket import HashBucket
from emberline.etl.ops.hashed_cross import HashedCross
from emberline.etl.ops.join_external import JoinExternal
from emberline.etl.ops.lambda_op import LambdaOp
from emberline.etl.ops.log_op import LogOp
from emberline.etl.ops.rename import Rename
from emberline.etl.ops.split_string import SplitString
from emberline.etl.ops.sql import Sql
from emberline.etl.selector import ColumnSelector
from emberline.etl.stat_operator import StatOperator

__all__ = [
    "AddMetadata",
    "AddProperties",
    "AddTags",
    "Cast",
    "Categorify",
    "Clip",
    "ColumnSelector",
    "FillMissing",
    "HashBucket",
    "HashedCross",
    "JoinExternal",
    "LambdaOp",
    "LogOp",
    "Operator",
    "Rename",
    "SplitString",
    "Sql",
    "StatOperator",
    "TagAsItemFeatures",
    "TagAsItemID",
    "TagAsUserFeatures",
    "TagAsUserID",
    "get_embedding_sizes",
]
