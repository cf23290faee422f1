"""Merlin's and NVTabular's loaders by their names and arguments, on ours.

    from emberline.dataloaders.merlin import KerasSequenceLoader, KerasSequenceValidater, Loader

Batches are merlin-dataloader 23.08's: `(dict of tensors, y)`, a ragged list column `c` as
`c__values` and `c__offsets`. They go into `fit`, `evaluate` and `predict` of Keras 3 as they are.

| argument | here |
| --- | --- |
| dataset, paths_or_dataset | what our `Loader` takes |
| batch_size, drop_last | the same |
| shuffle, seed_fn | ours: `seed_fn()` is called once, and every epoch has an order of its own; without it the seed is 0 |
| parts_per_chunk | windows of four times as many row groups |
| global_size, global_rank | `world` and `rank`; every rank gets equally many batches (merlin's did not) |
| transforms | functions of the features and fitted workflows; one or a list |
| device | None is "auto", a number is "gpu": CuPy's current device |
| label_names | `targets` |
| cat_names, cont_names | the feature columns, when given (NVTabular gave all columns all the same) |
| schema | the columns to give, and by its tag the targets |
| engine | None or "parquet" |
| buffer_size | no effect, as there |
| feature_columns, reader_kwargs, sparse_names, sparse_max, sparse_as_dense | an error that says what to do |

What our `Loader` has beyond is there too: `state_dict`, `load_state_dict`, `set_epoch`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import keras

from emberline.dataloaders import loader as ours
from emberline.dataloaders.pydataset import LoaderPyDataset
from emberline.dataloaders.stream import BatchStream
from emberline.dataloaders.tensors import to_tensors
from emberline.errors import DataError
from emberline.etl.schema import ColumnSchema, Schema, Tags

__all__ = ["KerasSequenceLoader", "KerasSequenceValidater", "Loader"]

_GROUPS_A_PART = 4


class Loader(LoaderPyDataset):
    """`merlin.dataloader.tensorflow.Loader`; the module's table says what each argument becomes.

    As there, `loader[i]` is the next batch whatever i is: `fit` may shuffle the numbers that it
    asks for, and the order stays that of the loader.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int,
        shuffle: bool = False,
        seed_fn: Callable[[], int] | None = None,
        parts_per_chunk: int = 1,
        global_size: int | None = None,
        global_rank: int | None = None,
        drop_last: bool = False,
        transforms: Any = None,
        device: int | str | None = None,
    ) -> None:
        """Open the data; no thread starts before iteration."""
        self._settings: dict[str, Any] = {
            "data": dataset,
            "batch_size": batch_size,
            "shuffle": shuffle,
            "seed": 0 if seed_fn is None else int(seed_fn()),
            "window_row_groups": _GROUPS_A_PART * parts_per_chunk,
            "world": 1 if global_size is None else global_size,
            "rank": 0 if global_rank is None else global_rank,
            "drop_last": drop_last,
            "transforms": _steps(transforms),
            "device": _device(device),
        }
        self._functions: list[Callable[..., Any]] = []
        self._running: Iterator[Any] | None = None
        self._asked = 0  # batches of this epoch that Keras has asked for
        self._use(None)

    def _use(self, schema: Schema | None) -> None:
        chosen: dict[str, Any] = {}
        if schema is not None:
            chosen["targets"] = schema.select_by_tag(Tags.TARGET).names
            chosen["columns"] = schema.names
        self._loader = ours.Loader(**self._settings, **chosen)
        self._schema = self._loader.schema if schema is None else schema
        super().__init__(self._loader.map(partial(_converted, self._functions)))

    def __iter__(self) -> Iterator[Any]:
        return iter(self._stream)

    def __next__(self) -> Any:
        """Give the next batch of the loader's own iteration, which begins again after its end."""
        if self._running is None:
            self._running = iter(self._stream)
        try:
            return next(self._running)
        except StopIteration:
            self._running = None
            raise

    def __getitem__(self, index: int) -> Any:
        """Give the next batch of the epoch, whatever the index."""
        number, self._asked = self._asked, (self._asked + 1) % len(self)
        return super().__getitem__(number)

    def on_epoch_begin(self) -> None:
        """Begin with the first batch: Keras has looked at some already."""
        self._asked = 0
        super().on_epoch_begin()

    @property
    def input_schema(self) -> Schema:
        """The columns that are read; may be set before the first batch, to read fewer."""
        return self._schema

    @input_schema.setter
    def input_schema(self, schema: Schema) -> None:
        if (self._loader.epoch, self._loader.batch) != (0, 0):
            raise DataError("input_schema can only be set before the first batch")
        self._use(schema)

    @property
    def output_schema(self) -> Schema:
        """The columns of a batch's features, and the targets; with transforms, from a first look."""
        if not self._loader.transforms:
            return self._schema
        targets = [f.name for f in self._loader.target_formats]
        return _array_schema(self._loader.peek()[0]) + self._schema.select(targets)

    @property
    def schema(self) -> Schema:
        """Another name of `input_schema`."""
        return self._schema

    def epochs(self, epochs: int = 1) -> Iterator[Any]:
        """Run several epochs as one iteration."""
        return self._stream.epochs(epochs)

    def map(self, fn: Callable[..., Any]) -> "Loader":
        """Pass every batch through `fn(x, y)`; changes this loader and gives it back, as there."""
        self._functions.append(fn)
        return self

    def peek(self) -> Any:
        """Read the batch that comes next, and leave the position as it is."""
        return self._stream.peek()

    def stop(self) -> None:
        """Drop the iteration that `next(loader)` goes through."""
        self._running = None

    def set_epoch(self, epoch: int) -> None:
        """Start the next iteration with the first batch of this epoch."""
        self._stream.set_epoch(epoch)

    def state_dict(self) -> dict[str, Any]:
        """Give the position after the last batch that iteration delivered, as JSON values."""
        return self._stream.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved position: the next iteration gives the rest of its epoch."""
        self._stream.load_state_dict(state)

    @property
    def stream(self) -> BatchStream:
        """The batches as a view of our own loader, with its adapters."""
        return self._stream


class KerasSequenceLoader(Loader):
    """`nvtabular.loader.tensorflow.KerasSequenceLoader`; see the module's table."""

    def __init__(
        self,
        paths_or_dataset: Any,
        batch_size: int,
        label_names: Iterable[str] | None = None,
        feature_columns: Any = None,
        cat_names: Iterable[str] | None = None,
        cont_names: Iterable[str] | None = None,
        engine: str | None = None,
        shuffle: bool = True,
        seed_fn: Callable[[], int] | None = None,
        buffer_size: float = 0.1,
        device: int | str | None = None,
        parts_per_chunk: int = 1,
        reader_kwargs: Mapping[str, Any] | None = None,
        global_size: int | None = None,
        global_rank: int | None = None,
        drop_last: bool = False,
        sparse_names: Iterable[str] | None = None,
        sparse_max: Mapping[str, int] | None = None,
        sparse_as_dense: bool = False,
        schema: Schema | None = None,
    ) -> None:
        """Open the data; no thread starts before iteration."""
        _refuse(
            feature_columns=(feature_columns, "Keras 3 has none; name columns in cat_names"),
            reader_kwargs=(reader_kwargs, "remote files: our Loader takes storage_options"),
            sparse_names=(sparse_names, "lists come as values and offsets"),
            sparse_max=(sparse_max, "cut or pad in the workflow: ops.ListSlice(n, pad=True)"),
            sparse_as_dense=(sparse_as_dense, "pad in the workflow: ops.ListSlice(n, pad=True)"),
        )
        if engine not in (None, "parquet"):
            raise DataError(
                f"engine is {engine!r}; only parquet is read: write it with "
                "etl.Dataset(...).to_parquet(...)"
            )
        super().__init__(
            paths_or_dataset,
            batch_size,
            shuffle,
            seed_fn,
            parts_per_chunk,
            global_size,
            global_rank,
            drop_last,
            None,
            device,
        )
        names = [*(cat_names or ()), *(cont_names or ())]
        labels = None if label_names is None else list(label_names)
        if schema is not None or names or labels is not None:
            self._use(_tagged(schema or self._schema, names, labels))


