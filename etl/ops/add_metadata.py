"""Operators that change the schema only."""

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from emberline.etl.operator import Operator
from emberline.etl.registry import register_operator
from emberline.etl.schema import ColumnSchema
from emberline.etl.selection import Selection
from emberline.etl.tags import Tags, normalize_tags

__all__ = [
    "AddMetadata",
    "AddProperties",
    "AddTags",
    "TagAsItemFeatures",
    "TagAsItemID",
    "TagAsUserFeatures",
    "TagAsUserID",
]


class _Metadata(Operator):
    """Adds `added_tags` and `added_properties`; the data passes through."""

    elementwise = True
    keeps_groups = True

    def __init__(self, tags: Iterable[str], properties: Mapping[str, Any]) -> None:
        self._tags = sorted(str(tag) for tag in normalize_tags(tags))
        self._properties = dict(properties)

    def transform(self, frame: pl.LazyFrame, selection: Selection) -> pl.LazyFrame:
        """Leave the data as it is."""
        return frame

    def describe(self, column: ColumnSchema, selection: Selection) -> ColumnSchema:
        """Add the tags and properties."""
        return column.with_tags(self._tags).with_properties(self._properties)


@register_operator
class AddMetadata(_Metadata):
    """Add tags and properties to the columns.

    >>> from emberline.etl import Workflow, ops
    >>> node = ["y"] >> ops.AddMetadata(tags=["target"], properties={"unit": "cm"})
    >>> column = Workflow(node).fit(pl.DataFrame({"y": [1]})).output_schema["y"]
    >>> column.tags, column.properties
    (frozenset({<Tags.TARGET: 'target'>}), {'unit': 'cm'})
    """

    def __init__(
        self, tags: Iterable[str] = (), properties: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(tags, properties or {})
        self.tags, self.properties = self._tags, self._properties


@register_operator
class AddTags(_Metadata):
    """Add tags to the columns.

    >>> from emberline.etl import Workflow, ops
    >>> workflow = Workflow(["y"] >> ops.AddTags(["target"])).fit(pl.DataFrame({"y": [1]}))
    >>> workflow.output_schema.select_by_tag("target").names
    ['y']
    """

    def __init__(self, tags: Iterable[str]) -> None:
        super().__init__(tags, {})
        self.tags = self._tags


@register_operator
class AddProperties(_Metadata):
    """Add properties (JSON values) to the columns.

    >>> from emberline.etl import Workflow, ops
    >>> node = ["y"] >> ops.AddProperties({"unit": "cm"})
    >>> Workflow(node).fit(pl.DataFrame({"y": [1]})).output_schema["y"].properties
    {'unit': 'cm'}
    """

    def __init__(self, properties: Mapping[str, Any]) -> None:
        super().__init__((), properties)
        self.properties = self._properties


@register_operator
class TagAsUserID(_Metadata):
    """Tag the columns as ids of users.

    >>> from emberline.etl import Workflow, ops
    >>> workflow = Workflow(["y"] >> ops.TagAsUserID()).fit(pl.DataFrame({"y": [1]}))
    >>> sorted(map(str, workflow.output_schema["y"].tags))
    ['id', 'user']
    """

    def __init__(self) -> None:
        super().__init__([Tags.USER, Tags.ID], {})


@register_operator
class TagAsItemID(_Metadata):
    """Tag the columns as ids of items.

    >>> from emberline.etl import Workflow, ops
    >>> workflow = Workflow(["y"] >> ops.TagAsItemID()).fit(pl.DataFrame({"y": [1]}))
    >>> sorted(map(str, workflow.output_schema["y"].tags))
    ['id', 'item']
    """

    def __init__(self) -> None:
        super().__init__([Tags.ITEM, Tags.ID], {})


@register_operator
class TagAsUserFeatures(_Metadata):
    """Tag the columns as features of users.

    >>> from emberline.etl import Workflow, ops
    >>> workflow = Workflow(["y"] >> ops.TagAsUserFeatures()).fit(pl.DataFrame({"y": [1]}))
    >>> sorted(map(str, workflow.output_schema["y"].tags))
    ['user']
    """

    def __init__(self) -> None:
        super().__init__([Tags.USER], {})


@register_operator
class TagAsItemFeatures(_Metadata):
    """Tag the columns as features of items.

    >>> from emberline.etl import Workflow, ops
    >>> workflow = Workflow(["y"] >> ops.TagAsItemFeatures()).fit(pl.DataFrame({"y": [1]}))
    >>> sorted(map(str, workflow.output_schema["y"].tags))
    ['item']
    """

    def __init__(self) -> None:
        super().__init__([Tags.ITEM], {})
