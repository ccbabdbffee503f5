"""Audit: everything that was done, by whom, in a chain that shows any later change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kilter.contracts.evidence import AuditRow, AuditState
from kilter.faces.web.page import PageSpec

if TYPE_CHECKING:
    from kilter.app import App
    from kilter.faces.web.page import Query

__all__ = ["PAGE", "AuditPage", "data"]

PAGE = PageSpec(
    name="audit",
    url="/audit",
    title="Audit",
    about="Every step that was taken. Each row carries the fingerprint of the one before, so any later change shows.",
    section="audit",
    is_wide=True,
    fields=("after", "subject", "action"),
)

_PAGE_SIZE = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPage:
    """Rows, newest first, and what a walk along the whole chain found."""

    state: AuditState
    rows: tuple[AuditRow, ...]
    subject: str
    action: str
    next: str | None


def data(app: App, query: Query) -> AuditPage:
    """Return a page of audit rows.

    Raises
    ------
    StoreError
        If the store fails.
    """
    subject, action = query.text("subject"), query.text("action")
    where: dict[str, str | int | bool | None] = {}
    where |= {"subject": subject} if subject else {}
    where |= {"action": action} if action else {}
    after = query.text("after") or None
    found = app.metadata.read(
        lambda tx: tx.list(AuditRow, where=where, after=after, limit=_PAGE_SIZE + 1, newest_first=True)
    )
    rows = found[:_PAGE_SIZE]
    return AuditPage(
        state=app.governance.verify(),
        rows=rows,
        subject=subject,
        action=action,
        next=rows[-1].id if len(found) > _PAGE_SIZE else None,
    )
