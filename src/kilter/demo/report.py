"""The demo's report: one HTML file that needs nothing else."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, select_autoescape
from markupsafe import Markup

from kilter.demo.summary import in_words
from kilter.faces.web import charts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from pathlib import Path

    from kilter.demo.project import Project
    from kilter.demo.summary import Event, Quality, Summary

__all__ = ["write"]

_NAME = "report.html"


def write(project: Project, summary: Summary, events: Sequence[Event]) -> Path:
    """Write the report into the project's folder and return its path.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    environment = Environment(
        loader=PackageLoader("kilter.demo"), autoescape=select_autoescape(), trim_blocks=True, lstrip_blocks=True
    )
    style = files("kilter.faces.web").joinpath("static/kilter.css").read_text(encoding="utf-8")
    page = environment.get_template(_NAME).render(
        style=Markup(style),  # noqa: S704 - our own style sheet
        facts=[line.split(maxsplit=1) for line in in_words(summary) if not line.startswith(" ")],
        accuracy=_chart(
            summary,
            title="Share of answers that were right",
            take_away="Without repair the share falls; the repaired versions hold it.",
            measure=_accuracy,
            ceiling=1.0,
        ),
        calibration=_chart(
            summary,
            title="Calibration error: stated chance against what happened",
            take_away="The first version's chances drift away from what happens; the repaired ones come back.",
            measure=_calibration_error,
            floor=0.0,
        ),
        events=events,
    )
    path = project.folder / _NAME
    path.write_text(page, encoding="utf-8")
    return path


def _chart(
    summary: Summary,
    *,
    title: str,
    take_away: str,
    measure: Callable[[datetime, Quality], charts.Point],
    floor: float | None = None,
    ceiling: float | None = None,
) -> Markup:
    """Draw one measure over time, as served and unrepaired, with the time of the alarms marked."""
    return charts.line(
        charts.Lines(
            title=title,
            take_away=take_away,
            lines=(
                charts.Line(name="as served", points=tuple(measure(one.end, one.served) for one in summary.course)),
                charts.Line(
                    name="first version, never repaired",
                    points=tuple(measure(one.end, one.unrepaired) for one in summary.course),
                    kind="dashed",
                ),
            ),
            shades=tuple(charts.Shade(start=start, end=end, label="alarm") for start, end in summary.alarms),
            floor=floor,
            ceiling=ceiling,
        )
    )


def _accuracy(at: datetime, quality: Quality) -> charts.Point:
    """Return the share that was right, with its interval."""
    if not quality.n:
        return charts.Point(at=at, value=None)
    return charts.Point(at=at, value=quality.accuracy, low=quality.low, high=quality.high, n=quality.n)


def _calibration_error(at: datetime, quality: Quality) -> charts.Point:
    """Return the calibration error."""
    return charts.Point(at=at, value=quality.ece if quality.n else None, n=quality.n)
