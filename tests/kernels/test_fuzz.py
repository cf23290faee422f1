"""The fuzz itself: a moment of it always, two minutes in CI, and proof that it finds faults."""

import random
from typing import Any

import numpy as np
import pytest

from emberline.kernels import HashTable
from tests.kernels.fuzz import Episode, FuzzError, fuzz


def test_a_moment_of_fuzz() -> None:
    episodes, keys = fuzz(seconds=3, seed=1)
    assert episodes > 2
    assert keys > 1000


@pytest.mark.slow
def test_two_minutes_of_fuzz(capsys: pytest.CaptureFixture[str]) -> None:
    seed = random.SystemRandom().randrange(2**40)
    with capsys.disabled():
        print(f"\nfuzz: --seed {seed}")
    episodes, keys = fuzz(seconds=120, seed=seed)
    assert episodes > 100
    assert keys > 100_000


def test_a_planted_fault_is_found_and_replays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that loses a key of a batch, rarely: the same episode fails at the same place."""
    erase = HashTable.erase

    def leaky(table: HashTable, keys: Any) -> int:
        return erase(table, keys[:-1] if len(keys) == 7 else keys)

    monkeypatch.setattr(HashTable, "erase", leaky)
    with pytest.raises(FuzzError, match=r"episode \d+, operation \d+: .*replay with") as found:
        fuzz(seconds=60, seed=1)
    number = int(str(found.value).split()[1].rstrip(","))
    with pytest.raises(FuzzError) as again:
        Episode(number).run()
    assert str(again.value) == str(found.value)


def test_episodes_are_pure() -> None:
    first, second = Episode(5), Episode(5)
    first.run(60)
    second.run(60)
    assert first.keys_used == second.keys_used > 0
    np.testing.assert_array_equal(first.ours.export().values, second.ours.export().values)
