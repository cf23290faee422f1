"""Where a loader stands, and how that is saved."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from emberline.dataloaders.errors import LoaderStateError
from emberline.dataloaders.share import Runs, Share
from emberline.errors import DataError

__all__ = ["Position"]

_VERSION = 2
_OWN_KEYS = {
    1: {"version", "epoch", "batch"},
    2: {"version", "epoch", "batch", "world", "remainder", "left"},
}


@dataclass(frozen=True, kw_only=True)
class Position:
    """After a batch, the same on every rank that has delivered as many.

    Attributes:
        epoch: from 0.
        left: the epoch's batches that were dealt to the ranks; all of them, but in an epoch that
            was begun by another number of ranks.
        delivered: batches that each rank has delivered of its share of `left`.
    """

    epoch: int
    left: Runs
    delivered: int = 0

    @classmethod
    def start(cls, epoch: int, num_batches: int) -> "Position":
        """The start of an epoch."""
        return cls(epoch=epoch, left=((0, num_batches),))

    @property
    def num_left(self) -> int:
        """Batches in `left`, for all ranks together."""
        return sum(stop - start for start, stop in self.left)

    def save(self, share: Share, order: Mapping[str, Any]) -> dict[str, Any]:
        """Give the state, as JSON values: a few hundred bytes whatever the epoch's size.

        Args:
            share: this rank's; the rank itself is not part of the state.
            order: everything beside the position that decides which rows a batch has.
        """
        return {
            "version": _VERSION,
            "epoch": self.epoch,
            "batch": self.delivered,
            "world": share.world,
            "remainder": share.remainder,
            "left": [list(run) for run in self.left],
            **order,
        }

    @classmethod
    def load(
        cls, state: Mapping[str, Any], share: Share, order: Mapping[str, Any], num_batches: int
    ) -> "Position":
        """Read a state that any rank has saved, for a rank of these or of another number of ranks.

        Raises:
            LoaderStateError: not a state, or one of other files or settings.
        """
        _check_keys(state, order)
        _check_order(state, order)
        epoch, delivered = _counts(state)
        if state["version"] == 1:
            saved, left = Share(), cls.start(epoch, num_batches).left
        else:
            saved, left = _share(state), _runs(state, num_batches)
        # Of rank 0, which delivers the most.
        count = saved.count(sum(stop - start for start, stop in left))
        if epoch < 0 or not 0 <= delivered < count:
            raise LoaderStateError(
                f"epoch {epoch}, batch {delivered} does not exist: an epoch has {count} batches"
            )
        position = cls(epoch=epoch, left=left, delivered=delivered)
        if (saved.world, saved.remainder) != (share.world, share.remainder):
            position = cls(epoch=epoch, left=saved.left(left, delivered))
        return position.normal(share, num_batches)

    def normal(self, share: Share, num_batches: int) -> "Position":
        """The start of the next epoch where this rank has nothing left of this one."""
        begun = self.delivered > 0 or self.num_left != num_batches
        if begun and self.delivered >= share.count(self.num_left):
            return Position.start(self.epoch + 1, num_batches)
        return self


def _check_keys(state: Any, order: Mapping[str, Any]) -> None:
    version = state.get("version") if isinstance(state, Mapping) else None
    if version is not None and (type(version) is not int or version not in _OWN_KEYS):
        raise LoaderStateError(
            f"loader state version {version!r}; this emberline reads up to {_VERSION}"
        )
    expected = {*_OWN_KEYS[version or _VERSION], *order}
    if not isinstance(state, Mapping) or set(state) != expected:
        got = sorted(map(str, state)) if isinstance(state, Mapping) else repr(state)
        raise LoaderStateError(
            f"not a loader state: it has {got}, expected the keys {sorted(expected)}"
        )


def _check_order(state: Mapping[str, Any], order: Mapping[str, Any]) -> None:
    for name, value in order.items():
        if state[name] != value and name == "fingerprint":
            raise LoaderStateError(
                "the files have changed since the state was saved (other names, sizes or "
                "contents); resume on the same files or start a new epoch with set_epoch()"
            )
        if state[name] != value:
            raise LoaderStateError(
                f"the state was saved with {name}={state[name]!r}, this loader has "
                f"{name}={value!r}; the order of batches would differ: use the saved value"
            )


def _counts(state: Mapping[str, Any]) -> tuple[int, int]:
    epoch, batch = state["epoch"], state["batch"]
    if type(epoch) is not int or type(batch) is not int:
        raise LoaderStateError(f"epoch {epoch!r}, batch {batch!r} are not two integers")
    return epoch, batch


def _share(state: Mapping[str, Any]) -> Share:
    world, remainder = state["world"], state["remainder"]
    if type(world) is not int:
        raise LoaderStateError(f"world {world!r} of the state is not an integer")
    try:
        return Share(world=world, remainder=remainder)
    except DataError as error:
        raise LoaderStateError(f"not a loader state: {error}") from error


def _runs(state: Mapping[str, Any], num_batches: int) -> Runs:
    runs: list[tuple[int, int]] = []
    try:
        runs += [(start, stop) for start, stop in state["left"]]
        ends = [0, *(end for run in runs for end in run), num_batches]
        good = all(type(end) is int for end in ends) and ends == sorted(ends)
        good = good and all(start < stop for start, stop in runs)
    except (TypeError, ValueError):
        good = False
    if not good:
        raise LoaderStateError(
            f"left is {state['left']!r}; expected ascending pairs of numbers up to {num_batches}"
        )
    return tuple(runs)
