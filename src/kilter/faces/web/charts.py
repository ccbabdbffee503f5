"""Charts: records in, SVG text out. Each is drawn in two sizes, and has its numbers beside it as a table."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from markupsafe import Markup

from kilter.faces.web._plot import NARROW, WIDE, Plot, Size, element, figure, number, table, ticks, time_ticks

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "Bar",
    "Bin",
    "Line",
    "Lines",
    "Pairs",
    "Point",
    "Reliability",
    "Shade",
    "line",
    "pairs",
    "reliability",
    "sparkline",
]

_SPARK = Size(name="spark", width=160, height=36)
_MOST_POINTS = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One value with its interval and its number of rows."""

    at: datetime
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line; ``kind`` picks dash and mark: ``solid``, ``dashed`` or ``dotted``."""

    name: str
    points: tuple[Point, ...]
    kind: str = "solid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shade:
    """A stretch of time that is marked, as an alarm is."""

    start: datetime
    end: datetime
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """A line chart over time; ``take_away`` is the sentence that it shows."""

    title: str
    take_away: str
    lines: tuple[Line, ...]
    limit: float | None = None
    limit_label: str = ""
    shades: tuple[Shade, ...] = ()
    floor: float | None = None
    ceiling: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """One group of rows: what was stated on average, what happened, within which interval."""

    stated: float
    observed: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """A reliability diagram."""

    title: str
    take_away: str
    bins: tuple[Bin, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """Shares of one cell, in the reference and now."""

    label: str
    reference: float
    now: float
    short: str = ""

    @property
    def mark(self) -> str:
        """What stands below the bar."""
        return self.short or self.label


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Paired bars: how often each value came up in the reference and comes up now."""

    title: str
    take_away: str
    bars: tuple[Bar, ...]


def line(chart: Lines) -> Markup:
    """Draw lines over time with intervals, a limit and marked stretches."""
    points = [point for one in chart.lines for point in one.points]
    if not any(point.value is not None for point in points):
        return _nothing(chart.title)
    drawings = [_lines(chart, points, size) for size in (WIDE, NARROW)]
    keys = [_key(one.kind, one.name) for one in chart.lines]
    keys += [_key("limit", chart.limit_label)] if chart.limit is not None else []
    keys += [_key("alarm", "alarm")] if chart.shades else []
    return figure(chart.title, chart.take_away, drawings, _legend(keys), _lines_table(chart))


def reliability(chart: Reliability) -> Markup:
    """Draw what was stated against what happened; on the diagonal the two agree."""
    if not chart.bins:
        return _nothing(chart.title)
    drawings = []
    for size in (Size(name="wide", width=420, height=360), Size(name="narrow", width=340, height=300)):
        plot = Plot(size=size, x_low=0.0, x_high=1.0, y_low=0.0, y_high=1.0)
        marks = [(value, number(100 * value)) for value in (0.0, 0.25, 0.5, 0.75, 1.0)]
        parts = [plot.axes(marks, (0.0, 0.25, 0.5, 0.75, 1.0), _percent)]
        parts.append(element("line", x1=plot.x(0), y1=plot.y(0), x2=plot.x(1), y2=plot.y(1), class_="ideal"))
        for one in chart.bins:
            at = plot.x(one.stated)
            parts.append(element("line", x1=at, x2=at, y1=plot.y(one.low), y2=plot.y(one.high), class_="interval"))
        course = [(one.stated, one.observed) for one in chart.bins]
        parts.append(element("path", d=plot.path(course), class_="line solid"))
        parts.extend(element("circle", cx=plot.x(x), cy=plot.y(y), r=3.5, class_="mark") for x, y in course)
        parts.append(
            element("text", "stated, of 100", x=plot.right, y=plot.bottom - 6, text_anchor="end", class_="note")
        )
        parts.append(element("text", "happened, of 100", x=plot.left + 4, y=plot.top + 10, class_="note"))
        drawings.append(plot.svg(Markup("").join(parts), title=chart.title, about=chart.take_away))
    rows = [
        (_percent(one.stated), _percent(one.observed), f"{_percent(one.low)} to {_percent(one.high)}", f"{one.n:,}")
        for one in chart.bins
    ]
    twin = table(("Stated, of 100", "Happened", "95 % interval", "Rows"), rows)
    keys = [_key("solid", "observed, with 95 % interval"), _key("ideal", "stated = happened")]
    return figure(chart.title, chart.take_away, drawings, _legend(keys), twin)


