"""The `emberline` command."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

import emberline
from emberline.errors import EmberlineError

__all__ = ["app", "main"]

app = typer.Typer(
    help="From raw logs to a served recommender.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(help="Get or generate raw data.", no_args_is_help=True)
etl_app = typer.Typer(help="Raw data -> encoded parquet and a workflow.", no_args_is_help=True)
app.add_typer(data_app, name="data")
app.add_typer(etl_app, name="etl")

RunDir = Annotated[Path, typer.Argument(help="Run directory.")]
Out = Annotated[Path, typer.Option("--out", help="Run directory.")]
Data = Annotated[Path | None, typer.Option("--data", help="MovieLens folder or zip.")]
Split = Annotated[
    Literal["user", "global"],
    typer.Option("--split", help="Validation: each user's last 20 %, or the last 20 % of all."),
]
CriteoData = Annotated[
    Path, typer.Option("--data", help="Criteo files: a folder, a file or a pattern in quotes.")
]
CriteoSplit = Annotated[
    Literal["share", "day"],
    typer.Option("--split", help="Validation: the last share of the rows, or the last file."),
]
ValidShare = Annotated[float, typer.Option("--valid-share", help="Of the rows, for validation.")]
MinCount = Annotated[
    int, typer.Option("--min-count", min=1, help="Rarer categories are out of vocabulary.")
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")]
Epochs = Annotated[int, typer.Option("--epochs", min=1, help="Passes over the training rows.")]
JsonOut = Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")]


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"emberline {emberline.__version__}")
        raise typer.Exit


@app.callback()
def root(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    """From raw logs to a served recommender."""
    del debug, version  # `main` and the callback see to them


def main() -> None:
    """Run the command line; errors are one line and exit code 2, a traceback with --debug."""
    debug = "--debug" in sys.argv[1:]  # wherever it stands
    try:
        code = app([a for a in sys.argv[1:] if a != "--debug"], standalone_mode=False)
    except typer.Abort:
        _fail("aborted")
    except KeyboardInterrupt:
        _fail("interrupted; the same command continues", code=130)
    except Exception as error:  # the outermost frame: whatever it is, the user gets one line
        if debug:
            raise
        if hasattr(error, "show"):  # a usage error of the command-line library
            error.show()
            raise SystemExit(2) from None
        hint = "" if isinstance(error, EmberlineError | OSError) else " (--debug shows where)"
        text = " ".join(str(error).split()) or type(error).__name__
        _fail(f"{text}{hint}")
    raise SystemExit(code or 0)


def _fail(text: str, code: int = 2) -> None:
    print(f"emberline: error: {text}", file=sys.stderr)
    raise SystemExit(code) from None


def _job(out: Path, **settings: Any) -> Any:
    from emberline.workflows.progress import Reporter
    from emberline.workflows.recipes.movielens_ranking import MovieLensRanking, RankingJob
    from emberline.workflows.run import Run

    return RankingJob(Run(out), MovieLensRanking(**settings), Reporter())


def _criteo_job(out: Path, **settings: Any) -> Any:
    from emberline.workflows.progress import Reporter
    from emberline.workflows.recipes.criteo import CriteoJob, CriteoRanking
    from emberline.workflows.run import Run

    return CriteoJob(Run(out), CriteoRanking(**settings), Reporter())


@app.command()
def criteo(
    data: CriteoData,
    out: Out = Path("emberline-criteo"),
    split: CriteoSplit = "share",
    valid_share: ValidShare = 0.2,
    min_count: MinCount = 15,
    epochs: Epochs = 1,
    seed: Seed = 0,
    json_out: JsonOut = None,
) -> None:
    """Run click logs through ETL, training of a DLRM, and figures beside baselines."""
    from emberline.workflows.summary import print_metrics

    job = _criteo_job(
        out, split=split, valid_share=valid_share, min_count=min_count, epochs=epochs, seed=seed
    )
    with job.run.lock():
        examples = job.examples(data)
        etl = job.etl(examples)
        result = job.evaluate(examples, etl, job.train(etl))
    rows, metrics = examples.info["rows"], result.info["metrics"]
    typer.echo(f"\n{data}: {rows['train']:,} rows to train, {rows['valid']:,} to validate")
    print_metrics(metrics, Console())
    _write_json(json_out, {"rows": rows, "metrics": metrics})


@app.command()
def demo(
    data: Data = None,
    out: Out = Path("emberline-demo"),
    download: Annotated[
        str, typer.Option(help="Official data set to fetch when --data is not given.")
    ] = "ml-latest-small",
    synthetic: Annotated[
        bool, typer.Option("--synthetic", help="Generate data; do not try to download.")
    ] = False,
    rows: Annotated[int, typer.Option(min=1000, help="Ratings to generate.")] = 1_000_000,
    split: Split = "user",
    epochs: Epochs = 3,
    seed: Seed = 0,
    json_out: JsonOut = None,
) -> None:
    """Run the whole line: raw ratings to a trained model that a new process scores with."""
    from emberline.workflows.sources import movielens_source
    from emberline.workflows.summary import job_report, print_report

    job = _job(out, split=split, epochs=epochs, seed=seed)
    with job.run.lock():
        source = movielens_source(
            job.run,
            job.reporter,
            data=data,
            download=None if synthetic else download,
            rows=rows,
            seed=seed,
            cache=out / "downloads",
        )
        examples = job.examples(source)
        etl = job.etl(examples)
        model = job.train(etl)
        stages = {
            "examples": examples,
            **etl,
            "model": model,
            "evaluation": job.evaluate(examples, etl, model),
            "rows": job.score_again(examples, model),
        }
    report = job_report(stages, out)
    print_report(report, Console())
    _write_json(json_out, report)
    if not report["reloaded_identical"]:
        raise EmberlineError(f"a new process scored the rows differently; see {out / 'rows'}")


@etl_app.command("movielens")
def etl_movielens(
    data: Annotated[Path, typer.Option("--data", help="MovieLens folder or zip.")],
    out: Out = Path("emberline-run"),
    split: Split = "user",
    seed: Seed = 0,
) -> None:
    """Join, split, fit the workflow on the training rows, encode both parts to parquet."""
    job = _job(out, split=split, seed=seed)
    with job.run.lock():
        results = job.etl(job.examples(data))
    for name, (cardinality, dim) in results["workflow"].info["embedding_sizes"].items():
        typer.echo(f"{name}: cardinality {cardinality:,}, suggested dim {dim}")
    typer.echo(f"next: emberline train {out}")


@etl_app.command("transform")
def etl_transform(
    workflow: Annotated[Path, typer.Argument(help="A saved workflow.")],
    source: Annotated[Path, typer.Argument(help="Parquet or CSV: a file or folder.")],
    out: Annotated[Path, typer.Argument(help="Data set to write.")],
) -> None:
    """Apply a saved workflow to raw files and write the encoded data set."""
    from emberline.etl import Dataset, Workflow

    Workflow.load(workflow).transform(Dataset(source)).to_parquet(out)
    typer.echo(f"{Dataset(out).num_rows:,} rows in {out}")


@etl_app.command("criteo")
def etl_criteo(
    data: CriteoData,
    out: Out = Path("emberline-criteo"),
    split: CriteoSplit = "share",
    valid_share: ValidShare = 0.2,
    min_count: MinCount = 15,
    seed: Seed = 0,
) -> None:
    """Split click logs, fit the 13 + 26 column workflow on training, encode both parts."""
    job = _criteo_job(out, split=split, valid_share=valid_share, min_count=min_count, seed=seed)
    with job.run.lock():
        results = job.etl(job.examples(data))
    for name, (cardinality, dim) in results["workflow"].info["embedding_sizes"].items():
        typer.echo(f"{name}: cardinality {cardinality:,}, suggested dim {dim}")
    typer.echo(f"next: emberline etl report {out}")


@etl_app.command("report")
def etl_report(
    data: Annotated[Path, typer.Argument(help="Run directory, data set or raw files.")],
    train: Annotated[Path | None, typer.Option("--train", help="Training rows.")] = None,
    valid: Annotated[Path | None, typer.Option("--valid", help="Validation rows.")] = None,
    workflow: Annotated[
        Path | None, typer.Option("--workflow", help="A saved workflow that reads these rows.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Page to write.")] = Path("report.html"),
) -> None:
    """Picture what the columns hold, and how validation differs from training, on one page."""
    from emberline.etl import Workflow
    from emberline.etl.report import write_report
    from emberline.workflows.report_sources import report_sources

    found = report_sources(data, train=train, valid=valid, workflow=workflow)
    fitted = None if found.workflow is None else Workflow.load(found.workflow)
    title = f"Data report: {data.resolve().name}"
    write_report(out, found.train, found.valid, workflow=fitted, title=title)
    typer.echo(f"{out}")


@app.command()
def train(run: RunDir, epochs: Epochs = 3, seed: Seed = 0) -> None:
    """Train the MovieLens model on what `etl movielens` encoded."""
    job = _job(run, epochs=epochs, seed=seed)
    with job.run.lock():
        result = job.train({name: job.run.last(name) for name in ("workflow", "train")})
    for name, table in result.info["tables"].items():
        typer.echo(f"table {name}: {table['rows']:,} rows of dim {table['dim']}")
    typer.echo(f"next: emberline evaluate {run}")


@app.command()
def evaluate(run: RunDir, json_out: JsonOut = None) -> None:
    """Judge the trained model and three baselines on the validation rows."""
    job = _job(run)
    with job.run.lock():
        last = {name: job.run.last(name) for name in ("examples", "workflow", "train", "valid")}
        result = job.evaluate(last["examples"], last, job.run.last("model"))
    for name, figures in result.info["metrics"].items():
        typer.echo(f"{name}: AUC {figures['auc']:.4f}, logloss {figures['logloss']:.4f}")
    _write_json(json_out, result.info["metrics"])


@app.command()
def predict(
    run: RunDir,
    rows: Annotated[Path, typer.Argument(help="Raw rows: .csv, .json, .jsonl or .parquet.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Write rows and scores: .parquet, .csv or .jsonl.")
    ] = None,
) -> None:
    """Score raw rows with the run's saved workflow and model."""
    import polars as pl

    from emberline.workflows.tensorflow_start import start_tensorflow

    start_tensorflow()
    from emberline.workflows.scoring import Scorer, read_rows, write_rows

    raw = read_rows(rows)
    scored = raw.with_columns(score=pl.Series(Scorer.load(run).score(raw)))
    if out is None:
        typer.echo(scored.write_ndjson(), nl=False)
    else:
        write_rows(scored, out)


