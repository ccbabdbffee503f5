"""Alerts about kilter itself: opened when a step keeps failing, closed when it works again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from kilter.contracts.deployment import Deployment
from kilter.contracts.ids import AlertId
from kilter.contracts.monitor import Alert, Severity
from kilter.errors import AlreadyFinal, NotFound

if TYPE_CHECKING:
    from datetime import datetime

    from kilter.contracts.metadata import MetadataStore, ReadTx, WriteTx
    from kilter.contracts.scoring import Auditor, IdSource

__all__ = ["FAMILY", "Alerts"]

FAMILY = "control"


class Alerts:
    """What the control plane does with alerts besides the monitor: its own faults, and people's answers.

    Parameters
    ----------
    metadata, auditor, ids : ports
        Where alerts are kept, what writes the evidence, what makes ids.

    Guarantees: at most one open fault per deployment and step; every change and its audit row are one
    transaction. Safe from threads.
    """

    def __init__(self, *, metadata: MetadataStore, auditor: Auditor, ids: IdSource) -> None:
        self._metadata = metadata
        self._auditor = auditor
        self._ids = ids

    def acknowledge(self, alert_id: str, *, by: str, now: datetime, reason: str = "") -> Alert:
        """Note that a person has seen an alert; a second time changes nothing.

        Raises
        ------
        NotFound
            If there is no such alert.
        AlreadyFinal
            If it is closed.
        StoreError
            If the store fails.
        """

        def answer(tx: WriteTx) -> Alert:
            alert = tx.get(Alert, alert_id)
            if alert is None:
                message = f"no alert `{alert_id}`"
                raise NotFound(message, hint="list the open ones with `kilter status`")
            if alert.closed_at is not None:
                message = f"alert `{alert_id}` is closed"
                raise AlreadyFinal(message, why=alert.closed_reason or None)
            if alert.acknowledged_by:
                return alert
            seen = replace(alert, acknowledged_by=by, updated_at=now, version=alert.version + 1)
            tx.replace(seen)
            detail = {"alert": alert_id, "reason": reason}
            self._auditor.record(tx, by=by, action="alert.acknowledged", subject=alert.deployment, detail=detail)
            return seen

        return self._metadata.write(answer)

    def raise_fault(self, deployment: str, step: str, *, error: str, now: datetime, hint: str = "") -> Alert:
        """Open the alert of a step that keeps failing, or count one more repeat of it.

        Raises
        ------
        StoreError
            If the store fails.
        """

        def note(tx: WriteTx) -> Alert:
            known = _open_fault(tx, deployment, step)
            if known is not None:
                again = replace(known, repeats=known.repeats + 1, updated_at=now, version=known.version + 1)
                tx.replace(again)
                return again
            record = tx.get(Deployment, deployment)
            alert = Alert(
                id=AlertId(self._ids.new("alert")),
                deployment=deployment,
                number=(record.champion or 0) if record is not None else 0,
                family=FAMILY,
                severity=Severity.WARN,
                headline=f"kilter itself is in trouble: {step} fails for {deployment or 'all deployments'}",
                since=now,
                window=0,
                log_evidence=0.0,
                log_threshold=0.0,
                causes=(f"step: {step}", error),
                suggestion=hint or "look",
                opened_at=now,
                updated_at=now,
            )
            tx.add(alert)
            detail = {"alert": alert.id, "step": step, "error": error}
            self._auditor.record(tx, by="control", action="alert.opened", subject=deployment, detail=detail)
            return alert

        return self._metadata.write(note)

    def clear_fault(self, deployment: str, step: str, *, now: datetime) -> Alert | None:
        """Close the alert of a step that works again, if one is open.

        Raises
        ------
        StoreError
            If the store fails.
        """

        def clear(tx: WriteTx) -> Alert | None:
            known = _open_fault(tx, deployment, step)
            if known is None:
                return None
            closed = replace(
                known, closed_at=now, closed_reason="the step works again", updated_at=now, version=known.version + 1
            )
            tx.replace(closed)
            detail = {"alert": known.id, "step": step}
            self._auditor.record(tx, by="control", action="alert.closed", subject=deployment, detail=detail)
            return closed

        if self._metadata.read(lambda tx: _open_fault(tx, deployment, step)) is None:
            return None
        return self._metadata.write(clear)


def _open_fault(tx: ReadTx, deployment: str, step: str) -> Alert | None:
    """Find the open alert of one step of one deployment."""
    known = tx.list(Alert, where={"deployment": deployment, "family": FAMILY, "closed_at": None})
    return next((alert for alert in known if f"step: {step}" in alert.causes), None)
