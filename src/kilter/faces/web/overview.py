"""Overview of one model: state, live version, traffic, what was decided last, and what comes next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kilter.contracts.decision import Decision
from kilter.contracts.evidence import AuditRow
from kilter.contracts.model import ModelVersion
from kilter.contracts.reading import Reading
from kilter.control.status import StatusItem
from kilter.faces.web import book
from kilter.faces.web.book import Head
from kilter.faces.web.charts import Line, Lines
from kilter.faces.web.page import PageSpec
from kilter.faces.web.words import metric_name

if TYPE_CHECKING:
    from kilter.app import App
    from kilter.faces.web.page import Query

__all__ = ["PAGE", "OverviewPage", "Share", "data"]

PAGE = PageSpec(
    name="overview",
    url="/models/{model}",
    title="Overview",
    about="Is this model doing its job, which version answers, and what did kilter do last?",
    section="home",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Part of the traffic that one version answers, of 100 requests."""

    number: int
    role: str
    percent: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OverviewPage:
    """One model; everything about serving is None or empty before it is deployed."""

    head: Head
    status: StatusItem | None
    champion: ModelVersion | None
    traffic: tuple[Share, ...]
    decisions: tuple[Decision, ...]
    done: tuple[AuditRow, ...]
    metric: str
    latest: Reading | None
    course: Lines
    rows_per_window: int


def data(app: App, query: Query) -> OverviewPage:
    """Return the overview of a model.

    Raises
    ------
    NotFound
        If there is no such model.
    """
    name = query.path["model"]
    head = book.head(app, name, PAGE.name)
    history = book.windows(app, name, most=120)
    metric, _ = book.main_metric(history)
    realised = [one for window in history if (one := book.reading(window.realised, metric, "model")) is not None]
    where = {"deployment": name}
    decisions = app.metadata.read(lambda tx: tx.list(Decision, where=where, newest_first=True, limit=5))
    done = app.metadata.read(lambda tx: tx.list(AuditRow, where={"subject": name}, newest_first=True, limit=8))
    latest = realised[-1] if realised else None
    course = Lines(
        title=metric_name(metric),
        take_away="as it turned out, window by window" if realised else "no labels have come in yet",
        lines=(Line(name="as it turned out", points=book.points(history, metric, subject="model", is_realised=True)),),
        shades=book.alarms(app, name, ("performance", "calibration"), query.now),
    )
    return OverviewPage(
        head=head,
        status=book.status(app, name) if head.is_deployed else None,
        champion=book.champion(app, name),
        traffic=_traffic(app, name) if head.is_deployed else (),
        decisions=decisions,
        done=done,
        metric=metric,
        latest=latest,
        course=course,
        rows_per_window=history[-1].rows if history else 0,
    )


def _traffic(app: App, name: str) -> tuple[Share, ...]:
    """Return who answers how much, from the route in force."""
    route = app.deployer.status(name).route
    if route is None:
        return ()
    candidate = route.weight / 100 if route.challenger is not None else 0.0
    shares = [Share(number=route.champion.version, role="live version", percent=100 - candidate)]
    if route.challenger is not None:
        shares.append(Share(number=route.challenger.version, role="candidate", percent=candidate))
    if route.shadow is not None:
        shares.append(
            Share(number=route.shadow.version, role="shadow (answers nobody)", percent=route.shadow_rate / 100)
        )
    return tuple(shares)
