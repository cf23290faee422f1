from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emberline.dataloaders.plan import EpochPlan, Plan
from emberline.errors import DataError

SIZES = st.lists(st.integers(0, 9), min_size=1, max_size=12).filter(any)
PLANS = st.builds(
    Plan,
    row_group_rows=SIZES.map(tuple),
    batch_size=st.integers(1, 20),
    shuffle=st.booleans(),
    seed=st.integers(0, 2**64 - 1),
    window_row_groups=st.integers(1, 5),
)


def rows_of(epoch: EpochPlan, first: int = 0) -> list[list[tuple[int, int]]]:
    """Batches as (row group, row in it), from the plan's own pieces."""
    out = []
    for stretches in epoch.batches(first):
        batch: list[tuple[int, int]] = []
        for stretch in stretches:
            groups = epoch.window_groups(stretch.window)
            rows = [(int(g), r) for g in groups for r in range(epoch.plan.row_group_rows[g])]
            order = epoch.window_order(stretch.window)
            batch += (rows if order is None else [rows[i] for i in order])[
                stretch.start : stretch.stop
            ]
        out.append(batch)
    return out


def every_row(plan: Plan) -> list[tuple[int, int]]:
    return [(g, r) for g, rows in enumerate(plan.row_group_rows) for r in range(rows)]


@given(plan=PLANS, epoch=st.integers(0, 3))
def test_an_epoch_has_every_row_once_in_full_batches(plan: Plan, epoch: int) -> None:
    batches = rows_of(plan.epoch(epoch))
    rows = [row for batch in batches for row in batch]
    assert sorted(rows) == every_row(plan)
    assert len(batches) == plan.num_batches
    assert {len(batch) for batch in batches[:-1]} <= {plan.batch_size}
    assert 1 <= len(batches[-1]) <= plan.batch_size
    if not plan.shuffle:
        assert rows == every_row(plan)


@given(plan=PLANS, data=st.data())
def test_any_batch_is_found_without_the_ones_before(plan: Plan, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, plan.num_batches - 1))
    epoch = plan.epoch(1)
    assert rows_of(epoch, first) == rows_of(epoch)[first:]


def test_the_shuffle_is_the_documented_one() -> None:
    # Philox, key (seed, epoch), counter (0, 0, purpose, index): written out again here.
    def stream(purpose: int, index: int) -> np.random.Generator:
        counter = np.array([0, 0, purpose, index], dtype=np.uint64)
        key = np.array([7, 2], dtype=np.uint64)
        return np.random.Generator(np.random.Philox(key=key, counter=counter))

    sizes = (3, 1, 4, 1, 5, 9, 2)
    epoch = Plan(
        row_group_rows=sizes, batch_size=4, shuffle=True, seed=7, window_row_groups=3
    ).epoch(2)
    groups = stream(0, 0).permutation(7)
    assert epoch.groups.tolist() == groups.tolist()
    for window in range(3):
        rows = sum(sizes[g] for g in groups[3 * window : 3 * window + 3])
        expected = stream(1, window).permutation(rows)
        order = epoch.window_order(window)
        assert order is not None
        assert order.tolist() == expected.tolist()


def test_the_order_is_pinned() -> None:
    # Saved positions depend on it: should a NumPy release fail here, the state version must rise.
    epoch = Plan(row_group_rows=(4,) * 6, batch_size=8, shuffle=True, seed=3).epoch(1)
    order = epoch.window_order(1)
    assert order is not None
    assert epoch.groups.tolist() == [0, 1, 5, 3, 2, 4]
    assert order.tolist() == [0, 7, 5, 6, 1, 3, 2, 4]


def test_epochs_and_seeds_give_different_orders() -> None:
    def groups(seed: int, epoch: int) -> tuple[int, ...]:
        plan = Plan(row_group_rows=(1,) * 50, batch_size=1, shuffle=True, seed=seed)
        return tuple(plan.epoch(epoch).groups.tolist())

    assert len({groups(seed, epoch) for seed in range(4) for epoch in range(4)}) == 16
    assert groups(1, 2) == groups(1, 2)


def test_a_window_mixes_its_row_groups() -> None:
    plan = Plan(row_group_rows=(1000,) * 8, batch_size=1000, shuffle=True, window_row_groups=4)
    batches = rows_of(plan.epoch(0))
    for batch in batches:
        counts = np.bincount([group for group, _ in batch], minlength=8)
        # Four groups in equal shares: hypergeometric, sd 12, so 180..320 is over five of them.
        assert ((counts == 0) | ((counts > 180) & (counts < 320))).all()
        assert (counts > 0).sum() == 4
        assert batch != sorted(batch)


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("rows", [1, 7, 8, 9, 15, 16, 17])
def test_the_last_batch(rows: int, drop_last: bool) -> None:
    if drop_last and rows < 8:
        with pytest.raises(DataError, match=rf"{rows} rows are fewer than batch_size 8"):
            Plan(row_group_rows=(rows,), batch_size=8, drop_last=True)
        return
    plan = Plan(row_group_rows=(rows,), batch_size=8, drop_last=drop_last)
    sizes = [len(batch) for batch in rows_of(plan.epoch(0))]
    full = [8] * (rows // 8)
    assert sizes == (full if drop_last or rows % 8 == 0 else [*full, rows % 8])
    assert plan.num_batches == len(sizes)


def test_locate() -> None:
    epoch = Plan(row_group_rows=(5, 0, 3, 8), batch_size=4).epoch(0)
    assert [epoch.locate(batch) for batch in range(4)] == [(0, 0), (0, 4), (2, 0), (2, 4)]
    with pytest.raises(DataError, match="batch 4 does not exist: an epoch has 4 batches"):
        epoch.locate(4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0; expected 1 or more"),
        ({"window_row_groups": 0}, "window_row_groups is 0; expected 1 or more"),
        ({"seed": -1}, r"seed is -1; expected 0 <= seed < 2\*\*64"),
        ({"seed": 2**64}, "seed is 18446744073709551616; expected"),
        ({"row_group_rows": ()}, "no rows"),
        ({"row_group_rows": (0, 0)}, "no rows"),
        ({"row_group_rows": (3, -1)}, "negative entry"),
    ],
)
def test_bad_settings(change: dict[str, object], message: str) -> None:
    arguments: dict[str, Any] = {"row_group_rows": (4,), "batch_size": 2, **change}
    with pytest.raises(DataError, match=message):
        Plan(**arguments)


def test_bad_epoch() -> None:
    with pytest.raises(DataError, match="epoch is -1; expected 0 or more"):
        Plan(row_group_rows=(4,), batch_size=2).epoch(-1)
