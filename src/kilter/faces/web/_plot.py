"""Lines, texts and scales that all charts are made of: geometry in attributes, colours by class."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["NARROW", "WIDE", "Plot", "Size", "element", "figure", "number", "table", "ticks", "time_ticks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Width and height in CSS pixels; the style sheet picks one by its name."""

    name: str
    width: int
    height: int


WIDE = Size(name="wide", width=720, height=280)
NARROW = Size(name="narrow", width=340, height=260)

_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 14, 30
_STEPS_S = (1, 5, 15, 60, 300, 900, 3_600, 10_800, 21_600, 43_200, 86_400, 2 * 86_400, 7 * 86_400, 14 * 86_400)
_MINUTE_S = 60
_DAY_S = 86_400
_MONTHS = (1, 2, 3, 6, 12, 24, 60, 120)


def element(name: str, content: Markup | str = "", **attributes: float | str) -> Markup:
    """Return one SVG or HTML element; names have ``_`` for ``-``, a trailing one is dropped, content is escaped."""
    parts = []
    for key, value in attributes.items():
        text = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
        parts.append(Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), text))
    opening = Markup("<") + name + Markup("").join(parts)
    return opening + Markup(">") + escape(content) + Markup("</") + name + Markup(">")


def number(value: float | None) -> str:
    """Return a number for people: three significant digits, no exponent where it can be helped."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    digits = max(0, 2 - math.floor(math.log10(size)))
    text = f"{value:.{min(digits, 6)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def ticks(low: float, high: float, most: int = 5) -> tuple[float, ...]:
    """Return round values that cover a range."""
    span = high - low or 1.0
    rough = span / max(most, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple(round(index * step, 12) for index in range(first, last + 1))


def time_ticks(low_s: float, high_s: float, most: int = 5) -> tuple[tuple[float, str], ...]:
    """Return round times (seconds since the epoch) with their labels."""
    span = high_s - low_s or 1.0
    if span / _STEPS_S[-1] > most:
        return _month_ticks(low_s, high_s, most)
    step = next(step for step in _STEPS_S if span / step <= most)
    pattern = "%H:%M:%S" if step < _MINUTE_S else "%H:%M" if step < _DAY_S else "%d %b"
    first = math.ceil(low_s / step)
    last = math.floor(high_s / step)
    times = [datetime.fromtimestamp(index * step, tz=UTC) for index in range(first, last + 1)]
    # Midnight is better named by its day.
    return tuple(
        (at.timestamp(), at.strftime(pattern if at.hour or at.minute or at.second else "%d %b")) for at in times
    )


def _month_ticks(low_s: float, high_s: float, most: int) -> tuple[tuple[float, str], ...]:
    """Return the first days of months, every so many of them."""
    first, last = (datetime.fromtimestamp(value, tz=UTC) for value in (low_s, high_s))
    begin, end = first.year * 12 + first.month, last.year * 12 + last.month - 1
    step = next((step for step in _MONTHS if (end - begin + 1) / step <= most), 1_200)
    marks = (index for index in range(begin, end + 1) if index % step == 0)
    days = (datetime(index // 12, index % 12 + 1, 1, tzinfo=UTC) for index in marks)
    return tuple((day.timestamp(), day.strftime("%b %Y")) for day in days)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A rectangle of a size with two linear scales."""

    size: Size
    x_low: float
    x_high: float
    y_low: float
    y_high: float
    left: int = _LEFT

    @property
    def right(self) -> int:
        """Right edge."""
        return self.size.width - _RIGHT

    @property
    def top(self) -> int:
        """Top edge."""
        return _TOP

    @property
    def bottom(self) -> int:
        """Bottom edge."""
        return self.size.height - _BOTTOM

    def x(self, value: float) -> float:
        """Place a value on the horizontal scale."""
        span = self.x_high - self.x_low or 1.0
        return self.left + (value - self.x_low) / span * (self.right - self.left)

    def y(self, value: float) -> float:
        """Place a value on the vertical scale; values beyond it stay on its edge."""
        span = self.y_high - self.y_low or 1.0
        share = min(max((value - self.y_low) / span, 0.0), 1.0)
        return self.bottom - share * (self.bottom - self.top)

    def axes(
        self, x_ticks: Iterable[tuple[float, str]], y_ticks: Iterable[float], write: Callable[[float], str] = number
    ) -> Markup:
        """Draw grid lines and their labels."""
        parts = []
        for value in y_ticks:
            at = self.y(value)
            parts.append(element("line", x1=self.left, x2=self.right, y1=at, y2=at, class_="grid"))
            parts.append(element("text", write(value), x=self.left - 6, y=at + 4, text_anchor="end", class_="tick"))
        for value, label in x_ticks:
            at = self.x(value)
            anchor = "end" if at > self.right - 24 else "start" if at < self.left + 16 else "middle"
            parts.append(element("line", x1=at, x2=at, y1=self.bottom, y2=self.bottom + 4, class_="axis"))
            parts.append(element("text", label, x=at, y=self.bottom + 18, text_anchor=anchor, class_="tick"))
        parts.append(element("line", x1=self.left, x2=self.right, y1=self.bottom, y2=self.bottom, class_="axis"))
        return Markup("").join(parts)

    def path(self, points: Sequence[tuple[float, float | None]]) -> str:
        """Return the path through points; a missing value breaks the line."""
        steps = []
        is_open = False
        for x, y in points:
            if y is None:
                is_open = False
                continue
            steps.append(f"{'L' if is_open else 'M'}{self.x(x):.1f} {self.y(y):.1f}")
            is_open = True
        return " ".join(steps)

    def svg(self, content: Markup, *, title: str, about: str) -> Markup:
        """Wrap the drawing."""
        inner = element("title", title) + element("desc", about) + content
        return element(
            "svg",
            inner,
            class_=f"plot {self.size.name}",
            role="img",
            width=self.size.width,
            height=self.size.height,
            viewBox=f"0 0 {self.size.width} {self.size.height}",
        )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Markup:
    """Return a table of texts; all columns but the first hold numbers."""
    top = Markup("").join(element("th", text, scope="col") for text in head)
    body = [
        element("tr", Markup("").join([element("th", row[0], scope="row"), *(element("td", text) for text in row[1:])]))
        for row in rows
    ]
    inner = element("thead", element("tr", top)) + element("tbody", Markup("").join(body))
    return element("div", element("table", inner), class_="scroll", tabindex="0")


def figure(title: str, take_away: str, drawings: Iterable[Markup], legend: Markup, twin: Markup) -> Markup:
    """Put drawing, legend, caption and the table twin together."""
    caption = element("figcaption", element("strong", title) + " " + element("span", take_away, class_="muted"))
    numbers = element("details", element("summary", "Show the numbers") + twin)
    return element("figure", caption + Markup("").join(drawings) + legend + numbers, class_="chart")
