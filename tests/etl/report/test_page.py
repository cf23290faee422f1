"""The page: its structure, its numbers, and that it needs nothing else."""

import html
import re
import subprocess
import sys
from datetime import date, datetime
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest

from emberline.errors import DataError
from emberline.etl import Dataset, Workflow, ops
from emberline.etl.report import profile, render, write_report
from emberline.etl.report.findings import findings

VOID = {"meta", "link", "br", "hr", "img", "input"}


class Page(HTMLParser):
    """Checks that tags nest, and notes ids, references and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.text: list[str] = []
        self.titled: list[bool] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        assert len(given) == len(attrs)
        assert not any(name.startswith("on") for name in given)
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        if given.get("id"):
            self.ids.append(str(given["id"]))
        self.links += [str(given[n]) for n in ("href", "src", "xlink:href") if n in given]
        if tag == "svg":
            self.titled.append("role" not in given)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        if tag == "svg":
            assert self.titled.pop()

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "title" and self.titled:
            self.titled[-1] = True
        if "style" not in self.open:
            self.text.append(data)


EVIL = "<script>alert(1)</script>&\"'"


def frames() -> tuple[pl.DataFrame, pl.DataFrame]:
    train = pl.DataFrame(
        {
            "city": ["Bern", "Bern", "Bern", "Ulm", None, EVIL, "Ulm", "Bern"],
            EVIL: [1.5, float("nan"), None, 2.0, 3.0, 4.0, float("inf"), 2.0],
            "tags": [["a"], [], None, ["a", "b"], ["b", None], ["a"], ["c"], ["c"]],
            "day": [date(2024, 1, d) for d in range(1, 9)],
            "at": [datetime(2024, 1, 1, h) for h in range(8)],
            "empty": pl.Series([None] * 8, dtype=pl.Int32),
            "nothing": [None] * 8,
            "flag": [True, False, None, True, True, True, True, True],
            "one": [7] * 8,
            "parts": [{"x": 1}] * 7 + [None],
            "raw": [b"\x00", b"<", b"\xff", b"\xff", None, b"", b"a", b"b"],
            "id": [10, 20, 30, 10, 20, 30, 10, 40],
        }
    )
    valid = train.head(4).with_columns(
        city=pl.Series(["Bern", "Rom", "Rom", "Rom"]), id=pl.Series([10, 10, 99, 98])
    )
    return train, valid.drop("flag")


def fitted(train: pl.DataFrame) -> Workflow:
    columns = ["city", "id"] >> ops.Categorify(freq_threshold=2)
    return Workflow(columns + (["tags"] >> ops.Categorify(num_buckets=3))).fit(train)


def test_the_page_is_whole_and_alone() -> None:
    train, valid = frames()
    text = render(profile(train, valid, workflow=fitted(train)), title=f"About {EVIL}")
    page = Page(text)
    assert text.startswith("<!doctype html>")
    assert len(page.ids) == len(set(page.ids))
    assert {link for link in page.links if not link.startswith("#")} == set()
    assert {link[1:] for link in page.links} <= set(page.ids)
    assert {"script", "link", "img", "iframe"} & set(page.tags) == set()
    assert not re.search(r"https?:|url\(|@import", text)
    assert "<script" not in text
    assert html.escape(EVIL) in text
    said = "".join(page.text)
    assert f"About {EVIL}" in said
    assert "prefers-color-scheme:dark" in text
    assert "@media print" in text
    assert len(page.ids) == 2 * (len(train.columns) + 3)  # a card and its heading each


def test_numbers_by_hand() -> None:
    train, valid = frames()
    data = profile(train, valid, workflow=fitted(train))
    columns = {column.name: column for column in data.columns}
    assert (data.train_rows, data.valid_rows, data.only_train) == (8, 4, ("flag",))
    city = columns["city"]
    assert city.valid is not None
    assert city.top.to_list() == ["Bern", "Ulm", EVIL]
    assert city.train.top.tolist() == [4, 2, 1]
    assert city.valid.top.tolist() == [1, 0, 0]
    assert city.train.drift_counts.tolist() == [4, 2, 1, 0, 1]  # then the rest, then the missing
    assert city.valid.drift_counts.tolist() == [1, 0, 0, 3, 0]
    assert (city.train.unseen, city.valid.unseen) == (0, 3)
    number = columns[EVIL].train
    assert (number.sketch.missing, number.sketch.leaves, number.sketch.values.distinct) == (2, 6, 5)
    assert (number.sketch.low, number.sketch.high, number.sketch.mean) == (1.5, 4.0, 2.5)
    assert number.histogram.sum() == 6
    assert number.histogram[-1] == 2  # 4.0, and infinity beyond it
    tags = columns["tags"].train
    assert (tags.sketch.missing, tags.sketch.missing_leaves, tags.sketch.leaves) == (1, 1, 7)
    assert tags.sketch.lengths[:3].tolist() == [1, 4, 2]
    assert columns["empty"].train.sketch.missing == 8
    assert columns["parts"].train.sketch.missing == 1
    assert columns["parts"].drift is None
    # Bern and Ulm, 10, 20 and 30 reach the threshold.
    first, second, third = data.encodings
    assert (first.name, first.size, first.train.unknown, first.train.null) == ("city", 2, 1, 1)
    assert first.valid is not None
    assert (first.valid.leaves, first.valid.unknown, first.unused) == (4, 3, 1)
    assert first.coverage == ((1, 4 / 8), (2, 6 / 8))
    assert (second.size, second.train.unknown) == (3, 1)
    assert second.valid is not None
    assert second.valid.unknown_share == 0.5
    assert (third.size, third.train.leaves, third.train.null, third.train.unknown) == (3, 8, 1, 0)


def test_the_numbers_are_on_the_page() -> None:
    train, valid = frames()
    said = "".join(Page(render(profile(train, valid))).text)
    for words in (
        "rows to train",
        "57.1 %",  # 4 of 7 cities
        "new in validation75.0 %",
        "2024-01-08: 1 (12.5 %)",
        "2024-01-01 00:00:00 to 2024",
        "ff: 2",
        "Struct",
    ):
        assert words in said, words


def test_findings() -> None:
    train, valid = frames()
    found = findings(profile(train, valid, workflow=fitted(train)))
    texts = {name: [text for of, text in found if of == name] for name, _ in found}
    assert texts["empty"] == ["no values in training"]
    assert texts["nothing"] == ["no values in training"]
    assert texts["one"] == ["one value only"]
    assert texts["flag"] == ["not in validation"]
    assert "75.0 % of validation's values do not occur in training" in texts["city"]
    assert "75.0 % of the ids in validation are out of vocabulary" in texts["city"]
    same = pl.DataFrame({"x": [1, 2, 1, 2]})
    assert findings(profile(same, same)) == []
    assert "Nothing stands out" in render(profile(same, same))


def test_the_same_bytes_from_every_source(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {"x": [i * i % 97 for i in range(5000)], "s": [f"v{i % 300}" for i in range(5000)]}
    )
    frame.write_parquet(tmp_path / "a.parquet", row_group_size=700)
    frame.write_csv(tmp_path / "a.csv")
    frame.write_ipc(tmp_path / "a.arrow")
    wanted = render(profile(frame))
    for name in ("a.parquet", "a.csv", "a.arrow"):
        assert render(profile(tmp_path / name)) == wanted
    write_report(tmp_path / "new" / "r.html", tmp_path / "a.parquet")
    assert (tmp_path / "new" / "r.html").read_text() == wanted
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["r.html"]


def test_bad_data_leaves_the_old_page(tmp_path: Path) -> None:
    page = tmp_path / "r.html"
    page.write_text("old")
    frame = pl.DataFrame({"x": [1, 2]})
    with pytest.raises(DataError, match="no rows; a report needs at least one"):
        write_report(page, frame.clear())
    with pytest.raises(DataError, match="column 'x' has dtype Int64 in training, String in valid"):
        write_report(page, frame, frame.cast(pl.String))
    pl.DataFrame({"x": range(100_000)}).write_parquet(tmp_path / "a.parquet", row_group_size=9_000)
    whole = (tmp_path / "a.parquet").read_bytes()
    data = Dataset(tmp_path / "a.parquet")
    (tmp_path / "a.parquet").write_bytes(whole[:-40_000] + bytes(20_000) + whole[-20_000:])
    with pytest.raises(DataError, match=r"a\.parquet cannot be read, it is truncated or damaged"):
        write_report(page, data)
    assert page.read_text() == "old"


@pytest.mark.slow
def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    """Peak memory of 2 M rows of distinct text against 0.5 M rows: sketches are full in both."""
    code = (
        "import resource, sys\n"
        "from emberline.etl.report import profile\n"
        "c = profile(sys.argv[1]).columns[0].train.sketch.values\n"
        "print(c.distinct, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    peaks = []
    for rows in (500_000, 2_000_000):
        file = tmp_path / f"{rows}.parquet"
        numbers = pl.int_range(rows, eager=True) * 2_654_435_761 % 2**61
        pl.DataFrame({"s": numbers.cast(pl.String), "x": numbers}).write_parquet(
            file, row_group_size=65_536
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=True
        )
        distinct, peak = map(int, done.stdout.split())
        assert distinct == pytest.approx(rows, rel=0.03)
        # Files are mapped into memory, so their size counts as the process' own.
        peaks.append(peak * 1024 - file.stat().st_size)
    assert peaks[1] < 1.25 * peaks[0]


def test_a_browser_shows_it(tmp_path: Path) -> None:
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="no browser: playwright is not installed"
    )
    train, valid = frames()
    file = write_report(tmp_path / "r.html", train, valid, workflow=fitted(train))
    with playwright.sync_playwright() as tool:
        browser = tool.chromium.launch()
        page = browser.new_page(java_script_enabled=False)
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.goto(file.as_uri())
        assert page.locator("section.card").count() == len(train.columns) + 3
        for picture in page.locator("svg.histogram").all():
            assert picture.bounding_box()["width"] > 100
        assert said == []
        browser.close()
