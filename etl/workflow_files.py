"""The workflow directory.

workflow.json                  format version, graph, arguments, schemas, content hash
artifacts/<step>/<key>.parquet tables: vocabularies, external tables
_manifest.json                  sizes and checksums, last
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import polars as pl
from polars.exceptions import PolarsError

from emberline.artifacts import open_directory, write_directory
from emberline.errors import ArtifactCorruptError, ArtifactError
from emberline.etl.dtypes import dtype_of
from emberline.etl.errors import UnsupportedError
from emberline.etl.graph import Graph
from emberline.etl.node import Kind
from emberline.etl.operator import Operator
from emberline.etl.registry import is_registered, operator_class
from emberline.etl.schema import Schema
from emberline.etl.selector import ColumnSelector
from emberline.etl.step import BoundStep, Step

__all__ = ["WORKFLOW_KIND", "WORKFLOW_VERSION", "load_workflow", "save_workflow"]

WORKFLOW_KIND = "workflow"
WORKFLOW_VERSION = 1
WORKFLOW_FILE = "workflow.json"
ARTIFACTS = "artifacts"


def save_workflow(
    path: str | os.PathLike[str], graph: Graph, bound: Sequence[BoundStep], schema: Schema
) -> None:
    """Write a fitted graph.

    Args:
        path: the directory.
        graph: its operators are fitted.
        bound: the graph bound to `schema`.
        schema: the input columns.

    Raises:
        UnsupportedError: an operator that cannot be saved; nothing is written.
    """
    # Before the directory is begun: most refusals happen here.
    steps = [_step_json(step, bound[i]) for i, step in enumerate(graph.steps)]
    with write_directory(path, kind=WORKFLOW_KIND, version=WORKFLOW_VERSION) as staging:
        for step in graph.steps:
            tables = {} if step.operator is None else step.operator.artifacts()
            for key, table in tables.items():
                file = staging.path / ARTIFACTS / step.name / f"{key}.parquet"
                file.parent.mkdir(parents=True, exist_ok=True)
                table.write_parquet(file, compression="zstd")
        content = {
            "version": WORKFLOW_VERSION,
            "steps": steps,
            "input_schema": schema.to_dict(),
            "output_schema": bound[-1].outputs.schema.to_dict(),
        }
        content["content_sha256"] = _content_hash(content, staging.path)
        text = json.dumps(content, indent=1, ensure_ascii=False)
        (staging.path / WORKFLOW_FILE).write_text(text + "\n", encoding="utf-8")


def _step_json(step: Step, bound: BoundStep) -> dict[str, Any]:
    out: dict[str, Any] = {"name": step.name, "kind": step.kind, "parents": list(step.parents)}
    if step.selector is not None:
        # Resolved: what a tag or "*" selected at the fit is what the workflow reads.
        kind = "subset" if step.kind == "drop" else step.kind
        groups = [list(group) for group in bound.outputs.groups]
        out |= {"kind": kind, "columns": bound.outputs.names, "groups": groups}
        if bound.outputs.also_alone:
            out["also_alone"] = list(bound.outputs.also_alone)
        if bound.outputs.broken_groups:
            out["broken_groups"] = [list(group) for group in bound.outputs.broken_groups]
    if step.subgraph is not None:
        out["subgraph"] = step.subgraph
    if step.operator is not None:
        cls = type(step.operator)
        # LambdaOp and its like refuse by themselves, with a message about what to use.
        arguments = step.operator.arguments(bound.inputs)
        if not is_registered(cls):
            raise UnsupportedError(
                f"{step.where}: the operator class {cls.__name__} is not registered; decorate it "
                "with emberline.etl.register_operator so that it can be saved and loaded"
            )
        try:
            json.dumps(arguments, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise UnsupportedError(
                f"{step.where}: the arguments of {cls.__name__} are not JSON values ({error}); "
                "override arguments() and restore()"
            ) from error
        out |= {"operator": cls.__name__, "arguments": arguments}
    return out


def _content_hash(content: Mapping[str, Any], directory: Path) -> str:
    """Hash the graph and every artifact: equal hashes, equal workflows."""
    digest = hashlib.sha256()
    rest = {key: value for key, value in content.items() if key != "content_sha256"}
    digest.update(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode())
    for file in sorted((directory / ARTIFACTS).rglob("*.parquet")):
        digest.update(file.relative_to(directory).as_posix().encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def load_workflow(path: str | os.PathLike[str]) -> tuple[Graph, Schema]:
    """Read what `save_workflow` wrote, every checksum first.

    Returns:
        The graph with fitted operators, and the input schema.

    Raises:
        ArtifactMissingError, ArtifactVersionError, ArtifactCorruptError: see `Workflow.load`.
    """
    root = Path(path)
    manifest = open_directory(root, kind=WORKFLOW_KIND, max_version=WORKFLOW_VERSION)
    file = root / WORKFLOW_FILE
    if WORKFLOW_FILE not in manifest.files:
        raise ArtifactCorruptError(f"{root} has no {WORKFLOW_FILE}; save the workflow again")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["content_sha256"] != _content_hash(content, root):
            raise ArtifactCorruptError(f"{file}: the content hash differs; save the workflow again")
        schema = Schema.from_dict(content["input_schema"])
        for column in schema:
            dtype_of(column)
        steps: list[Step] = []
        for item in content["steps"]:
            tables = _tables(root, str(item["name"]), list(manifest.files))
            steps.append(_step(item, len(steps), tables))
    except (ValueError, KeyError, TypeError, AttributeError, PolarsError) as error:
        if isinstance(error, ArtifactError):
            raise
        raise ArtifactCorruptError(f"{file} is not a workflow ({error!r})") from error
    if not steps:
        raise ArtifactCorruptError(f"{file} has no steps")
    return Graph(steps), schema


def _tables(root: Path, step: str, files: Sequence[str]) -> dict[str, pl.DataFrame]:
    prefix = f"{ARTIFACTS}/{step}/"
    tables: dict[str, pl.DataFrame] = {}
    for name in files:
        if name.startswith(prefix) and name.endswith(".parquet"):
            try:
                # By handle: a path would be read as a glob pattern where a name has brackets.
                with (root / name).open("rb") as handle:
                    tables[name[len(prefix) : -len(".parquet")]] = pl.read_parquet(handle)
            except PolarsError as error:
                raise ArtifactCorruptError(
                    f"{root / name} is not a parquet file: {error}"
                ) from error
    return tables


def _step(item: Mapping[str, Any], number: int, tables: Mapping[str, pl.DataFrame]) -> Step:
    """Build one step from its JSON."""
    name, kind, parents = item["name"], item["kind"], item["parents"]
    if kind not in get_args(Kind) or not isinstance(name, str):
        raise ArtifactCorruptError(f"step {number} has the unknown kind {kind!r}")
    if not all(isinstance(p, int) and 0 <= p < number for p in parents):
        raise ArtifactCorruptError(f"step {name!r} has the parents {parents!r}")
    selector = None
    if "columns" in item:
        selector = ColumnSelector([*item["columns"], *(list(g) for g in item["groups"])])
        selector.also_alone = tuple(str(name) for name in item.get("also_alone", ()))
        broken = [tuple(map(str, group)) for group in item.get("broken_groups", ())]
        selector.broken_groups = tuple(broken)
        if not item["columns"]:
            selector = selector.optional()
    operator: Operator | None = None
    if kind == "apply":
        arguments = item["arguments"]
        if not isinstance(arguments, dict):
            raise ArtifactCorruptError(f"step {name!r}: arguments must be an object")
        operator = operator_class(str(item["operator"])).restore(arguments, tables)
    elif kind == "select" and selector is None:
        raise ArtifactCorruptError(f"step {name!r} selects nothing")
    subgraph = item.get("subgraph")
    if subgraph is not None and not isinstance(subgraph, str):
        raise ArtifactCorruptError(f"step {name!r} has the subgraph {subgraph!r}")
    return Step(
        name=name,
        kind=kind,
        parents=tuple(parents),
        selector=selector,
        operator=operator,
        subgraph=subgraph,
    )
