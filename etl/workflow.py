"""A graph of operators that is fitted once and applied anywhere."""

import os
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl

from emberline.errors import ArtifactCorruptError, DataError, nearest
from emberline.etl.dataset import Dataset
from emberline.etl.drawing import Drawing
from emberline.etl.dtypes import column_of, dtype_of, is_lossless
from emberline.etl.errors import ColumnNotFoundError, ColumnTypeError, NotFittedError
from emberline.etl.execution import in_parts, reading
from emberline.etl.fit import fit_graph
from emberline.etl.frames import from_frame, to_frame
from emberline.etl.graph import Graph
from emberline.etl.graph_drawing import draw
from emberline.etl.memory_size import parse_size, rows_within
from emberline.etl.node import Node
from emberline.etl.partitioned_plan import PART_ROWS
from emberline.etl.schema import Schema
from emberline.etl.step import MARK, BoundStep
from emberline.etl.workflow_files import load_workflow, save_workflow
from emberline.etl.writer import FILE_INDEX

__all__ = ["Workflow"]

#: A part of the data has this share of a memory limit: the engine holds it several times while it
#: is decoded, counted or encoded, and written.
PART_SHARE = 10
#: Bytes of a part where no limit is given. Two are in memory at once, and each costs a merge:
#: 10 M rows of 26 strings took 8.1 s to fit in these, 9.0 in halves of them, with 1.9 and 1.5 GB.
PART_BYTES = 256_000_000
#: Fewer rows are one part, without a look at how large they are.
SMALL_ROWS = 262_144


