"""Alerts: everything that a person, or a repair, should act on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kilter.contracts.monitor import Alert
from kilter.faces.web.page import PageSpec

if TYPE_CHECKING:
    from kilter.app import App
    from kilter.faces.web.page import Query

__all__ = ["PAGE", "AlertsPage", "data"]

PAGE = PageSpec(
    name="alerts",
    url="/alerts",
    title="Alerts",
    about="What kilter thinks somebody should look at. False alarms are kept to the rate that you set.",
    section="alerts",
    fields=("after", "deployment", "open"),
)

_PAGE_SIZE = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertsPage:
    """Alerts, newest first."""

    items: tuple[Alert, ...]
    deployment: str
    only_open: bool
    next: str | None


def data(app: App, query: Query) -> AlertsPage:
    """Return a page of alerts.

    Raises
    ------
    StoreError
        If the store fails.
    """
    deployment = query.text("deployment")
    only_open = query.text("open") == "true"
    where: dict[str, str | int | bool | None] = {"deployment": deployment} if deployment else {}
    where |= {"closed_at": None} if only_open else {}
    after = query.text("after") or None
    found = app.metadata.read(
        lambda tx: tx.list(Alert, where=where, after=after, limit=_PAGE_SIZE + 1, newest_first=True)
    )
    items = found[:_PAGE_SIZE]
    return AlertsPage(
        items=items, deployment=deployment, only_open=only_open, next=items[-1].id if len(found) > _PAGE_SIZE else None
    )
