"""The pictures: what is written in them can be read."""

import re

from emberline.etl.report.charts import histogram


def labels(*ticks: tuple[float, str]) -> list[str]:
    picture = histogram([0.25] * 4, None, [""] * 4, ticks, (0.25, "25 %"), "four bins")
    return re.findall(r'<text class="tick"[^>]*>([^<]*)</text>', picture)[1:]


def test_labels_that_would_touch_are_left_out_but_not_the_ends() -> None:
    short = [(float(i), str(i)) for i in range(5)]
    assert labels(*short) == ["0", "1", "2", "3", "4"]
    long = [(float(i), f"{1_359_798_413 + i:,}") for i in range(5)]
    assert labels(*long) == ["1,359,798,413", "1,359,798,415", "1,359,798,417"]
    assert labels((0.0, "x" * 80), (4.0, "y" * 80)) == ["x" * 80, "y" * 80]
    assert labels((2.0, "one")) == ["one"]
