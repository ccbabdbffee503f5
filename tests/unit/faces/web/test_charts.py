"""Charts: numbers in, drawings out that need no script and no colour to be read."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET

import pytest

from kilter.faces.web import _plot, charts
from kilter.faces.web.charts import Bar, Bin, Line, Lines, Pairs, Point, Reliability, Shade

START = datetime(2026, 1, 1, tzinfo=UTC)


def course(*values: float | None, half: float | None = 0.05) -> tuple[Point, ...]:
    return tuple(
        Point(
            at=START + timedelta(days=i),
            value=value,
            low=None if value is None or half is None else value - half,
            high=None if value is None or half is None else value + half,
            n=100,
        )
        for i, value in enumerate(values)
    )


def parse(text: str) -> ET.Element:
    """Parse as XML: every drawing has to be well-formed."""
    return ET.fromstring(f"<root>{text}</root>")  # noqa: S314 - our own text


ALL = {
    "line": charts.line(
        Lines(
            title="A < B",
            take_away="it fell",
            lines=(
                Line(name="truth", points=course(0.8, None, 0.7)),
                Line(name="guess", points=course(0.8, 0.8, 0.8), kind="dashed"),
            ),
            limit=0.6,
            limit_label="gate",
            shades=(Shade(start=START + timedelta(days=1), end=START + timedelta(days=9), label="x"),),
        )
    ),
    "reliability": charts.reliability(
        Reliability(
            title="R", take_away="t", bins=tuple(Bin(stated=p, observed=p, low=p / 2, high=p, n=9) for p in (0.2, 0.9))
        )
    ),
    "pairs": charts.pairs(
        Pairs(
            title="P",
            take_away="t",
            bars=(Bar(label="a&b", reference=0.4, now=0.6), Bar(label="c", reference=0, now=0)),
        )
    ),
    "sparkline": charts.sparkline([0.1, None, 0.3], title="s"),
}


@pytest.mark.parametrize("name", ALL)
def test_every_chart_is_well_formed_named_and_described(name: str) -> None:
    for svg in parse(ALL[name]).iter("svg"):
        if svg.get("class") == "key":
            continue
        assert svg.get("role") == "img"
        assert [child.tag for child in svg][:2] == ["title", "desc"]
        assert all(child.text for child in svg[:2])


@pytest.mark.parametrize("name", ALL)
def test_charts_carry_no_style_script_or_foreign_address(name: str) -> None:
    assert not re.search(r"style=|<script|https?:|NaN|inf\b", ALL[name])


@pytest.mark.parametrize("name", ["line", "reliability", "pairs"])
def test_charts_come_in_two_sizes_with_a_table_of_their_numbers(name: str) -> None:
    root = parse(ALL[name])
    sizes = [svg.get("class") for svg in root.iter("svg") if svg.get("role") == "img"]
    assert sizes == ["plot wide", "plot narrow"]
    assert root.find(".//details//table") is not None
    assert root.find("figure/ul[@class='legend']") is not None


@pytest.mark.parametrize("name", ["line", "pairs", "reliability"])
def test_everything_stays_inside_the_drawing(name: str) -> None:
    for svg in parse(ALL[name]).iter("svg"):
        width, height = float(svg.get("width", 0)), float(svg.get("height", 0))
        for part in svg.iter():
            for key, most in (("x", width), ("x1", width), ("x2", width), ("y1", height), ("y2", height)):
                assert 0 <= float(part.get(key, 0)) <= most, (part.tag, part.attrib)


def test_lines_differ_by_dash_and_mark_as_well_as_by_colour() -> None:
    root = parse(ALL["line"])
    wide = next(root.iter("svg"))
    assert {part.tag for part in wide.iter() if "mark" in part.get("class", "")} == {"circle", "rect"}
    assert {part.get("class") for part in wide.iter("path")} >= {"line solid", "line dashed"}


def test_a_missing_value_breaks_the_line() -> None:
    path = next(part for part in parse(ALL["line"]).iter("path") if part.get("class") == "line solid")
    assert (path.get("d") or "").count("M") == 2


def test_texts_are_escaped() -> None:
    assert "A &lt; B" in ALL["line"]
    assert "a&amp;b" in ALL["pairs"]


@pytest.mark.parametrize(
    "drawn",
    [
        charts.line(Lines(title="T", take_away="", lines=(Line(name="x", points=course(None)),))),
        charts.reliability(Reliability(title="T", take_away="", bins=())),
        charts.pairs(Pairs(title="T", take_away="", bars=())),
    ],
    ids=["line", "reliability", "pairs"],
)
def test_nothing_to_draw_is_said(drawn: str) -> None:
    assert "nothing to draw yet" in drawn


@pytest.mark.parametrize("values", [[], [0.5], [None, None, 0.4]])
def test_one_value_is_no_course(values: list[float | None]) -> None:
    assert charts.sparkline(values, title="s") == ""


@pytest.mark.parametrize("values", [(0.5,), (0.5, 0.5), (0.0, 0.0), (-3.0, 4.0), (1e-9, 2e-9), (1e9, 2e9)])
def test_flat_tiny_and_huge_courses_can_be_drawn(values: tuple[float, ...]) -> None:
    drawn = charts.line(Lines(title="T", take_away="", lines=(Line(name="x", points=course(*values, half=None)),)))
    assert parse(drawn).find("figure/svg/path") is not None


def test_bounds_of_a_share_are_kept() -> None:
    chart = Lines(
        title="T", take_away="t", lines=(Line(name="x", points=course(0.2, 1.0, half=None)),), floor=0.0, ceiling=1.0
    )
    ticks = [part.text for part in parse(charts.line(chart)).iter("text") if part.get("text-anchor") == "end"]
    assert ticks[0] == "0"
    assert "1" in ticks


def test_many_points_are_drawn_without_marks() -> None:
    drawn = charts.line(Lines(title="T", take_away="", lines=(Line(name="x", points=course(*[0.5] * 600)),)))
    figure = next(parse(drawn).iter("svg"))
    assert not [part for part in figure.iter("circle") if part.get("class", "").startswith("mark")]


def test_a_stretch_outside_the_plot_is_left_out() -> None:
    late = Shade(start=START + timedelta(days=99), end=START + timedelta(days=100), label="x")
    drawn = charts.line(Lines(title="T", take_away="", lines=(Line(name="x", points=course(1, 2)),), shades=(late,)))
    assert not [part for part in next(parse(drawn).iter("svg")).iter("rect") if part.get("class") == "alarm"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (0.0, "0"),
        (12345.6, "12,346"),
        (0.5, "0.5"),
        (0.12345, "0.123"),
        (99.96, "100"),
        (-2.5, "-2.5"),
    ],
)
def test_numbers_are_written_for_people(value: float | None, text: str) -> None:
    assert _plot.number(value) == text


@pytest.mark.parametrize(("low", "high"), [(0.65, 0.86), (0, 1), (-3, 900), (0, 1e-6), (5, 5)])
def test_ticks_are_round_and_inside(low: float, high: float) -> None:
    marks = _plot.ticks(low, high)
    assert all(low - 1e-9 <= mark <= high + 1e-9 for mark in marks)
    assert 1 <= len(marks) <= 6


@pytest.mark.parametrize("days", [0.001, 0.05, 1, 10, 60, 365, 3_650, 40_000])
def test_times_are_marked_a_few_times(days: float) -> None:
    start = START.timestamp()
    marks = _plot.time_ticks(start, start + days * 86_400)
    assert 1 <= len(marks) <= 7
    assert all(start <= at <= start + days * 86_400 for at, _ in marks)
    assert len({label for _, label in marks}) == len(marks)
