"""Calibration: whether 70 of 100 happens 70 times of 100."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kilter.contracts.calibration import CalibrationMap
from kilter.contracts.signature import Task
from kilter.faces.web import book, profiles
from kilter.faces.web.book import Head
from kilter.faces.web.charts import Line, Lines, Reliability
from kilter.faces.web.page import PageSpec

if TYPE_CHECKING:
    from kilter.app import App
    from kilter.faces.web.page import Query

__all__ = ["PAGE", "CalibrationPage", "data"]

PAGE = PageSpec(
    name="calibration",
    url="/models/{model}/calibration",
    title="Calibration",
    about="When the model says 70 of 100, does it happen 70 times of 100? That is what this page checks.",
    section="home",
)

_RECENT = 4
_METRICS = ("calibration_error", "expected_calibration_error")


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationPage:
    """Reliability of the recent past, the error over time, and the map in force."""

    head: Head
    applies: bool
    number: int | None
    labels: int
    diagram: Reliability
    course: Lines
    active: CalibrationMap | None


def data(app: App, query: Query) -> CalibrationPage:
    """Return the calibration of a deployment.

    Raises
    ------
    NotFound
        If there is no such model.
    """
    name = query.path["model"]
    head = book.head(app, name, PAGE.name)
    version = book.champion(app, name)
    history = book.windows(app, name)
    mature = [
        window for window in history if window.is_mature and version is not None and window.number == version.number
    ]
    bins = profiles.reliability_bins(app, version, mature[-_RECENT:]) if version is not None else ()
    labels = sum(one.n for one in bins)
    gap = sum(abs(one.stated - one.observed) * one.n for one in bins) / labels if labels else None
    windows = min(len(mature), _RECENT)
    told = (
        f"stated and observed differ by {100 * gap:.1f} of 100 on average, over {labels:,} labels "
        f"of the last {'window' if windows == 1 else f'{windows} windows'}"
        if gap is not None
        else "no labels for this version yet"
    )
    metric = next(
        (one for one in _METRICS if book.points(history, one, subject="model", is_realised=True)), _METRICS[0]
    )
    return CalibrationPage(
        head=head,
        applies=version is None or version.manifest.signature.task is not Task.REGRESSION,
        number=version.number if version is not None else None,
        labels=labels,
        diagram=Reliability(title="Reliability", take_away=told, bins=bins),
        course=Lines(
            title="Mean gap between chance and truth",
            take_away="0 is perfect; each point is one window, with its 95 % interval",
            lines=(
                Line(
                    name="mean gap (ECE, bias removed)",
                    points=book.points(history, metric, subject="model", is_realised=True),
                ),
            ),
            shades=book.alarms(app, name, ("calibration",), query.now),
            floor=0.0,
        ),
        active=version.manifest.calibration if version is not None else None,
    )