@data_app.command("movielens")
def data_movielens(
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
    rows: Annotated[int, typer.Option(min=1000, help="Ratings.")] = 1_000_000,
    seed: Seed = 0,
    file_format: Annotated[Literal["parquet", "csv"], typer.Option("--format")] = "csv",
) -> None:
    """Generate MovieLens-shaped ratings whose best possible AUC is known."""
    from emberline.etl.datasets import SyntheticMovieLens
    from emberline.workflows.progress import Reporter

    with Reporter().work("generate", "rows") as update:
        SyntheticMovieLens(rows=rows, seed=seed).write(out, format=file_format, progress=update)
    typer.echo(f"{rows:,} ratings in {out}")


@data_app.command("criteo")
def data_criteo(
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
    rows: Annotated[int, typer.Option(min=1, help="Rows.")] = 1_000_000,
    seed: Seed = 0,
    file_format: Annotated[Literal["parquet", "tsv"], typer.Option("--format")] = "parquet",
    files: Annotated[int, typer.Option(min=1, help="Number of files.")] = 1,
) -> None:
    """Generate Criteo-shaped rows (13 integers, 26 hex strings) with a planted model."""
    from emberline.etl.datasets import SyntheticCriteo
    from emberline.workflows.progress import Reporter

    with Reporter().work("generate", "rows") as update:
        SyntheticCriteo(rows=rows, seed=seed).write(
            out, format=file_format, files=files, progress=update
        )
    typer.echo(f"{rows:,} rows in {out}")


