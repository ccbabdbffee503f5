"""Drift: whether the rows that come in now look like those the model learned from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from kilter.contracts.deployment import Deployment
from kilter.contracts.monitor import Alert, Window
from kilter.faces.web import book, profiles
from kilter.faces.web.book import Head
from kilter.faces.web.charts import Pairs
from kilter.faces.web.page import PageSpec

if TYPE_CHECKING:
    from kilter.app import App
    from kilter.contracts.model import ModelVersion
    from kilter.faces.web.page import Query

__all__ = ["PAGE", "ColumnDrift", "DriftPage", "data"]

PAGE = PageSpec(
    name="drift",
    url="/models/{model}/drift",
    title="Drift",
    about="Do the rows that come in now look like the ones the model learned from? Change alone is not harm.",
    section="home",
    fields=("column",),
)

_SHOWN = 3
_EFFECTS = ("ks", "total_variation")


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnDrift:
    """How far one column has moved: ``shift`` is the largest gap between the shares then and now (0 to 1)."""

    name: str
    shift: float
    measure: str
    low: float | None
    high: float | None
    n: int
    stability: float | None
    missing: float | None
    course: tuple[float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftPage:
    """Columns by size of their shift in the latest window, the largest first, some of them drawn."""

    head: Head
    window: Window | None
    until: datetime | None
    tolerance: float
    columns: tuple[ColumnDrift, ...]
    drawn: tuple[Pairs, ...]
    chosen: str
    alerts: tuple[Alert, ...]


def data(app: App, query: Query) -> DriftPage:
    """Return the drift of a deployment.

    Raises
    ------
    NotFound
        If there is no such model.
    """
    name = query.path["model"]
    head = book.head(app, name, PAGE.name)
    history = book.windows(app, name, most=40)
    last = history[-1] if history else None
    columns = _columns(history)
    chosen = query.text("column")
    wanted = [chosen] if chosen in {one.name for one in columns} else [one.name for one in columns[:_SHOWN]]
    version = book.champion(app, name, last.number) if last is not None else None
    deployment = app.metadata.read(lambda tx: tx.get(Deployment, name))
    where = {"deployment": name, "closed_at": None}
    alerts = app.metadata.read(lambda tx: tx.list(Alert, where=where, newest_first=True, limit=50))
    return DriftPage(
        head=head,
        window=last,
        until=last.end_at if last is not None else None,
        tolerance=deployment.spec.monitor.drift_tolerance if deployment is not None else 0.05,
        columns=columns,
        drawn=_draw(app, version, last, columns, wanted),
        chosen=chosen if wanted == [chosen] else "",
        alerts=tuple(alert for alert in alerts if alert.family in ("feature_drift", "score_drift", "input_health")),
    )


def _columns(history: tuple[Window, ...]) -> tuple[ColumnDrift, ...]:
    """Rank the columns of the latest window by effect."""
    if not history:
        return ()
    last = history[-1]
    found = []
    for effect in last.readings:
        if effect.metric in _EFFECTS and effect.subject.startswith("column:") and effect.estimate is not None:
            stability = book.reading(last.readings, "population_stability_index", effect.subject)
            missing = book.reading(last.readings, "missing", effect.subject)
            course = [book.reading(window.readings, effect.metric, effect.subject) for window in history]
            found.append(
                ColumnDrift(
                    name=effect.subject.removeprefix("column:"),
                    shift=effect.estimate,
                    measure=effect.metric,
                    low=effect.low,
                    high=effect.high,
                    n=effect.n,
                    stability=stability.estimate if stability is not None else None,
                    missing=missing.estimate if missing is not None else None,
                    course=tuple(one.estimate if one is not None else None for one in course),
                )
            )
    best: dict[str, ColumnDrift] = {}
    for one in found:
        best[one.name] = max(best.get(one.name, one), one, key=lambda item: item.shift)
    return tuple(sorted(best.values(), key=lambda item: (-item.shift, item.name)))


def _draw(
    app: App,
    version: ModelVersion | None,
    window: Window | None,
    columns: tuple[ColumnDrift, ...],
    wanted: list[str],
) -> tuple[Pairs, ...]:
    """Compare the chosen columns of a window with the reference."""
    reference = profiles.reference_of(app, version) if version is not None else None
    if reference is None or window is None:
        return ()
    profile = profiles.window_profile(app, window, reference)
    if profile is None:
        return ()
    shifts = {one.name: one.shift for one in columns}
    return tuple(
        Pairs(
            title=name,
            take_away=f"the shares differ by up to {100 * shifts[name]:.1f} of 100, over {window.rows:,} rows",
            bars=profiles.column_bars(reference, profile, name),
        )
        for name in wanted
    )
