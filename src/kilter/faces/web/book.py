"""What several pages look up: a model with its deployment, its windows, the metric that it is judged by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kilter.contracts.deployment import Deployment
from kilter.contracts.model import Model, ModelVersion
from kilter.contracts.monitor import Alert, Window
from kilter.control.status import StatusReader
from kilter.errors import NotFound
from kilter.faces.web.charts import Point, Shade

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from kilter.app import App
    from kilter.contracts.reading import Reading
    from kilter.control.status import StatusItem

__all__ = ["Head", "alarms", "champion", "head", "main_metric", "points", "reading", "status", "windows"]

_MOST_WINDOWS = 300
_PREFERRED = ("accuracy_score", "roc_auc_score", "brier_score_loss", "mean_absolute_error")


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What stands on top of every page about a model."""

    model: str
    tab: str
    is_deployed: bool
    owner: str
    purpose: str


def head(app: App, model: str, tab: str) -> Head:
    """Return the head of a model's page.

    Raises
    ------
    NotFound
        If there is no such model.
    """
    found = app.metadata.read(lambda tx: tx.list(Model, where={"name": model}, limit=1))
    if not found:
        message = f"there is no model `{model}`"
        raise NotFound(message, hint="go to the home page, or add it with `kilter add`")
    is_deployed = app.metadata.read(lambda tx: tx.get(Deployment, model)) is not None
    return Head(model=model, tab=tab, is_deployed=is_deployed, owner=found[0].owner, purpose=found[0].purpose)


def status(app: App, model: str) -> StatusItem:
    """Return how a deployment is."""
    return StatusReader(metadata=app.metadata, monitor=app.monitor, deployer=app.deployer).one(model)


def windows(app: App, model: str, *, most: int = _MOST_WINDOWS) -> tuple[Window, ...]:
    """Return the latest windows of a deployment, oldest first."""
    where = {"deployment": model}
    found = app.metadata.read(lambda tx: tx.list(Window, where=where, limit=most, newest_first=True))
    return tuple(reversed(found))


def champion(app: App, model: str, number: int | None = None) -> ModelVersion | None:
    """Return a version of a model: the live one, or the one of that number."""
    wanted = number
    if wanted is None:
        deployment = app.metadata.read(lambda tx: tx.get(Deployment, model))
        wanted = deployment.champion if deployment is not None else None
    if wanted is None:
        return None
    where: dict[str, str | int | bool | None] = {"model_name": model, "number": wanted}
    found = app.metadata.read(lambda tx: tx.list(ModelVersion, where=where, limit=1))
    return found[0] if found else None


def reading(readings: Iterable[Reading], metric: str, subject: str | None = None) -> Reading | None:
    """Return the reading of a metric, with an estimate, on a subject (any, if None)."""
    return next(
        (
            one
            for one in readings
            if (one.metric == metric or one.metric.startswith(f"{metric}["))
            and subject in (None, one.subject)
            and one.estimate is not None
        ),
        None,
    )


def main_metric(history: Sequence[Window], wanted: str = "") -> tuple[str, tuple[str, ...]]:
    """Return the metric to show, and all that could be shown: those with realised readings."""
    known: dict[str, None] = {}
    for window in history:
        known.update(dict.fromkeys(one.metric for one in window.realised if one.subject == "model"))
    names = tuple(known)
    preferred = [name for name in (wanted, *_PREFERRED) if name in names]
    return (preferred[0] if preferred else names[0] if names else _PREFERRED[0]), names


def points(history: Sequence[Window], metric: str, *, subject: str | None, is_realised: bool) -> tuple[Point, ...]:
    """Return the course of one metric, a point a window."""
    course = []
    for window in history:
        one = reading(window.realised if is_realised else window.readings, metric, subject)
        if one is not None:
            course.append(Point(at=window.end_at, value=one.estimate, low=one.low, high=one.high, n=one.n))
    return tuple(course)


def alarms(app: App, model: str, families: Iterable[str], now: datetime) -> tuple[Shade, ...]:
    """Return when alerts of these families were open."""
    wanted = set(families)
    where = {"deployment": model}
    found = app.metadata.read(lambda tx: tx.list(Alert, where=where, newest_first=True, limit=100))
    return tuple(
        Shade(start=alert.since, end=alert.closed_at or now, label=alert.headline)
        for alert in found
        if alert.family in wanted
    )
