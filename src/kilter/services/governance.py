"""The audit log: one chain of rows, written by all services, verified by anybody."""

from __future__ import annotations

import hashlib
import json
import math
from datetime import UTC
from typing import TYPE_CHECKING

from kilter.contracts.evidence import AuditRow, AuditState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from kilter.contracts.clock import Clock
    from kilter.contracts.metadata import MetadataStore, WriteTx

__all__ = ["Governance", "digest_of"]

_FIRST = "0" * 64
_PAGE = 1_000


class Governance:
    """Writes and verifies the chain of audit rows.

    Guarantees: a row is part of the caller's transaction, so it exists exactly if the step it tells of does;
    writers are serialised by the store, so there is one chain without gaps. A row that was changed, removed
    or put in between is found by ``verify``; rows cut off at the end are not, unless the last digest is
    kept elsewhere. Safe from threads and processes.

    Parameters
    ----------
    metadata : MetadataStore
        Where the rows lie.
    clock : Clock
        Gives the rows their time.
    """

    def __init__(self, *, metadata: MetadataStore, clock: Clock) -> None:
        self._metadata = metadata
        self._clock = clock

    def record(
        self,
        tx: WriteTx,
        *,
        by: str,
        action: str,
        subject: str,
        detail: Mapping[str, str | int | float | bool | None],
    ) -> AuditRow:
        """Append one row to the chain.

        Parameters
        ----------
        tx : WriteTx
            The transaction of the step.
        by, action, subject : str
            Who did what to which thing.
        detail : mapping
            Flat facts; infinite numbers become text.

        Returns
        -------
        AuditRow

        Raises
        ------
        StoreError
            If the store fails.
        """
        last = tx.list(AuditRow, newest_first=True, limit=1)
        number, previous = (int(last[0].id) + 1, last[0].digest) if last else (1, _FIRST)
        facts = {key: str(value) if _is_odd(value) else value for key, value in detail.items()}
        fields = {"id": f"{number:012d}", "by": by, "action": action, "subject": subject, "previous": previous}
        at = self._clock.now()
        row = AuditRow(**fields, at=at, detail=facts, digest=_digest(fields, at, facts))
        tx.add(row)
        return row

    def verify(self) -> AuditState:
        """Walk the chain, page by page.

        Returns
        -------
        AuditState
            ``rows`` counts those that fit, up to the first that does not.

        Raises
        ------
        StoreError
            If the store fails.
        """
        rows, previous, after = 0, _FIRST, None
        while page := self.rows(after, _PAGE):
            for row in page:
                if (row.id, row.previous, row.digest) != (f"{rows + 1:012d}", previous, digest_of(row)):
                    return AuditState(rows=rows, first_bad=row.id)
                rows, previous, after = rows + 1, row.digest, row.id
        return AuditState(rows=rows, first_bad=None)

    def rows(self, after: str | None = None, limit: int = 100, *, newest_first: bool = False) -> tuple[AuditRow, ...]:
        """Return one page of rows.

        Parameters
        ----------
        after : str or None
            The last id of the page before.
        limit : int
            At most 5,000.
        newest_first : bool
            The order.

        Returns
        -------
        tuple of AuditRow

        Raises
        ------
        StoreError
            If the store fails.
        """
        return self._metadata.read(lambda tx: tx.list(AuditRow, after=after, limit=limit, newest_first=newest_first))


def digest_of(row: AuditRow) -> str:
    """Return the digest that a row must have: SHA-256, hexadecimal, of the canonical JSON of its other fields.

    Canonical: UTF-8, keys sorted, no insignificant space, ``at`` in UTC with six digits of microseconds.

    Parameters
    ----------
    row : AuditRow
        The row; its own digest is left out.

    Returns
    -------
    str

    Raises
    ------
    UnicodeEncodeError
        If a text holds half of a surrogate pair.
    """
    fields = {"id": row.id, "by": row.by, "action": row.action, "subject": row.subject, "previous": row.previous}
    return _digest(fields, row.at, row.detail)


def _digest(fields: Mapping[str, str], at: datetime, detail: Mapping[str, str | int | float | bool | None]) -> str:
    """Hash the canonical JSON of a row without its digest."""
    when = at.astimezone(UTC).isoformat(timespec="microseconds")
    tree = {**fields, "at": when, "detail": dict(detail)}
    text = json.dumps(tree, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _is_odd(value: object) -> bool:
    """Say whether JSON cannot hold a number."""
    return isinstance(value, float) and not math.isfinite(value)
