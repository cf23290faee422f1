"""What finished jobs show and write."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from emberline.workflows.run import StageResult

__all__ = ["job_report", "print_metrics", "print_report"]

_NAMES = {
    "model": "emberline model",
    "linear": "logistic regression",
    "item_mean": "item mean, shrunk",
    "base_rate": "base rate",
    "planted": "best possible (planted)",
}


def job_report(stages: Mapping[str, StageResult], run: Path) -> dict[str, Any]:
    """Gather the job's figures as JSON-able values.

    Args:
        stages: results by name: examples, workflow, train, valid, model, evaluation, rows.
        run: the run directory.
    """
    examples = stages["examples"].info
    return {
        "source": examples["source"],
        "data": examples["data"],
        "run": str(run),
        "rows": examples["rows"],
        "embedding_sizes": stages["workflow"].info["embedding_sizes"],
        "tables": stages["model"].info["tables"],
        "epochs": stages["model"].info["epochs"],
        "stages": {
            name: {"seconds": stage.seconds, "reused": stage.reused, "path": str(stage.path)}
            for name, stage in stages.items()
        },
        "metrics": stages["evaluation"].info["metrics"],
        "scored": stages["rows"].info["scored"],
        "reloaded_identical": stages["rows"].info["identical"],
    }


def print_metrics(metrics: Mapping[str, Mapping[str, float]], console: Console) -> None:
    """Print each predictor's figures on the validation rows.

    Args:
        metrics: {"auc", "logloss"} by predictor, `model` and baselines.
        console: where to print.
    """
    table = Table(title="validation", title_justify="left")
    for heading in ("predictor", "AUC", "logloss"):
        table.add_column(heading, justify="left" if heading == "predictor" else "right")
    for name, title in _NAMES.items():
        if name in metrics:
            figures = metrics[name]
            table.add_row(title, f"{figures['auc']:.4f}", f"{figures['logloss']:.4f}")
    console.print(table)


def print_report(report: Mapping[str, Any], console: Console) -> None:
    """Print the report as tables."""
    rows = report["rows"]
    console.print(
        f"\n{report['source']}: {rows['ratings']:,} ratings, "
        f"{rows['train']:,} to train, {rows['valid']:,} to validate",
        highlight=False,
    )
    features = Table(title="features", title_justify="left")
    for heading in ("feature", "cardinality", "suggested dim", "table dim", "table rows", "MiB"):
        features.add_column(heading, justify="left" if heading == "feature" else "right")
    for name, (cardinality, dim) in report["embedding_sizes"].items():
        table = report["tables"][name]
        features.add_row(
            name,
            f"{cardinality:,}",
            str(dim),
            str(table["dim"]),
            f"{table['rows']:,}",
            f"{table['size_bytes'] / 2**20:.1f}",
        )
    console.print(features)
    print_metrics(report["metrics"], console)
    stages = Table(title="stages", title_justify="left")
    for heading in ("stage", "seconds", "where"):
        stages.add_column(heading, justify="right" if heading == "seconds" else "left")
    for name, stage in report["stages"].items():
        took = f"{stage['seconds']:.1f}" + (" (reused)" if stage["reused"] else "")
        stages.add_row(name, took, stage["path"])
    console.print(stages)
    scored = Table(title="raw rows, scored by a new process", title_justify="left")
    for name in report["scored"][0]:
        scored.add_column(name, justify="right" if name == "score" else "left")
    for row in report["scored"]:
        score = row["score"]
        scored.add_row(*(str(v) for k, v in row.items() if k != "score"), f"{score:.4f}")
    console.print(scored)
    same = "bit-identical to" if report["reloaded_identical"] else "DIFFERENT from"
    console.print(f"The new process' scores are {same} this process'.", highlight=False)
