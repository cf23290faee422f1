"""Learning the statistics of a graph."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import polars as pl

from emberline.errors import DataError
from emberline.etl.execution import collect_all, in_threads, one_ahead
from emberline.etl.graph import Graph
from emberline.etl.layout import Layout
from emberline.etl.progress import progress
from emberline.etl.schema import Schema
from emberline.etl.stat_operator import StatOperator
from emberline.etl.statistics_store import Key, StatisticsStore
from emberline.etl.step import BoundStep

__all__ = ["fit_graph"]


def fit_graph(
    graph: Graph,
    parts: Sequence[pl.LazyFrame],
    schema: Schema,
    *,
    files: Sequence[Path] = (),
    update: bool = False,
    memory_limit: int | None = None,
) -> list[BoundStep]:
    """Fit every operator that learns, in phases.

    A phase holds the operators that have no other unfitted one above them; all its statistics
    are computed in one streaming pass over the data, part by part, and merged.

    Args:
        graph: its operators are fitted in place.
        parts: the rows in parts, with the dtypes of `schema`. The engine buffers what several
            statistics share until the slowest has read it, so the size of a part bounds memory.
        schema: the columns of the data.
        files: what `parts` read, for error messages.
        update: the operators are fitted, and the parts are data that they have not seen: the
            statistics of both are merged. No rows are then no error.
        memory_limit: bytes. Statistics spill to disk beyond a part of it; the caller cuts the
            parts to fit into the rest.

    Returns:
        The graph bound to the schema after the fit.

    Raises:
        DataError: no rows, or data that cannot be read (the file is named).
    """
    bound = graph.bind(schema)
    pending = graph.stat_steps()
    while True:
        ready = [i for i in pending if not set(graph.ancestors([i])) & set(pending)]
        known = _known(graph, ready) if update else {}
        with _store(graph, bound, memory_limit) as store:
            store.add(known)
            rows = _phase(graph, parts, bound, ready, files, store, ahead=memory_limit is None)
            statistics = store.results()
        if rows == 0 and not update:
            raise DataError(
                "no rows: a workflow cannot be fitted on empty data"
                + (f" ({', '.join(str(f) for f in files[:3])})" if files else "")
            )
        for number in ready:
            learned = {name: frame for (i, name), frame in statistics.items() if i == number}
            _stat_operator(graph, number).learn(learned, bound[number].inputs, update=update)
        pending = [i for i in pending if i not in ready]
        bound = graph.bind(schema)
        if not pending:
            return bound


def _stat_operator(graph: Graph, number: int) -> StatOperator:
    operator = graph.steps[number].operator
    assert isinstance(operator, StatOperator), "only operators that learn are ever pending"
    return operator


def _known(graph: Graph, ready: Sequence[int]) -> dict[Key, pl.DataFrame]:
    """Give the statistics that the ready steps keep, by step and name."""
    return {
        (number, name): frame
        for number in ready
        for name, frame in _stat_operator(graph, number).statistics().items()
    }


def _phase(
    graph: Graph,
    parts: Sequence[pl.LazyFrame],
    bound: Sequence[BoundStep],
    ready: Sequence[int],
    files: Sequence[Path],
    store: StatisticsStore,
    *,
    ahead: bool,
) -> int:
    """Add the statistics of the ready steps to the store, and give the number of rows.

    Args:
        graph: see `fit_graph`.
        parts: see `fit_graph`.
        bound: the steps with their columns.
        ready: the steps whose statistics are wanted.
        files: see `fit_graph`.
        store: takes the statistics.
        ahead: read one part while the one before is counted and merged, which keeps all cores
            busy and takes the memory of two.
    """
    rows = 0
    if len(parts) > 1 and graph.reads_other_rows(bound, graph.ancestors(ready)):
        # A neighbour or the rest of a group may be in the next part.
        parts = [pl.concat(parts)]
    found = _collected(graph, parts, bound, ready, files)
    with progress("fitting", total=len(parts) if len(parts) > 1 else None) as advance:
        for count, partials in one_ahead(found) if ahead else found:
            condensed = in_threads(
                lambda partial: _stat_operator(graph, partial[0][0]).condense(
                    partial[0][1], partial[1]
                ),
                partials.items(),
            )
            store.add(dict(zip(partials, condensed, strict=True)))
            rows += count
            advance()
    return rows


def _collected(
    graph: Graph,
    parts: Sequence[pl.LazyFrame],
    bound: Sequence[BoundStep],
    ready: Sequence[int],
    files: Sequence[Path],
) -> Iterator[tuple[int, dict[Key, pl.DataFrame]]]:
    """Give the rows and the statistics of one part after the other, each from one pass."""
    first_row = 0
    for part in parts:
        layouts, counted = _layouts(graph, part, bound, ready, first_row=first_row)
        plans = {
            (number, name): plan
            for number, layout in layouts.items()
            for name, plan in layout.partials(number).items()
        }
        count, *results = collect_all([counted.select(pl.len()), *plans.values()], files=files)
        rows = int(count.item())
        first_row += rows
        yield rows, dict(zip(plans, results, strict=True))


def _store(graph: Graph, bound: Sequence[BoundStep], memory_limit: int | None) -> StatisticsStore:
    # An eighth of the limit for partial statistics: a merge holds them, its hash table and its
    # result. The merged ones are sorted and numbered beside each other: a fifth for them.
    return StatisticsStore(
        lambda key, frames: _stat_operator(graph, key[0]).merge(key[1], frames),
        lambda key: _stat_operator(graph, key[0]).keys(key[1], bound[key[0]].inputs),
        budget=None if memory_limit is None else memory_limit // 8,
        limit=None if memory_limit is None else memory_limit // 5,
    )


def _layouts(
    graph: Graph,
    data: pl.LazyFrame,
    bound: Sequence[BoundStep],
    ready: Collection[int],
    *,
    first_row: int,
) -> tuple[dict[int, Layout], pl.LazyFrame]:
    """Give every ready step with the plan of what is above it, and a plan with the data's rows.

    Where no operator above them changes rows they share one plan; otherwise each has that of its
    own ancestors, because a filter in another branch must not reach it.

    `cache` makes the engine read and compute what is shared once, row by row as it streams.
    Without it the optimizer looks for shared parts by itself, but finds only the innermost one of
    several that are nested.
    """
    above = graph.ancestors(ready)
    operators = [op for i in above if (op := graph.steps[i].operator) is not None]
    if ready and all(operator.keeps_rows for operator in operators):
        wide = graph.layout(data, bound, above, first_row=first_row)
        wide.frame = wide.frame.cache()
        return dict.fromkeys(ready, wide), wide.frame
    data = data.cache()
    layouts = {
        i: graph.layout(data, bound, graph.ancestors([i]), first_row=first_row) for i in ready
    }
    return layouts, data