def pairs(chart: Pairs) -> Markup:
    """Draw paired bars: hatched for the reference, plain for now."""
    if not chart.bars:
        return _nothing(chart.title)
    top = max(max(bar.reference, bar.now) for bar in chart.bars) or 1.0
    drawings = []
    for size in (Size(name="wide", width=720, height=220), Size(name="narrow", width=340, height=220)):
        plot = Plot(size=size, x_low=0.0, x_high=float(len(chart.bars)), y_low=0.0, y_high=top * 1.05)
        widest = 7 * max(len(bar.mark) for bar in chart.bars) + 10
        step = max(1, -(-len(chart.bars) * widest // (plot.right - plot.left)))
        labels = [(i + 0.5, bar.mark) for i, bar in enumerate(chart.bars) if i % step == 0]
        parts = [plot.axes(labels, ticks(0.0, top * 1.05, 4), _percent)]
        width = (plot.right - plot.left) / len(chart.bars)
        for i, bar in enumerate(chart.bars):
            for share, shift, name in ((bar.reference, 0.12, "reference"), (bar.now, 0.5, "now")):
                at = plot.y(share)
                parts.append(
                    element(
                        "rect",
                        x=plot.left + width * (i + shift),
                        y=at,
                        width=max(width * 0.36, 1.0),
                        height=plot.bottom - at,
                        class_=f"bar {name}",
                    )
                )
        drawings.append(plot.svg(Markup("").join(parts), title=chart.title, about=chart.take_away))
    rows = [(bar.label, _percent(bar.reference), _percent(bar.now)) for bar in chart.bars]
    twin = table(("Value", "Reference, of 100", "Now, of 100"), rows)
    return figure(
        chart.title, chart.take_away, drawings, _legend([_key("reference", "reference"), _key("now", "now")]), twin
    )


def sparkline(values: Sequence[float | None], *, title: str) -> Markup:
    """Draw a course in a line's height."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return Markup("")
    low, high = min(known), max(known)
    room = (high - low) * 0.15 or abs(high) * 0.05 or 1.0
    plot = _Spark(size=_SPARK, x_low=0.0, x_high=float(len(values) - 1), y_low=low - room, y_high=high + room, left=4)
    last = next(i for i in range(len(values) - 1, -1, -1) if values[i] is not None)
    end = values[last] or 0.0
    course = element("path", d=plot.path([(float(i), value) for i, value in enumerate(values)]), class_="line solid")
    mark = element("circle", cx=plot.x(last), cy=plot.y(end), r=3, class_="mark")
    about = f"from {number(known[0])} to {number(known[-1])}, lowest {number(low)}, highest {number(high)}"
    return plot.svg(course + mark, title=title, about=about)


class _Spark(Plot):
    """A plot without room for axes."""

    __slots__ = ()

    @property
    def right(self) -> int:
        """Right edge."""
        return self.size.width - 6

    @property
    def top(self) -> int:
        """Top edge."""
        return 3

    @property
    def bottom(self) -> int:
        """Bottom edge."""
        return self.size.height - 3


def _lines(chart: Lines, points: Sequence[Point], size: Size) -> Markup:
    """Draw a line chart in one size."""
    bounds = [value for point in points for value in (point.value, point.low, point.high) if value is not None]
    bounds += [chart.limit] if chart.limit is not None else []
    low = min(bounds) if chart.floor is None else min(chart.floor, *bounds)
    high = max(bounds) if chart.ceiling is None else max(chart.ceiling, *bounds)
    room = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
    times = [point.at.timestamp() for point in points]
    # A single point stands in the middle of an hour.
    alone = 1_800.0 if max(times) == min(times) else 0.0
    plot = Plot(
        size=size,
        x_low=min(times) - alone,
        x_high=max(times) + alone,
        y_low=low if chart.floor is not None and low >= chart.floor else low - room,
        y_high=high if chart.ceiling is not None and high <= chart.ceiling else high + room,
    )
    most = 6 if size is WIDE else 4
    parts = [_shade(plot, shade) for shade in chart.shades]
    parts.append(plot.axes(time_ticks(plot.x_low, plot.x_high, most), ticks(plot.y_low, plot.y_high)))
    parts.extend(_course(plot, one) for one in chart.lines)
    if chart.limit is not None:
        at = plot.y(chart.limit)
        parts.append(element("line", x1=plot.left, x2=plot.right, y1=at, y2=at, class_="limit"))
        parts.append(
            element("text", chart.limit_label, x=plot.right - 2, y=at - 5, text_anchor="end", class_="note limit-text")
        )
    return plot.svg(Markup("").join(parts), title=chart.title, about=chart.take_away)


def _course(plot: Plot, one: Line) -> Markup:
    """Draw one line with its intervals and marks."""
    shown = one.points[-_MOST_POINTS:]
    band = [point for point in shown if point.low is not None and point.high is not None]
    parts = []
    for point in band:
        at = plot.x(point.at.timestamp())
        low, high = plot.y(point.low or 0.0), plot.y(point.high or 0.0)
        parts.append(element("line", x1=at, x2=at, y1=low, y2=high, class_=f"interval {one.kind}"))
    places = [(point.at.timestamp(), point.value) for point in shown]
    parts.append(element("path", d=plot.path(places), class_=f"line {one.kind}"))
    if len(shown) <= 80:
        for x, y in places:
            if y is not None:
                parts.append(_mark(plot.x(x), plot.y(y), one.kind))
    return Markup("").join(parts)


def _mark(x: float, y: float, kind: str) -> Markup:
    """Draw the mark of a kind of line: they differ by shape as well as by colour."""
    if kind == "solid":
        return element("circle", cx=x, cy=y, r=3, class_="mark solid")
    if kind == "dashed":
        return element("rect", x=x - 2.5, y=y - 2.5, width=5, height=5, class_="mark dashed")
    return element(
        "path",
        d=f"M{x:.1f} {y - 3.5:.1f}L{x + 3.5:.1f} {y + 2.5:.1f}L{x - 3.5:.1f} {y + 2.5:.1f}Z",
        class_="mark dotted",
    )


def _shade(plot: Plot, shade: Shade) -> Markup:
    """Mark a stretch of time."""
    left = max(plot.x(shade.start.timestamp()), float(plot.left))
    right = min(max(plot.x(shade.end.timestamp()), left + 3), float(plot.right))
    if right <= left:
        return Markup("")
    box = element("rect", x=left, y=plot.top, width=right - left, height=plot.bottom - plot.top, class_="alarm")
    return box + element("line", x1=left, x2=left, y1=plot.top, y2=plot.bottom, class_="alarm-edge")


def _lines_table(chart: Lines) -> Markup:
    """Write the numbers of a line chart down."""
    head = ["When (UTC)", "What", "Value", "95 % interval", "Rows"]
    rows = [
        (
            point.at.astimezone(UTC).strftime("%Y-%m-%d %H:%M"),
            one.name,
            number(point.value),
            "–" if point.low is None else f"{number(point.low)} to {number(point.high)}",
            f"{point.n:,}",
        )
        for one in chart.lines
        for point in reversed(one.points[-_MOST_POINTS:])
        if point.value is not None
    ]
    return table(head, rows)


def _key(kind: str, name: str) -> Markup:
    """Draw one entry of a legend, as it looks in the chart."""
    if kind in ("reference", "now", "alarm"):
        sample = element("rect", x=4, y=2, width=16, height=10, class_="alarm" if kind == "alarm" else f"bar {kind}")
    else:
        shape = kind if kind in ("limit", "ideal") else f"line {kind}"
        sample = element("line", x1=1, x2=23, y1=7, y2=7, class_=shape)
        sample += _mark(12.0, 7.0, kind) if kind not in ("limit", "ideal") else Markup("")
    drawing = element("svg", sample, width=24, height=14, viewBox="0 0 24 14", aria_hidden="true", class_="key")
    return element("li", drawing + " " + name)


def _legend(keys: Sequence[Markup]) -> Markup:
    """List the keys."""
    return element("ul", Markup("").join(keys), class_="legend")


def _nothing(title: str) -> Markup:
    """Say that there is nothing to draw yet."""
    return element("p", f"{title}: nothing to draw yet.", class_="muted")


def _percent(share: float) -> str:
    """Write a share as a number of 100."""
    return number(round(100 * share, 2))
