"""Run an iterator ahead in a thread, within a memory budget."""

import contextlib
import threading
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterator
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

__all__ = ["Prefetch"]

T = TypeVar("T")


class _Channel(Generic[T]):
    """A bounded queue between two threads; the thread knows it, not the `Prefetch`.

    So a `Prefetch` that nobody holds any more is collected although its thread still runs, and
    its finalizer then stops the thread. The lock is re-entrant because that finalizer may run
    inside any allocation, also one made while this thread holds the lock.
    """

    def __init__(self, budget_bytes: int) -> None:
        self._items: deque[tuple[T, int]] = deque()
        self._changed = threading.Condition(threading.RLock())
        self._budget_bytes = budget_bytes
        self._waiting_bytes = 0
        self._error: BaseException | None = None
        self._finished = False
        self._stopped = False

    def put(self, item: T, size_bytes: int) -> bool:
        """Append when there is room; an item over the whole budget waits for an empty queue.

        Returns:
            False when the consumer has gone.
        """
        with self._changed:
            while not self._stopped and self._items:
                if self._waiting_bytes + size_bytes <= self._budget_bytes:
                    break
                self._changed.wait()
            if self._stopped:
                return False
            self._items.append((item, size_bytes))
            self._waiting_bytes += size_bytes
            self._changed.notify_all()
            return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: object, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        """End the items; whatever was raised belongs to the consumer, not to this thread."""
        with self._changed:
            self._error = error
            self._finished = True
            self._changed.notify_all()
        return True

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._items.clear()
            self._waiting_bytes = 0
            self._changed.notify_all()

    def get(self) -> T:
        with self._changed:
            while not self._items and not self._finished and not self._stopped:
                self._changed.wait()
            if self._items:
                item, size_bytes = self._items.popleft()
                self._waiting_bytes -= size_bytes
                self._changed.notify_all()
                return item
            # Raised once: later calls find the end, as with any iterator that failed.
            error, self._error = self._error, None
        if error is not None:
            raise error
        raise StopIteration


def _fill(
    items: Generator[T, None, None], size_bytes: Callable[[T], int], channel: _Channel[T]
) -> None:
    with channel, contextlib.closing(items):
        for item in items:
            if not channel.put(item, size_bytes(item)):
                return


def _shut(channel: _Channel[T], thread: threading.Thread, upstream: "Prefetch[Any] | None") -> None:
    channel.stop()
    if upstream is not None:
        upstream.close()  # the thread may be waiting for it
    # The collector runs finalizers in any thread, also in this one.
    if thread is not threading.current_thread():
        thread.join()


class Prefetch(Iterator[T]):
    """An iterator whose items are made ahead of time by one background thread.

    The order is that of `items`; an exception there is raised here, after the items before it.
    The thread ends when the items do, or on `close`, which also happens when the `Prefetch` is
    collected and at interpreter exit; it waits for the item in the making.

    Args:
        items: the generator; closed by the thread at its end.
        size_bytes: the memory of one item.
        budget_bytes: limit of the items made and not yet taken; one item is always allowed, and
            one more is in the making.
        name: of the thread.
        upstream: the stage that `items` takes from, if any; closed with this one.
    """

    def __init__(
        self,
        items: Generator[T, None, None],
        *,
        size_bytes: Callable[[T], int],
        budget_bytes: int,
        name: str,
        upstream: "Prefetch[Any] | None" = None,
    ) -> None:
        """Start the thread."""
        channel: _Channel[T] = _Channel(budget_bytes)
        # A daemon: at exit the interpreter would otherwise wait for a thread that waits for room
        # before it runs the finalizer that stops it.
        thread = threading.Thread(
            target=_fill, args=(items, size_bytes, channel), name=name, daemon=True
        )
        self._channel = channel
        self._finalizer = weakref.finalize(self, _shut, channel, thread, upstream)
        thread.start()

    def __next__(self) -> T:
        return self._channel.get()

    def close(self) -> None:
        """Stop the thread and wait for its end; items already made are dropped."""
        self._finalizer()
