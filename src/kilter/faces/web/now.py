"""Now: what is wrong, since when, what kilter already did, and the first command; for a phone at night."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from kilter.contracts.evidence import AuditRow
from kilter.contracts.monitor import HealthState
from kilter.control.status import StatusItem, StatusReader
from kilter.faces.web.page import PageSpec

if TYPE_CHECKING:
    from kilter.app import App
    from kilter.faces.web.page import Query

__all__ = ["PAGE", "NowItem", "NowPage", "data"]

PAGE = PageSpec(
    name="now",
    url="/now",
    title="Now",
    about="Only what is wrong at this moment, what kilter has done about it, and what you can do first.",
    section="now",
)

_CALM = (HealthState.FINE, HealthState.UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class NowItem:
    """One deployment that is not well, with the last things done about it and the command to start with."""

    status: StatusItem
    done: tuple[AuditRow, ...]
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NowPage:
    """Everything that is wrong; ``calm`` counts the rest."""

    items: tuple[NowItem, ...]
    calm: int
    clock_at: datetime


def data(app: App, query: Query) -> NowPage:
    """Return what is wrong.

    Raises
    ------
    StoreError
        If the store fails.
    """
    every = StatusReader(metadata=app.metadata, monitor=app.monitor, deployer=app.deployer).every()
    wrong = [item for item in every if item.state not in _CALM]
    return NowPage(
        items=tuple(NowItem(status=item, done=_done(app, item.deployment), command=_command(item)) for item in wrong),
        calm=len(every) - len(wrong),
        clock_at=query.now,
    )


def _done(app: App, deployment: str) -> tuple[AuditRow, ...]:
    """Return the last audit rows about a deployment."""
    where = {"subject": deployment}
    return app.metadata.read(lambda tx: tx.list(AuditRow, where=where, newest_first=True, limit=5))


def _command(item: StatusItem) -> str:
    """Return the first command to run."""
    if item.state is HealthState.STOPPED:
        return f'kilter rollback {item.deployment} --reason "..."'
    if item.alerts:
        return f"kilter explain alert {item.alerts[0].id}"
    return f"kilter status {item.deployment}"