@data_app.command("download")
def data_download(
    name: Annotated[str, typer.Argument(help="ml-latest-small, ml-1m, ml-25m, ml-32m, ...")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the archive.")] = Path("."),
) -> None:
    """Fetch an official MovieLens archive; an interrupted download continues."""
    from emberline.etl.datasets import download_movielens, terms
    from emberline.workflows.progress import Reporter

    with Reporter().work(f"download {name}", "bytes") as update:
        archive = download_movielens(name, out, progress=update)
    typer.echo(f"{archive}. {terms(name)}")


@data_app.command("info")
def data_info(data: Annotated[Path, typer.Argument(help="MovieLens folder or zip.")]) -> None:
    """Count the ratings, users and movies of a MovieLens folder or zip."""
    import polars as pl

    from emberline.etl.datasets import open_movielens

    source = open_movielens(data)
    counts = source.ratings.select(
        pl.len(), users=pl.col("userId").n_unique(), movies=pl.col("movieId").n_unique()
    ).collect(engine="streaming")
    ratings, users, movies = counts.row(0)
    listed = source.movies.select(pl.len()).collect().item()
    typer.echo(
        f"{source.name} ({source.layout}): {ratings:,} ratings of {movies:,} movies by "
        f"{users:,} users; {listed:,} movies listed"
    )


@data_app.command("bench")
def data_bench(
    data: Annotated[str, typer.Argument(help="Data set, folder, file or pattern of parquet.")],
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Rows.")] = 65_536,
    shuffle: Annotated[bool, typer.Option("--shuffle", help="Permute the rows.")] = False,
    threads: Annotated[int, typer.Option(min=0, help="That read ahead; 0: one a core.")] = 0,
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="Passes over the rows.")] = 1,
    json_out: JsonOut = None,
) -> None:
    """Load parquet as a training would, and say how fast it comes."""
    from emberline.workflows.loader_bench import bench_epochs, print_epochs

    figures = bench_epochs(
        data, batch_size, shuffle=shuffle, threads=threads or "auto", epochs=epochs
    )
    print_epochs(figures, Console())
    _write_json(json_out, figures)


def _write_json(file: Path | None, report: Any) -> None:
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
