"""Rollouts: every attempt to put a new version into service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kilter.contracts.rollout import Rollout
from kilter.faces.web.page import PageSpec

if TYPE_CHECKING:
    from kilter.app import App
    from kilter.faces.web.page import Query

__all__ = ["PAGE", "RolloutsPage", "data"]

PAGE = PageSpec(
    name="rollouts",
    url="/rollouts",
    title="Rollouts",
    about="New versions get a small part of the traffic first; they get more only while nothing speaks against them.",
    section="rollouts",
    is_wide=True,
    fields=("after", "deployment"),
)

_PAGE_SIZE = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutsPage:
    """Rollouts, newest first."""

    items: tuple[Rollout, ...]
    deployment: str
    next: str | None


def data(app: App, query: Query) -> RolloutsPage:
    """Return a page of rollouts.

    Raises
    ------
    StoreError
        If the store fails.
    """
    deployment = query.text("deployment")
    where = {"deployment": deployment} if deployment else {}
    after = query.text("after") or None
    found = app.metadata.read(
        lambda tx: tx.list(Rollout, where=where, after=after, limit=_PAGE_SIZE + 1, newest_first=True)
    )
    items = found[:_PAGE_SIZE]
    return RolloutsPage(items=items, deployment=deployment, next=items[-1].id if len(found) > _PAGE_SIZE else None)
