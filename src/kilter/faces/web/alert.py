"""One alert: what, since when, why, what kilter did, and what to do."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kilter.contracts.decision import Decision
from kilter.contracts.evidence import AuditRow
from kilter.contracts.monitor import Alert
from kilter.errors import NotFound
from kilter.faces.web.page import PageSpec

if TYPE_CHECKING:
    from kilter.app import App
    from kilter.faces.web.page import Query

__all__ = ["PAGE", "AlertPage", "data"]

PAGE = PageSpec(
    name="alert",
    url="/alerts/{alert}",
    title="Alert",
    about="What was noticed, how sure kilter is, what it has done, and what you can do.",
    section="alerts",
)

_SEARCHED = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertPage:
    """One alert with the decisions and the evidence that followed from it."""

    alert: Alert
    odds: float
    decisions: tuple[Decision, ...]
    done: tuple[AuditRow, ...]
    similar: tuple[Alert, ...]
    command: str


def data(app: App, query: Query) -> AlertPage:
    """Return one alert.

    Raises
    ------
    NotFound
        If there is no such alert.
    """
    name = query.path["alert"]
    found = app.metadata.read(lambda tx: tx.get(Alert, name))
    if found is None:
        message = f"there is no alert `{name}`"
        raise NotFound(message, hint="go to `/alerts`")
    where = {"deployment": found.deployment}
    decisions = app.metadata.read(lambda tx: tx.list(Decision, where=where, newest_first=True, limit=_SEARCHED))
    rows = app.metadata.read(
        lambda tx: tx.list(AuditRow, where={"subject": found.deployment}, newest_first=True, limit=_SEARCHED)
    )
    past = app.metadata.read(
        lambda tx: tx.list(Alert, where={**where, "family": found.family}, newest_first=True, limit=6)
    )
    return AlertPage(
        alert=found,
        odds=math.exp(min(found.log_evidence, 50.0)),
        decisions=tuple(one for one in decisions if found.id in one.evidence or found.id in one.key),
        done=tuple(row for row in reversed(rows) if row.at >= found.opened_at)[:12],
        similar=tuple(one for one in past if one.id != found.id)[:5],
        command=_command(found),
    )


def _command(alert: Alert) -> str:
    """Return the next command."""
    if alert.suggestion == "recalibrate":
        return f"kilter retrain {alert.deployment} --how recalibrate"
    if alert.suggestion == "refit":
        return f"kilter retrain {alert.deployment} --how refit"
    return f"kilter explain alert {alert.id}"
