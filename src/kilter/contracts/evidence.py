"""The audit log: rows chained by hash, so that none can be changed or left out unseen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

__all__ = ["AuditRow", "AuditState"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """One step that was taken. ``id`` is the zero-padded sequence number.

    ``digest`` is SHA-256 of the canonical JSON of all other fields, ``previous`` the digest of the
    row before (64 zeros for the first).
    """

    id: str
    at: datetime
    by: str
    action: str
    subject: str
    detail: Mapping[str, str | int | float | bool | None]
    previous: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditState:
    """Outcome of walking the chain: ``first_bad`` is the id of the first row that does not fit, or None."""

    rows: int
    first_bad: str | None

    @property
    def is_verified(self) -> bool:
        """Say whether every row fits."""
        return self.first_bad is None
