"""Versions of one model, with the gates that each has passed or failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kilter.contracts.deployment import Deployment, Hold
from kilter.contracts.model import ModelVersion
from kilter.contracts.verdict import CheckRun
from kilter.faces.web import book
from kilter.faces.web.book import Head
from kilter.faces.web.page import PageSpec

if TYPE_CHECKING:
    from kilter.app import App
    from kilter.faces.web.page import Query

__all__ = ["PAGE", "VersionItem", "VersionsPage", "data"]

PAGE = PageSpec(
    name="versions",
    url="/models/{model}/versions",
    title="Versions",
    about="Every version that ever was, how it came to be, and which tests it passed before it was let near traffic.",
    section="home",
    is_wide=True,
    fields=("after",),
)

_PAGE_SIZE = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionItem:
    """One version with its latest gate run and the hold on it, if there is one."""

    version: ModelVersion
    role: str
    check: CheckRun | None
    hold: Hold | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionsPage:
    """Versions, newest first."""

    head: Head
    items: tuple[VersionItem, ...]
    next: str | None


def data(app: App, query: Query) -> VersionsPage:
    """Return the versions of a model.

    Raises
    ------
    NotFound
        If there is no such model.
    """
    name = query.path["model"]
    head = book.head(app, name, PAGE.name)
    after = query.text("after") or None
    where = {"model_name": name}
    found = app.metadata.read(
        lambda tx: tx.list(ModelVersion, where=where, after=after, limit=_PAGE_SIZE + 1, newest_first=True)
    )
    deployment = app.metadata.read(lambda tx: tx.get(Deployment, name))
    holds = app.metadata.read(lambda tx: tx.list(Hold, where={"deployment": name, "released_at": None}, limit=200))
    held = {hold.number: hold for hold in holds}
    items = tuple(
        VersionItem(version=one, role=_role(one, deployment), check=_check(app, one), hold=held.get(one.number))
        for one in found[:_PAGE_SIZE]
    )
    return VersionsPage(head=head, items=items, next=items[-1].version.id if len(found) > _PAGE_SIZE else None)


def _role(version: ModelVersion, deployment: Deployment | None) -> str:
    """Say what a version is to its deployment."""
    if deployment is not None and version.number == deployment.champion:
        return "live"
    if deployment is not None and version.number == deployment.previous:
        return "last good"
    return ""


def _check(app: App, version: ModelVersion) -> CheckRun | None:
    """Return the latest gate run of a version."""
    where = {"version_id": str(version.id)}
    found = app.metadata.read(lambda tx: tx.list(CheckRun, where=where, newest_first=True, limit=1))
    return found[0] if found else None
