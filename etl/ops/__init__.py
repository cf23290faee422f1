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
from emberline.etl.ops.bucketize import Bucketize
from emberline.etl.ops.cast import Cast
from emberline.etl.ops.categorify import Categorify
from emberline.etl.ops.clip import Clip
from emberline.etl.ops.column_similarity import ColumnSimilarity
from emberline.etl.ops.data_stats import DataStats
from emberline.etl.ops.difference_lag import DifferenceLag
from emberline.etl.ops.drop_low_cardinality import DropLowCardinality
from emberline.etl.ops.dropna import Dropna
from emberline.etl.ops.fill_median import FillMedian
from emberline.etl.ops.fill_missing import FillMissing
from emberline.etl.ops.filter import Filter
from emberline.etl.ops.groupby import Groupby
from emberline.etl.ops.hash_bucket import HashBucket
from emberline.etl.ops.hashed_cross import HashedCross
from emberline.etl.ops.join_external import JoinExternal
from emberline.etl.ops.join_groupby import JoinGroupby
from emberline.etl.ops.lambda_op import LambdaOp
from emberline.etl.ops.list_slice import ListSlice
from emberline.etl.ops.log_op import LogOp
from emberline.etl.ops.normalize import Normalize
from emberline.etl.ops.normalize_min_max import NormalizeMinMax
from emberline.etl.ops.reduce_dtype_size import ReduceDtypeSize
from emberline.etl.ops.rename import Rename
from emberline.etl.ops.split_string import SplitString
from emberline.etl.ops.sql import Sql
from emberline.etl.ops.target_encoding import TargetEncoding
from emberline.etl.ops.value_count import ValueCount
from emberline.etl.selector import ColumnSelector
from emberline.etl.stat_operator import StatOperator

__all__ = [
    "AddMetadata",
    "AddProperties",
    "AddTags",
    "Bucketize",
    "Cast",
    "Categorify",
    "Clip",
    "ColumnSelector",
    "ColumnSimilarity",
    "DataStats",
    "DifferenceLag",
    "DropLowCardinality",
    "Dropna",
    "FillMedian",
    "FillMissing",
    "Filter",
    "Groupby",
    "HashBucket",
    "HashedCross",
    "JoinExternal",
    "JoinGroupby",
    "LambdaOp",
    "ListSlice",
    "LogOp",
    "Normalize",
    "NormalizeMinMax",
    "Operator",
    "ReduceDtypeSize",
    "Rename",
    "SplitString",
    "Sql",
    "StatOperator",
    "TagAsItemFeatures",
    "TagAsItemID",
    "TagAsUserFeatures",
    "TagAsUserID",
    "TargetEncoding",
    "ValueCount",
    "get_embedding_sizes",
]
