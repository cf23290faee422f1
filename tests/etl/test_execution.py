"""What is run ahead comes in order, fails in its turn, and leaves no thread behind."""

import threading
from collections.abc import Iterator

import pytest

from emberline.etl.execution import one_ahead


def test_the_next_item_is_made_while_one_is_used() -> None:
    made: list[int] = []
    second = threading.Event()

    def items() -> Iterator[int]:
        for number in range(3):
            made.append(number)
            if number == 1:
                second.set()
            yield number

    ahead = one_ahead(items())
    assert next(ahead) == 0
    assert second.wait(timeout=20)
    assert 2 not in made
    assert list(ahead) == [1, 2]


def test_an_error_comes_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 0
        raise ValueError("the second")

    ahead = one_ahead(items())
    assert next(ahead) == 0
    with pytest.raises(ValueError, match="the second"):
        next(ahead)


def test_stopping_early_leaves_no_thread() -> None:
    before = threading.active_count()
    ahead = one_ahead(iter(range(1, 10)))
    assert next(ahead) == 1
    assert threading.active_count() == before + 1
    ahead.close()
    assert threading.active_count() == before
