"""`planted.json`: which generator, with which arguments, wrote a raw directory."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from emberline.errors import (
    ArtifactCorruptError,
    ArtifactMissingError,
    ArtifactVersionError,
    nearest,
)
from emberline.etl.datasets import synthetic_criteo, synthetic_movielens
from emberline.etl.datasets.synthetic_criteo import SyntheticCriteo
from emberline.etl.datasets.synthetic_movielens import SyntheticMovieLens

__all__ = ["planted_model"]

_GENERATORS: Mapping[str, tuple[type[SyntheticMovieLens] | type[SyntheticCriteo], int]] = {
    "SyntheticCriteo": (SyntheticCriteo, synthetic_criteo.VERSION),
    "SyntheticMovieLens": (SyntheticMovieLens, synthetic_movielens.VERSION),
}


def planted_model(directory: str | os.PathLike[str]) -> SyntheticMovieLens | SyntheticCriteo:
    """Find the generator that wrote `directory`, and with it the planted model of its labels.

    Args:
        directory: what `SyntheticMovieLens.write` or `SyntheticCriteo.write` wrote.

    Raises:
        ArtifactMissingError: no `planted.json` (real data has no planted model).
        ArtifactCorruptError: a `planted.json` that no generator wrote.
        ArtifactVersionError: written by another version of the generator, whose rows differ.
    """
    file = Path(directory) / "planted.json"
    if not file.is_file():
        raise ArtifactMissingError(
            f"no planted.json in {directory}; only a directory that a generator wrote has a planted "
            "model"
        )
    try:
        noted = json.loads(file.read_bytes())
        name, version, arguments = noted["generator"], noted["version"], noted["arguments"]
        if name not in _GENERATORS:
            raise ValueError(f"unknown generator {name!r}{nearest(str(name), _GENERATORS)}")
        generator, expected = _GENERATORS[name]
        if version != expected:
            raise ArtifactVersionError(
                f"{file}: version {version!r} of {name}, this emberline has version {expected} and "
                "plants other labels; write the directory again"
            )
        return generator(**arguments)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, ArtifactVersionError):
            raise
        raise ArtifactCorruptError(
            f"{file} does not describe a generator ({error}); write the directory again"
        ) from error
