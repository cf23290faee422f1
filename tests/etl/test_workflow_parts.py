"""Parts of workflows, what they show of themselves, and NVTabular's calls."""

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emberline.etl as nvt
from emberline.errors import ArtifactCorruptError, DataError
from emberline.etl import ops
from emberline.etl.drawing import Box, Drawing

FRAME = pl.DataFrame({"a": ["x", "y", "x"], "b": ["p", None, "q"], "n": [1.0, None, 3.0]})


def workflow() -> nvt.Workflow:
    user = nvt.Subgraph("user", ["a"] >> ops.Categorify())
    both = nvt.Subgraph("features", user + (["b"] >> ops.Categorify()))
    return nvt.Workflow(both + (["n"] >> ops.FillMissing(0)))


def test_subworkflows(tmp_path: Path) -> None:
    whole = workflow().fit(FRAME)
    whole.save(tmp_path / "w")
    for one in (whole, nvt.Workflow.load(tmp_path / "w")):
        assert one.subworkflows == ["user", "features"]
        user = one.get_subworkflow("user")
        assert user.fitted
        assert user.input_schema.names == user.output_schema.names == ["a"]
        assert user.transform(FRAME.select("a")).equals(one.transform(FRAME).select("a"))
        both = one.get_subworkflow("features")
        assert both.transform(FRAME).equals(one.transform(FRAME).select("a", "b"))
        assert both.get_subworkflow("user").input_schema.names == ["a"]
        # Fitting the part leaves the whole as it was.
        before = one.transform(FRAME)
        user.fit(pl.DataFrame({"a": ["q"]}))
        assert one.transform(FRAME).equals(before)
        user.save(tmp_path / "user")
        assert nvt.Workflow.load(tmp_path / "user").output_dtypes == {"a": "int64"}
        with pytest.raises(DataError, match="no subgraph 'users'; did you mean 'user'"):
            one.get_subworkflow("users")
    assert not workflow().get_subworkflow("user").fitted
    with pytest.raises(DataError, match="two subgraphs are named 'x'"):
        nvt.Workflow(nvt.Subgraph("x", ["a"]) + nvt.Subgraph("x", ["b"]))
    with pytest.raises(DataError, match="non-empty string, got ''"):
        nvt.Subgraph("", ["a"])


def test_a_subgraph_survives_removed_inputs() -> None:
    one = workflow().fit(FRAME)
    one.remove_inputs(["b"])
    assert one.subworkflows == ["user", "features"]
    assert one.get_subworkflow("features").output_schema.names == ["a"]
    one.remove_inputs(["a"])
    assert one.subworkflows == []


def test_forged_subgraph(tmp_path: Path) -> None:
    from tests.etl.test_workflow_files import reseal

    workflow().fit(FRAME).save(tmp_path / "w")
    reseal(tmp_path / "w", lambda c: c["steps"][0].update(subgraph=3))
    with pytest.raises(ArtifactCorruptError, match="has the subgraph 3"):
        nvt.Workflow.load(tmp_path / "w")


def test_clear_stats() -> None:
    one = workflow().fit(FRAME)
    one.clear_stats()
    assert not one.fitted
    assert one.output_schema.names == ["a", "b", "n"]
    with pytest.raises(nvt.NotFittedError, match="has not been fitted"):
        one.transform(FRAME)
    assert one.fit_transform(FRAME).equals(workflow().fit_transform(FRAME))


def test_what_a_workflow_says_of_itself() -> None:
    one = workflow().fit(FRAME)
    assert one.input_dtypes == {"a": "string", "b": "string", "n": "float64"}
    assert one.output_dtypes == {"a": "int64", "b": "int64", "n": "float64"}
    assert [step.kind for step in one.graph.steps].count("apply") == 3
    assert isinstance(one.output_node, nvt.Node)


def test_a_workflow_that_learns_nothing_needs_no_fit() -> None:
    out = nvt.Workflow(["n"] >> ops.FillMissing(7)).transform(FRAME)
    assert out["n"].to_list() == [1.0, 7.0, 3.0]
    lazy = nvt.Workflow(["n"] >> ops.FillMissing(7)).transform(nvt.Dataset(FRAME))
    assert lazy.to_polars().equals(out)


def test_minus_and_the_old_name_of_selectors() -> None:
    node = (["a", "b", "n"] >> ops.Rename(postfix="_")) - ["b_"]
    assert nvt.Workflow(node - "n_").fit_transform(FRAME).columns == ["a_"]
    with pytest.warns(DeprecationWarning, match="write ColumnSelector"):
        group = nvt.ColumnGroup(["a"])
    assert nvt.Workflow(group >> ops.Categorify()).fit_transform(FRAME).columns == ["a"]