class Workflow:
    """Columns in, columns out: `fit` learns the statistics, `transform` applies them.

    >>> import polars as pl
    >>> from emberline.etl import ops
    >>> frame = pl.DataFrame({"item": ["b", "a", "b", None], "label": [1, 0, 1, 0]})
    >>> workflow = Workflow((["item"] >> ops.Categorify()) + ["label"])
    >>> workflow.fit_transform(frame)["item"].to_list()
    [3, 4, 3, 1]
    """

    def __init__(self, output_node: Any, client: Any = None) -> None:
        """Take the graph that ends in `output_node`.

        Args:
            output_node: a node, or columns of the data (names, list, selector).
            client: accepted for NVTabular's sake; all work is done in this process.

        Raises:
            DataError: something else.
        """
        _warn_of_client(client)
        self.output_node: Node | None = Node.select(output_node)
        self._graph = Graph.from_node(self.output_node)
        self._input: Schema | None = None
        self._bound: list[BoundStep] | None = None

    @property
    def fitted(self) -> bool:
        """Whether the columns are known and every statistic is learned."""
        waiting = (self._graph.steps[i].operator for i in self._graph.stat_steps())
        return self._bound is not None and all(getattr(op, "fitted", True) for op in waiting)

    def _require_bound(self) -> tuple[Schema, list[BoundStep]]:
        if self._input is None or self._bound is None:
            raise NotFittedError("the workflow has not been fitted; call fit (or fit_schema) first")
        return self._input, self._bound

    @property
    def input_schema(self) -> Schema:
        """The columns that the workflow reads.

        Raises:
            NotFittedError: before `fit` or `fit_schema`.
        """
        return self._require_bound()[0]

    @property
    def output_schema(self) -> Schema:
        """The columns that the workflow gives; properties of statistics are there after `fit`.

        Raises:
            NotFittedError: before `fit` or `fit_schema`.
        """
        return self._require_bound()[1][-1].outputs.schema

    @property
    def input_dtypes(self) -> dict[str, str]:
        """Input column -> dtype; see `input_schema`."""
        return {column.name: column.dtype for column in self.input_schema}

    @property
    def output_dtypes(self) -> dict[str, str]:
        """Output column -> dtype; see `output_schema`."""
        return {column.name: column.dtype for column in self.output_schema}

    @property
    def graph(self) -> Graph:
        """The steps."""
        return self._graph

    @property
    def subworkflows(self) -> list[str]:
        """The names that `get_subworkflow` takes."""
        return self._graph.subgraphs

    def get_subworkflow(self, name: str) -> "Workflow":
        """Give the part of the workflow that ends in a `Subgraph`, fitted if this one is.

        Raises:
            DataError: there is no subgraph of this name.
        """
        nodes = self.output_node.walk() if self.output_node is not None else ()
        node = next((node for node in nodes if node.name == name), None)
        return self._part(node, self._graph.subgraph(name))

    def _part(self, node: Node | None, graph: Graph) -> "Workflow":
        """Give a workflow of some steps of this one."""
        out = type(self).__new__(type(self))
        out.output_node, out._graph, out._bound, out._input = node, graph, None, None
        if self._input is not None:
            out._bound = graph.bind(self._input)
            out._input = graph.input_schema(out._bound, self._input)
        return out

    def clear_stats(self) -> None:
        """Forget what `fit` learned; the columns stay known."""
        self._graph = self._graph.unfitted()
        if self._input is not None:
            self._bound = self._graph.bind(self._input)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Drawing:
        """Draw the graph.

        Args:
            path: also write it there, as `.svg` or `.html`.

        Returns:
            The picture; it shows itself in a notebook, and `str` gives the SVG text.

        Raises:
            DataError: another suffix.
        """
        drawing = draw(self._graph, self._bound)
        if path is not None:
            drawing.save(path)
        return drawing

    def _repr_html_(self) -> str:
        return self.plot()._repr_html_()

    def explain(self, data: Any = None) -> None:
        """Print the Polars plan of `transform`, as the streaming engine runs it.

        Args:
            data: a `Dataset`, or anything a `Dataset` is made of; by default a frame without rows.

        Raises:
            NotFittedError: before the fit.
        """
        schema, bound = self._require_bound()
        frame = pl.LazyFrame(schema={column.name: dtype_of(column) for column in schema})
        if data is not None:
            dataset = data if isinstance(data, Dataset) else Dataset(data)
            frame = self._conform(dataset.to_lazy(), schema)
        # Our own names of columns begin with a control character; it is shown as "·".
        print(self._graph.output(frame, bound).explain(engine="streaming").replace(MARK, "·"))

    def fit_schema(self, schema: Schema) -> "Workflow":
        """Resolve the columns without data; returns the workflow.

        Raises:
            ColumnNotFoundError: a column that `schema` lacks; names the node and the nearest.
            ColumnTypeError: a column whose dtype an operator cannot use.
        """
        self._bound = self._graph.bind(schema)
        self._input = self._graph.input_schema(self._bound, schema)
        return self

    def fit(
        self, data: Any, *, update: bool = False, memory_limit: int | str | None = None
    ) -> "Workflow":
        """Learn every statistic from the data; returns the workflow.

        Statistics that do not depend on each other are computed in one streaming pass.

        Args:
            data: a `Dataset`, or anything a `Dataset` is made of.
            update: the data comes on top of what the workflow was fitted with (also before it was
                saved and loaded): the statistics of both are merged. Ids of Categorify stay, new
                categories follow them. Where one operator that learns feeds another, the second
                one keeps what it learned from the outputs of then. A workflow that is not fitted
                is fitted. No rows change nothing.
            memory_limit: bytes, or a size like "1GB", beyond what a process with Polars has. The
                data is read in smaller parts, and statistics that outgrow their share go to the
                directory for temporary files. It changes time, not results.

        Raises:
            ColumnNotFoundError, ColumnTypeError: see `fit_schema`.
            DataError: no rows; a damaged file (named); an update of a workflow without statistics.
            MemoryLimitError: distinct values whose merged counts outgrow `memory_limit`.
        """
        dataset = data if isinstance(data, Dataset) else Dataset(data)
        update = update and self.fitted
        # Fitted on a copy: after an error this workflow is what it was before.
        graph = self._graph.copied() if update else self._graph.unfitted()
        if update:
            schema = self._with_types(dataset.schema)
        else:
            schema = graph.input_schema(graph.bind(dataset.schema), dataset.schema)
        limit = None if memory_limit is None else parse_size(memory_limit, name="memory_limit")
        parts = self._parts(dataset, schema, limit)
        bound = fit_graph(
            graph, parts, schema, files=dataset.files, update=update, memory_limit=limit
        )
        self._graph, self._bound, self._input = graph, bound, schema
        return self

    def _with_types(self, given: Schema) -> Schema:
        """Give the input schema, its columns of nulls alone with the dtype of `given`."""
        columns = []
        for column in self.input_schema:
            if column.dtype == "null" and column.name in given:
                found = given[column.name]
                column = column.with_dtype(
                    found.dtype, is_list=found.is_list, is_ragged=found.is_ragged
                )
            columns.append(column)
        return Schema(columns)

    def transform(self, data: Any, *, memory_limit: int | str | None = None) -> Any:
        """Apply the workflow.

        Args:
            data: a `Dataset` or a path gives a lazy `Dataset`; a Polars DataFrame or LazyFrame, a
                pandas DataFrame or a pyarrow Table gives the same kind. A pandas frame keeps its
                index if its rows stay as they are. Columns that the workflow does not read are
                ignored.
            memory_limit: bytes, or a size like "1GB", beyond the fitted workflow's own: a `Dataset`
                is then transformed part by part whenever it is read or written. Files must be
                parquet or Arrow IPC; operators that read other rows (groups, neighbours) need
                all of them at once. Frames are in memory anyway.

        Raises:
            NotFittedError: before the fit; a workflow that learns nothing needs none.
            ColumnNotFoundError: an input column is missing.
            ColumnTypeError: an input column's dtype has changed so that values would be lost.
            DataError: a value that cannot be processed.
        """
        if self._bound is None and not self._graph.stat_steps():
            self.fit_schema(data.schema if isinstance(data, Dataset) else Dataset(data).schema)
        schema, bound = self._require_bound()
        fitted = {column.name: dtype_of(column) for column in schema}
        operators = [op for step in self._graph.steps if (op := step.operator) is not None]
        found = from_frame(data, fitted=fitted)
        if found is not None:
            frame, kind = found
            plan = self._graph.output(self._conform(frame, schema), bound)
            with reading():
                out = to_frame(plan, kind)
            if kind == "pandas" and all(op.keeps_rows and not op.makes_rows for op in operators):
                out.index = data.index
            return out
        dataset = data if isinstance(data, Dataset) else Dataset(data)
        graph, output = self._graph, self.output_schema

        def derive(numbered: bool) -> pl.LazyFrame:
            rows = dataset._numbered() if numbered else dataset.to_lazy()
            carried = [FILE_INDEX] if numbered else []
            return graph.output(self._conform(rows, schema, carried), bound, carried)

        plan = derive(False)
        limit = None if memory_limit is None else parse_size(memory_limit, name="memory_limit")
        local = not graph.reads_other_rows(bound, range(len(bound)))

        def stream(smaller: int | None) -> pl.LazyFrame:
            parts = self._parts(dataset, schema, smaller or limit) if local else []
            if len(parts) < 2:
                return plan
            return in_parts(
                parts,
                lambda part, first_row: graph.output(part, bound, first_row=first_row),
                plan.collect_schema(),
                files=dataset.files,
            )

        same_rows = not any(operator.makes_rows for operator in operators)
        return Dataset._derived(
            plan if limit is None else stream(None),
            output,
            base=dataset,
            derive=derive if same_rows else None,
            stream=stream,
        )

    def _parts(self, dataset: Dataset, schema: Schema, limit: int | None) -> list[pl.LazyFrame]:
        """Give the data, its columns in the dtypes of `schema`, in parts that suit the limit."""
        frame = self._conform(dataset.to_lazy(), schema)
        if not dataset.sliceable or (limit is None and dataset.num_rows <= SMALL_ROWS):
            return [frame]
        size = PART_BYTES if limit is None else limit // PART_SHARE
        rows = min(PART_ROWS, rows_within(frame, size))
        return [self._conform(part, schema) for part in dataset.parts(rows)]

    def fit_transform(self, data: Any) -> Any:
        """Fit on the data, then transform it."""
        dataset = Dataset(data) if isinstance(data, (str, os.PathLike, list, tuple)) else data
        self.fit(dataset)
        return self.transform(dataset)

    @staticmethod
    def _conform(frame: pl.LazyFrame, schema: Schema, carried: Sequence[str] = ()) -> pl.LazyFrame:
        """Give the columns of `schema` in its dtypes, and those carried as they are."""
        with reading():
            given = frame.collect_schema()
        columns = []
        for column in schema:
            name, wanted = column.name, dtype_of(column)
            if name not in given:
                raise ColumnNotFoundError(
                    f"the data has no column {name!r}, which the workflow was fitted with"
                    f"{nearest(name, given)}"
                )
            if not is_lossless(given[name], wanted):
                raise ColumnTypeError(
                    f"column {name!r} has dtype {column_of(name, given[name]).dtype}, the workflow "
                    f"was fitted with {column.dtype}{' lists' if column.is_list else ''}; cast it "
                    "before, or fit the workflow again"
                )
            expr = pl.col(name)
            if wanted != pl.Null():
                expr = expr.cast(wanted)
            elif given[name].is_float():
                # Fitted on nulls alone: floats come as they are, and their NaN are nulls.
                expr = expr.fill_nan(None)
            columns.append(expr)
        return frame.select(*columns, *carried)

    def remove_inputs(self, names: Iterable[str]) -> "Workflow":
        """Take input columns away, and every column and node that needs them.

        For serving: the label of the training data is not there. Changes this workflow.

        Raises:
            NotFittedError: before `fit` or `fit_schema`.
            ColumnNotFoundError: a name that is no input.
            DataError: nothing would be left.
        """
        removed = [names] if isinstance(names, str) else list(names)
        schema = self.input_schema
        for name in removed:
            if name not in schema:
                raise ColumnNotFoundError(
                    f"the workflow has no input {name!r}{nearest(name, schema.names)}"
                )
        _, bound = self._require_bound()
        graph = self._graph.without(bound, removed)
        left = schema.without(removed)
        self._bound, self._graph, self.output_node = graph.bind(left), graph, None
        self._input = graph.input_schema(self._bound, left)
        return self

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted workflow as a directory that appears complete or not at all.

        `workflow.json` holds the graph, the arguments and the schemas, `artifacts/` the tables;
        nothing is pickled.

        Raises:
            NotFittedError: before the fit.
            UnsupportedError: an operator that cannot be saved (a function); says what to use.
            FileExistsError: `path` is something else than a workflow of ours.
            OSError: a full disk and the like; what was at `path` stays.
        """
        if not self.fitted:
            raise NotFittedError("the workflow has not been fitted; call fit before save")
        schema, bound = self._require_bound()
        save_workflow(path, self._graph, bound, schema)

    @classmethod
    def load(cls, path: str | os.PathLike[str], client: Any = None) -> "Workflow":
        """Read what `save` wrote. Builds registered operator classes only; runs no code of a file.

        Args:
            path: the directory.
            client: accepted for NVTabular's sake; all work is done in this process.

        Raises:
            ArtifactMissingError: no complete workflow there.
            ArtifactVersionError: a newer format, or an operator that is not registered here.
            ArtifactCorruptError: a file whose size or checksum differs, or wrong contents.
        """
        _warn_of_client(client)
        graph, schema = load_workflow(path)
        workflow = cls.__new__(cls)
        workflow.output_node = None
        workflow._graph = graph
        workflow._input = schema
        try:
            workflow._bound = graph.bind(schema)
        except DataError as error:
            raise ArtifactCorruptError(
                f"{path}: the graph does not fit its schema: {error}"
            ) from error
        return workflow

    def __repr__(self) -> str:
        names = " -> ".join(step.name for step in self._graph.steps)
        return f"Workflow({'fitted' if self.fitted else 'not fitted'}: {names})"


def _warn_of_client(client: Any) -> None:
    if client is not None:
        warnings.warn(
            "Workflow(client=...) has no effect: all work is done in this process",
            UserWarning,
            stacklevel=3,
        )
