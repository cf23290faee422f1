"""Where a MovieLens job takes its ratings from: a folder, a download, or the generator."""

from pathlib import Path

from emberline.etl.datasets import (
    DownloadError,
    SyntheticMovieLens,
    download_movielens,
    terms,
)
from emberline.workflows.progress import Reporter
from emberline.workflows.run import Run

__all__ = ["movielens_source"]


def movielens_source(
    run: Run,
    reporter: Reporter,
    *,
    data: Path | None,
    download: str | None,
    rows: int,
    seed: int,
    cache: Path,
) -> Path:
    """Return a folder or zip that `open_movielens` reads, and say which one it is.

    Args:
        run: generated data are kept in its `data/`, and used again.
        reporter: where to say it.
        data: a folder or zip that the user named; wins over everything else.
        download: name of an official data set to fetch; None for generated data at once. When it
            cannot be fetched, data are generated.
        rows: ratings to generate.
        seed: of the generated data.
        cache: where downloads are kept.
    """
    if data is not None:
        reporter.say(f"data: {data}")
        return data
    generated = SyntheticMovieLens(rows=rows, seed=seed)
    inputs = {"generator": "movielens", "rows": rows, "seed": seed}
    if download is not None and run.finished("data", inputs) is None:
        try:
            with reporter.work(f"download {download}", "bytes") as update:
                archive = download_movielens(download, cache, progress=update)
        except DownloadError as error:
            reporter.say(f"data: {error}")
        else:
            reporter.say(f"data: {download}, downloaded to {archive}. {terms(download)}")
            return archive

    def work(path: Path) -> dict[str, int]:
        with reporter.work("generate ratings", "rows") as update:
            generated.write(path, format="parquet", progress=update)
        return {"rows": rows}

    result = run.stage("data", inputs, work)
    reporter.say(f"data: {rows:,} generated ratings (seed {seed}) in {result.path}")
    return result.path