def test_client(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"Workflow\(client=\.\.\.\) has no effect"):
        nvt.Workflow(["a"], client=object()).fit(FRAME).save(tmp_path / "w")
    with pytest.warns(UserWarning, match="has no effect"):
        nvt.Workflow.load(tmp_path / "w", client=object())


def test_shared_upstream_is_computed_once_a_phase() -> None:
    reads: list[int] = []

    def count(column: pl.Series) -> pl.Series:
        reads.append(len(column))
        return column

    shared = ["a"] >> ops.LambdaOp(
        lambda c: c.map_batches(count, return_dtype=pl.String, is_elementwise=False)
    )
    ids = shared >> ops.Categorify()
    again = shared >> ops.Rename(postfix="_2") >> ops.Categorify()
    deeper = ids >> ops.Rename(postfix="_3") >> ops.Categorify()
    node = ids + again + deeper
    one = nvt.Workflow(node)
    reads.clear()
    one.fit(nvt.Dataset(FRAME))
    # Two phases, each with one pass over three rows.
    assert sum(reads) == 2 * FRAME.height
    reads.clear()
    assert one.transform(FRAME).columns == ["a", "a_2", "a_3"]
    assert sum(reads) == FRAME.height


def test_plans_are_printed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    one = workflow()
    with pytest.raises(nvt.NotFittedError, match="call fit"):
        one.explain()
    one.fit(FRAME)
    one.explain()
    assert "·data·a" in capsys.readouterr().out
    FRAME.write_parquet(tmp_path / "f.parquet")
    one.explain(tmp_path / "f.parquet")
    assert "Parquet SCAN" in capsys.readouterr().out


def boxes(svg: str) -> list[dict[str, Any]]:
    """Parse the picture as XML."""
    name = "{http://www.w3.org/2000/svg}"
    out = []
    for group in ET.fromstring(svg).iter(f"{name}g"):
        rect = group.find(f"{name}rect")
        assert rect is not None
        out.append(
            {
                "class": group.get("class"),
                "x": int(rect.get("x", "")),
                "y": int(rect.get("y", "")),
                "text": [text.text for text in group.iter(f"{name}text")],
            }
        )
    return out


def test_the_picture(tmp_path: Path) -> None:
    one = workflow()
    drawn = boxes(str(one.plot()))
    assert [box["class"] for box in drawn].count("em-apply em-stat em-unfitted") == 2
    one.fit(FRAME)
    one.plot(tmp_path / "g.svg")
    one.plot(tmp_path / "g.html")
    svg = (tmp_path / "g.svg").read_text()
    drawn = boxes(svg)
    titles = [box["text"][0] for box in drawn]
    assert titles.count("Categorify") == 2
    assert {"subgraph user", "subgraph features", "FillMissing", "output +"} <= set(titles)
    assert not any("unfitted" in box["class"] for box in drawn)
    assert drawn[-1]["y"] == max(box["y"] for box in drawn)
    page = (tmp_path / "g.html").read_text()
    assert page.startswith("<!doctype html>")
    assert svg in page
    assert "prefers-color-scheme:dark" in svg
    assert svg in one._repr_html_()
    assert "FillMissing" in str((["n"] >> ops.FillMissing(0)).graph)
    with pytest.raises(DataError, match=r"saved as \.svg or \.html, got"):
        one.plot(tmp_path / "g.png")


def test_a_sum_of_many_is_one_box() -> None:
    node = nvt.Node.select("a") + "b" + "n" + nvt.ColumnSelector(tags=["user"])
    drawn = boxes(str(nvt.Workflow(node).plot()))
    assert len(drawn) == 5
    assert [box["text"] for box in drawn if "tag user" in str(box["text"])]


def test_text_in_the_picture_is_escaped() -> None:
    name = '<script>&"'
    drawn = boxes(str(nvt.Workflow([name] >> ops.FillMissing(0)).plot()))
    assert drawn[0]["text"][1] == name


@given(st.data())
def test_boxes_never_overlap_and_arrows_go_down(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 14))
    graph = [
        Box(
            title=str(i),
            parents=tuple(data.draw(st.sets(st.integers(0, i - 1), max_size=3))) if i else (),
        )
        for i in range(count)
    ]
    drawing = Drawing(graph, title="any")
    drawn = boxes(drawing.svg)
    places = [(box["x"], box["y"]) for box in drawn]
    for i, (x, y) in enumerate(places):
        assert all(abs(x - u) >= 210 or abs(y - v) >= 46 for u, v in places[:i])
        assert all(places[parent][1] < y for parent in graph[i].parents)