class KerasSequenceValidater(keras.callbacks.Callback):
    """`KerasSequenceValidater`: evaluates on a loader after each epoch, into `val_<metric>`.

    `fit(validation_data=loader)` does the same; here the loss is among the metrics, as there.
    """

    def __init__(self, dataloader: Loader) -> None:
        """Keep the loader."""
        super().__init__()
        self._dataloader = dataloader

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Evaluate, and add to the logs."""
        found = self.model.evaluate(self._dataloader, return_dict=True, verbose=0)
        if logs is not None:
            logs.update({f"val_{name}": value for name, value in found.items()})


def _steps(transforms: Any) -> Any:
    alone = callable(transforms) or hasattr(transforms, "transform")
    return [transforms] if alone else transforms


def _device(device: int | str | None) -> str:
    if device is None:
        return "auto"
    return "gpu" if isinstance(device, int) else device


def _refuse(**arguments: tuple[Any, str]) -> None:
    for name, (value, advice) in arguments.items():
        if value:
            raise DataError(f"{name}={value!r} is not offered: {advice}")


def _tagged(schema: Schema, names: list[str], labels: list[str] | None) -> Schema:
    targets = schema.select_by_tag(Tags.TARGET).names if labels is None else labels
    features = names or [name for name in schema.names if name not in targets]
    return Schema(
        replace(
            column,
            tags=column.tags - {Tags.TARGET} | ({Tags.TARGET} if column.name in targets else set()),
        )
        for column in schema.select([*features, *targets])
    )


def _array_schema(arrays: Mapping[str, Any]) -> Schema:
    """Describe the columns of a batch's arrays."""
    columns = []
    for name, array in arrays.items():
        base = name.removesuffix("__values")
        ragged = base != name and f"{base}__offsets" in arrays
        if name.endswith("__offsets") and f"{name.removesuffix('__offsets')}__values" in arrays:
            continue
        dtype = "string" if array.dtype == object else str(array.dtype)
        listed = ragged or array.ndim == 2
        columns.append(ColumnSchema(base if ragged else name, dtype, listed, ragged))
    return Schema(columns)


def _converted(functions: list[Callable[..., Any]], *batch: Any) -> Any:
    result: Any = to_tensors(batch)
    for function in functions:
        result = function(*result)
    return result
