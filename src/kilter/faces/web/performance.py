"""Performance: how right the model turned out to be, against what kilter estimated before labels came."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kilter.contracts.deployment import Deployment
from kilter.contracts.monitor import TrustState, Window
from kilter.faces.web import book
from kilter.faces.web.book import Head
from kilter.faces.web.charts import Line, Lines, Point
from kilter.faces.web.page import PageSpec
from kilter.faces.web.words import metric_name

if TYPE_CHECKING:
    from kilter.app import App
    from kilter.faces.web.page import Query

__all__ = ["PAGE", "PerformancePage", "data"]

PAGE = PageSpec(
    name="performance",
    url="/models/{model}/performance",
    title="Performance",
    about="How often the model was right once the truth was known, and what kilter expected before it was.",
    section="home",
    fields=("metric",),
)

_WAITED = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class PerformancePage:
    """The course of one metric, and how labels arrive. ``labels`` counts those of the windows shown."""

    head: Head
    metric: str
    metrics: tuple[str, ...]
    course: Lines
    arrival: Lines
    trust: TrustState
    trust_reason: str
    waiting: tuple[Window, ...]
    labels: int


def data(app: App, query: Query) -> PerformancePage:
    """Return the performance of a deployment.

    Raises
    ------
    NotFound
        If there is no such model.
    """
    name = query.path["model"]
    head = book.head(app, name, PAGE.name)
    history = book.windows(app, name)
    metric, metrics = book.main_metric(history, query.text("metric"))
    realised = book.points(history, metric, subject="model", is_realised=True)
    estimated = book.points(history, metric, subject="estimate", is_realised=False)
    limit, limit_label = _limit(app, name, metric)
    covered = [window for window in history if window.coverage is not None and window.coverage.predictions]
    return PerformancePage(
        head=head,
        metric=metric,
        metrics=metrics,
        course=Lines(
            title=metric_name(metric),
            take_away=_take_away(realised),
            lines=(
                Line(name="as it turned out, with 95 % interval", points=realised),
                *((Line(name="estimated without labels", points=estimated, kind="dashed"),) if estimated else ()),
            ),
            limit=limit,
            limit_label=limit_label,
            shades=book.alarms(app, name, ("performance",), query.now),
        ),
        arrival=Lines(
            title="Labels that have arrived",
            take_away="share of each window's predictions whose truth is known by now",
            lines=(Line(name="share with a label", points=tuple(_arrived(window) for window in covered)),),
            floor=0.0,
            ceiling=1.0,
        ),
        trust=history[-1].trust if history else TrustState.UNAVAILABLE,
        trust_reason=history[-1].trust_reason if history else "",
        waiting=tuple(window for window in history if not window.is_mature)[-_WAITED:],
        labels=sum(window.coverage.joined for window in covered if window.coverage is not None),
    )


def _arrived(window: Window) -> Point:
    """Return the share of a window's predictions that have a label."""
    coverage = window.coverage
    share = coverage.joined / coverage.predictions if coverage is not None else 0.0
    return Point(at=window.end_at, value=share, n=coverage.predictions if coverage is not None else 0)


def _limit(app: App, name: str, metric: str) -> tuple[float | None, str]:
    """Return the limit that a gate sets for the metric, if one does."""
    deployment = app.metadata.read(lambda tx: tx.get(Deployment, name))
    for rule in deployment.spec.gates if deployment is not None else ():
        if rule.metric == metric and rule.min is not None:
            return rule.min, f"gate: at least {rule.min:g}"
        if rule.metric == metric and rule.max is not None:
            return rule.max, f"gate: at most {rule.max:g}"
    return None, ""


def _take_away(course: tuple[Point, ...]) -> str:
    """Say in a sentence what the chart shows."""
    known = [point for point in course if point.value is not None]
    if not known:
        return "no labels have come in yet, so nothing is known for certain"
    first, last = known[0], known[-1]
    return (
        f"{first.value:.3g} in the first window shown, {last.value:.3g} in the last "
        f"({len(known)} {'window' if len(known) == 1 else 'windows'} with labels; the last one has {last.n:,})"
    )
