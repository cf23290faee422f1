"""merlin-dataloader 23.8 as a peer of the loader; see `benchmarks.measure.peer.Peer`.

Runs in .venv-nvtabular (requirements/nvtabular.txt), where emberline is not. Every setting is its
default: on a machine without a GPU it loads with pandas and converts to TensorFlow's tensors.
"""

import json
import os
import sys
import time
import warnings
from importlib import import_module
from typing import Any

from benchmarks.loader_figures.rows import batch_digest

# What its libraries print and warn must not get between the answers.
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
warnings.simplefilter("ignore")
io = import_module("merlin.io")
tensorflow_loader = import_module("merlin.dataloader.tensorflow")


def epoch(directory: str, batch_size: int, check: bool) -> dict[str, Any]:
    """Open the data set and run one shuffled epoch; the fields of `loader_figures.epochs.Epoch`."""
    busy, began = time.process_time(), time.perf_counter()
    data = io.Dataset(directory, engine="parquet")
    loader = tensorflow_loader.Loader(data, batch_size=batch_size, shuffle=True)
    started = time.perf_counter()
    first = 0.0
    rows = digest = 0
    for x, y in loader:
        first = first or time.perf_counter()
        rows += len(y)
        if check:
            arrays = {name: value.numpy() for name, value in x.items()}
            digest += batch_digest({**arrays, "label": y.numpy()})[1]
    ended = time.perf_counter()
    return {
        "first_s": first - began,
        "epoch_s": ended - started,
        "cpu_s": time.process_time() - busy,
        "rows": rows,
        "digest": digest % 2**64,
    }


def main() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        command = request.pop("command")
        result = {"epoch": epoch}[command](**request)
        print(json.dumps({"result": result}), file=answers, flush=True)


if __name__ == "__main__":
    main()
