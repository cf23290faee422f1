from itertools import chain, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emberline.dataloaders.share import Remainder, Runs, Share
from emberline.errors import DataError

REMAINDERS = st.sampled_from(["pad", "drop", "uneven"])


@st.composite
def runs(draw: st.DrawFn) -> Runs:
    """Ascending runs that do not touch."""
    lengths = draw(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 6)), max_size=5))
    out, end = [], -1
    for gap, length in lengths:
        out.append((end + gap, end + gap + length))
        end += gap + length
    return tuple(out)


def flat(some: Runs) -> list[int]:
    return [number for start, stop in some for number in range(start, stop)]


def reference(batches: list[int], rank: int, world: int, remainder: str) -> list[int]:
    """The documented rule."""
    size, rest = divmod(len(batches), world)
    sizes = [size + (remainder != "drop" and r < rest) for r in range(world)]
    end = sum(sizes[: rank + 1])
    own = batches[end - sizes[rank] : end]
    if remainder == "pad" and len(own) < max(sizes):
        own = [*own, batches[end - 1]]
    return own


@given(left=runs(), world=st.integers(1, 6), remainder=REMAINDERS, data=st.data())
def test_the_rule(left: Runs, world: int, remainder: Remainder, data: st.DataObject) -> None:
    batches = flat(left)
    each = []
    for rank in range(world):
        share = Share(rank=rank, world=world, remainder=remainder)
        expected = reference(batches, rank, world, remainder)
        assert list(chain(*share.numbers(left))) == expected
        assert share.count(len(batches)) == len(expected)
        first = data.draw(st.integers(0, len(expected)))
        assert list(chain(*share.numbers(left, first))) == expected[first:]
        each.append(expected)
    if remainder != "uneven":
        assert len({len(numbers) for numbers in each}) == 1
    delivered = sorted(set(chain(*each)))
    if remainder == "drop":
        assert delivered == batches[: len(batches) // world * world]
    else:
        assert delivered == batches
    repeats = sum(map(len, each)) - len(delivered)
    assert repeats == (-len(batches) % world if remainder == "pad" else 0)


@given(left=runs(), world=st.integers(1, 6), remainder=REMAINDERS, delivered=st.integers(0, 8))
def test_what_is_left(left: Runs, world: int, remainder: Remainder, delivered: int) -> None:
    gone: set[int] = set()
    for rank in range(world):
        gone.update(reference(flat(left), rank, world, remainder)[:delivered])
    rest = Share(world=world, remainder=remainder).left(left, delivered)
    assert flat(rest) == [number for number in flat(left) if number not in gone]
    assert all(stop < start for (_, stop), (start, _) in pairwise(rest))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"world": 0}, "world is 0; expected 1 or more ranks"),
        ({"rank": -1}, "rank is -1; expected 0 <= rank < world, which is 2"),
        ({"rank": 2}, "rank is 2; expected"),
        ({"remainder": "pat"}, "remainder is 'pat'.*expected 'pad', 'drop' or 'uneven'"),
    ],
)
def test_bad_settings(change: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {"rank": 0, "world": 2, **change}
    with pytest.raises(DataError, match=message):
        Share(**arguments)  # type: ignore[arg-type]
