"""The steps of a workflow: resolved against a schema, then laid out as one lazy plan."""

import copy
from collections.abc import Collection, Sequence
from dataclasses import replace

import polars as pl

from emberline.errors import DataError, nearest
from emberline.etl.layout import Layout, Made
from emberline.etl.node import Kind, Node
from emberline.etl.schema import Schema
from emberline.etl.selection import Selection
from emberline.etl.selector import ColumnSelector
from emberline.etl.stat_operator import StatOperator
from emberline.etl.step import MARK, BoundStep, Step

__all__ = ["Graph"]


class Graph:
    """Steps in an order in which parents come first; the last step is the output."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = tuple(steps)
        self._made: Made = {}

    @classmethod
    def from_node(cls, output: Node) -> "Graph":
        """Number the nodes up to `output`. Operators are copied: a fit touches no other graph."""
        index: dict[int, int] = {}
        steps: list[Step] = []
        for node in output.walk():
            number = index[id(node)] = len(steps)
            label = node.kind if node.operator is None else type(node.operator).__name__
            steps.append(
                Step(
                    name=f"{number}_{label}",
                    kind=node.kind,
                    parents=tuple(index[id(parent)] for parent in node.parents),
                    selector=node.selector,
                    operator=copy.copy(node.operator),
                    subgraph=node.name,
                )
            )
        named = [step.subgraph for step in steps if step.subgraph is not None]
        for name in named:
            if named.count(name) > 1:
                raise DataError(f"two subgraphs are named {name!r}; names must be unique")
        return cls(steps)

    @property
    def subgraphs(self) -> list[str]:
        """The names of the subgraphs, parents first."""
        return [step.subgraph for step in self.steps if step.subgraph is not None]

    def subgraph(self, name: str) -> "Graph":
        """Give the part of the graph that ends in a subgraph; its operators are shared.

        Raises:
            DataError: there is none of this name.
        """
        ends = [i for i, step in enumerate(self.steps) if step.subgraph == name]
        if not ends:
            raise DataError(f"there is no subgraph {name!r}{nearest(name, self.subgraphs)}")
        return self._only([*self.ancestors(ends), *ends])

    def _only(self, kept: Sequence[int]) -> "Graph":
        """Give the graph of some steps, numbered anew; parents that are not kept are left out."""
        numbers = {old: new for new, old in enumerate(kept)}
        return Graph(
            [
                replace(
                    self.steps[i],
                    parents=tuple(numbers[p] for p in self.steps[i].parents if p in numbers),
                )
                for i in kept
            ]
        )

    def copied(self) -> "Graph":
        """Give the graph with its own copies of the operators, to be fitted."""
        return Graph([replace(step, operator=copy.copy(step.operator)) for step in self.steps])

    def unfitted(self) -> "Graph":
        """Give the graph with copies of the operators that have learned nothing."""
        return Graph(
            [
                replace(step, operator=step.operator.unfitted())
                if isinstance(step.operator, StatOperator)
                else step
                for step in self.copied().steps
            ]
        )

    def input_schema(self, bound: Sequence[BoundStep], schema: Schema) -> Schema:
        """Give the columns of `schema` that some step selects, in the order of `schema`."""
        selects = (i for i, step in enumerate(self.steps) if step.kind == "select")
        needed = {name for i in selects for name in bound[i].outputs.names}
        return schema.select([name for name in schema.names if name in needed])

    def stat_steps(self) -> list[int]:
        """Give the indices of the steps that learn from data."""
        return [i for i, s in enumerate(self.steps) if isinstance(s.operator, StatOperator)]

    def reads_other_rows(self, bound: Sequence[BoundStep], steps: Collection[int]) -> bool:
        """Say whether an operator among the steps looks beyond the row that it transforms."""
        return any(
            operator.reads_other_rows(bound[i].inputs)
            for i in steps
            if (operator := self.steps[i].operator) is not None
        )

    def ancestors(self, targets: Collection[int]) -> list[int]:
        """Give the indices of every step above the targets, themselves excluded, in order."""
        found: set[int] = set()
        stack = [parent for target in targets for parent in self.steps[target].parents]
        while stack:
            number = stack.pop()
            if number not in found:
                found.add(number)
                stack.extend(self.steps[number].parents)
        return sorted(found)

    def bind(self, schema: Schema) -> list[BoundStep]:
        """Resolve every step's columns.

        Args:
            schema: the columns of the data.

        Raises:
            ColumnNotFoundError: a column that the data does not have; names the node.
            ColumnTypeError: a dtype that an operator cannot use; names the node.
            DataError: two different columns meet under one name.
        """
        for name in schema.names:
            if name.startswith(MARK):
                raise DataError(f"column {name!r} starts with a control character; rename it")
        bound: list[BoundStep] = []
        for number, step in enumerate(self.steps):
            parents = [bound[parent] for parent in step.parents]
            inputs, origin = self._inputs(step, parents, schema)
            rows = next(iter(found := {parent.rows for parent in parents}), 0)
            if len(found) > 1:
                raise DataError(
                    f"{step.where}: the columns {inputs.available.names} are of different rows, "
                    "because an operator above some of them makes rows of its own (Groupby). Use "
                    "ops.JoinGroupby for statistics beside every row, or two workflows"
                )
            if step.operator is None:
                bound.append(BoundStep(inputs=inputs, outputs=inputs, origin=origin, rows=rows))
                continue
            step.operator.check(inputs)
            outputs = step.operator.output_schema(inputs)
            bound.append(
                BoundStep(
                    inputs=inputs,
                    outputs=replace(inputs, schema=outputs, extra=Schema())
                    if step.operator.keeps_groups
                    else Selection(outputs),
                    origin={name: f"{MARK}{number}{MARK}{name}" for name in outputs.names},
                    rows=number if step.operator.makes_rows else rows,
                )
            )
        return bound

    @staticmethod
    def _inputs(
        step: Step, parents: list[BoundStep], schema: Schema
    ) -> tuple[Selection, dict[str, str]]:
        if step.kind == "select":
            assert step.selector is not None, "select steps have a selector"
            selection = step.selector.resolve(schema, where=step.where)
            return selection, {name: f"{MARK}data{MARK}{name}" for name in selection.names}
        origin: dict[str, str] = {}
        columns = Schema()
        groups: list[tuple[str, ...]] = []
        alone: list[str] = []
        broken: list[tuple[str, ...]] = []
        for parent in parents[:1] if step.kind == "apply" else parents:
            for column in parent.outputs.schema:
                unique = parent.origin[column.name]
                if origin.setdefault(column.name, unique) != unique:
                    raise DataError(
                        f"{step.where}: two different columns are named {column.name!r}; give one "
                        "another name with ops.Rename before they are joined"
                    )
                if column.name not in columns:
                    columns = columns + Schema([column])
            groups += [group for group in parent.outputs.groups if group not in groups]
            alone += parent.outputs.alone
            broken += parent.outputs.broken_groups
        extra = Schema()
        for parent in parents[1:] if step.kind == "apply" else ():
            others = parent.outputs.schema.without(columns.names)
            extra += others.without(extra.names)
        grouped = {name for group in (*groups, *broken) for name in group}
        selection = Selection(
            columns,
            tuple(groups),
            extra,
            also_alone=tuple(dict.fromkeys(name for name in alone if name in grouped)),
            broken_groups=tuple(dict.fromkeys(broken)),
        )
        if step.selector is not None:
            chosen = step.selector.resolve(columns, where=step.where)
            names = chosen.names
            if step.kind == "drop":
                names = [name for name in columns.names if name not in chosen.schema]
            selection = selection.keep(names)
            if chosen.groups and step.kind == "subset":
                selection = replace(selection, groups=chosen.groups, also_alone=chosen.also_alone)
        return selection, {name: origin[name] for name in selection.names}

    def layout(
        self,
        data: pl.LazyFrame,
        bound: Sequence[BoundStep],
        steps: Collection[int],
        *,
        first_row: int = 0,
        carried: Sequence[str] = (),
    ) -> Layout:
        """Lay the named steps out as a plan.

        Args:
            data: the data, with the dtypes of the schema that `bound` was made with.
            bound: from `bind`.
            steps: indices; all their ancestors among them.
            first_row: the position of the first row, where `data` is a part.
            carried: columns of `data` whose names start with `MARK`, to be kept beside.

        Raises:
            NotFittedError: a step among them has not learned yet.
        """
        layout = Layout(self.steps, bound, self._made)
        layout.begin(data, steps, first_row=first_row, carried=carried)
        for number in sorted(steps):
            layout.add(number)
        return layout

    def output(
        self,
        data: pl.LazyFrame,
        bound: Sequence[BoundStep],
        carried: Sequence[str] = (),
        *,
        first_row: int = 0,
    ) -> pl.LazyFrame:
        """Give the plan of the output columns, and of those `carried` along (see `layout`)."""
        steps = range(len(self.steps))
        layout = self.layout(data, bound, steps, first_row=first_row, carried=carried)
        return layout.output(carried)

    def without(self, bound: Sequence[BoundStep], removed: Collection[str]) -> "Graph":
        """Give the graph with columns of the data taken away, and whatever needs them.

        Raises:
            DataError: nothing is left.
        """
        lost: list[set[str]] = []
        steps: list[Step | None] = []
        for number, step in enumerate(self.steps):
            gone = {n for p in step.parents for n in lost[p]}
            if step.kind == "select":
                gone = set(removed)
            elif step.operator is not None:
                mapping = step.operator.column_mapping(bound[number].inputs)
                gone = {name for name, sources in mapping.items() if gone & set(sources)}
            kept = bound[number].outputs.keep(
                [name for name in bound[number].outputs.names if name not in gone]
            )
            lost.append({name for name in bound[number].outputs.names if name in gone})
            steps.append(_shrink(step, bound[number].inputs, kept) if kept.names else None)
        if steps[-1] is None:
            raise DataError(f"nothing is left of the workflow without {sorted(removed)}")
        left = [i for i, step in enumerate(steps) if step is not None]
        shrunk = [old if new is None else new for old, new in zip(self.steps, steps, strict=True)]
        return Graph(shrunk)._only(left)


def _shrink(step: Step, inputs: Selection, kept: Selection) -> Step:
    """Give the step with its selector, or its operator, reduced to what is left."""
    if step.operator is not None:
        return replace(step, operator=step.operator.reduced(inputs, kept.names))
    if step.selector is None:
        return step
    # A drop becomes a subset: what it dropped may itself be gone.
    kind: Kind = "subset" if step.kind == "drop" else step.kind
    return replace(step, kind=kind, selector=ColumnSelector.exactly(kept))
