"""What the monitor keeps: windows, signals, alerts, and the events that speak of them."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING, TypeAlias

from kilter.contracts.decision import OutboxEvent
from kilter.contracts.ids import AlertId
from kilter.contracts.monitor import Alert, Signal, Window
from kilter.measures import comparison
from kilter.measures.profile import codec
from kilter.measures.profile import window as counting
from kilter.policy import judgement
from kilter.policy.alerts import settle

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from kilter.contracts.blob import BlobStore
    from kilter.contracts.deployment import Deployment
    from kilter.contracts.metadata import ReadTx, WriteTx
    from kilter.contracts.reading import Reading
    from kilter.contracts.scoring import Auditor, IdSource
    from kilter.measures.profile import ReferenceProfile
    from kilter.measures.signals import Evidence
    from kilter.policy.alerts import Change

Where: TypeAlias = "Mapping[str, str | int | bool | None]"
Facts: TypeAlias = "Mapping[str, str | int | float | bool | None]"

_HISTORY = 200
_MERGED = 26
_PAGE = 5_000


def last_window(tx: ReadTx, deployment: str) -> Window | None:
    """Return the window that was closed last."""
    found = tx.list(Window, where={"deployment": deployment}, limit=1, newest_first=True)
    return found[0] if found else None


def mature_windows(tx: ReadTx, deployment: str, number: int, limit: int = _HISTORY) -> tuple[Window, ...]:
    """Return the latest windows of a version whose labels counted, newest first."""
    where: Where = {"deployment": deployment, "number": number, "is_mature": True}
    return tx.list(Window, where=where, limit=limit, newest_first=True)


def waiting(tx: ReadTx, deployment: str) -> tuple[Window, ...]:
    """Return the windows that still wait for labels, oldest first."""
    where: Where = {"deployment": deployment, "is_mature": False}
    return tx.list(Window, where=where, limit=_PAGE)


def open_alerts(tx: ReadTx, deployment: str) -> tuple[Alert, ...]:
    """Return the open alerts of a deployment."""
    return tx.list(Alert, where={"deployment": deployment, "closed_at": None}, limit=_PAGE)


def history(tx: ReadTx, deployment: str, number: int) -> judgement.History:
    """Return what is known of a version, bounded."""
    where: Where = {"deployment": deployment, "number": number}
    return judgement.History(
        signals=tx.list(Signal, where=where, limit=_PAGE),
        alerts=open_alerts(tx, deployment),
        windows=tx.list(Window, where=where, limit=_HISTORY, newest_first=True),
        mature=mature_windows(tx, deployment, number),
    )


class Ledger:
    """Writes what a judged window changes, inside the caller's transaction.

    Guarantees: every change of an alert has its event and its audit row in the same transaction.
    """

    def __init__(self, blobs: BlobStore, auditor: Auditor, ids: IdSource) -> None:
        self._blobs = blobs
        self._auditor = auditor
        self._ids = ids

    def judge(
        self,
        tx: WriteTx,
        live: Deployment,
        window: Window,
        evidence: Sequence[Evidence],
        *,
        known: judgement.History,
        reference: ReferenceProfile,
        now: datetime,
    ) -> tuple[Change, ...]:
        """Step the signals and settle the alerts."""
        first = tx.list(Window, where={"deployment": live.id}, limit=1)[0].start_at
        length_s = live.spec.monitor.window_s
        judged = judgement.judge(
            evidence,
            known,
            reference=reference,
            spec=live.spec.monitor,
            deployment=live.id,
            number=window.number,
            is_champion=window.number == live.champion,
            ordinal=lambda one: 1 + round((one.start_at - first).total_seconds() / length_s),
            area=lambda chosen: self._area(chosen, reference),
            at=now,
            new_id=self._alert_id,
        )
        for signal in judged.signals:
            _put(tx, signal)
        self._announce(tx, judged.changes, now)
        return judged.changes

    def supersede(self, tx: WriteTx, deployment: str, champion: int, now: datetime) -> tuple[Change, ...]:
        """Close the open alerts of versions that no longer answer."""
        changes = settle(
            open_alerts(tx, deployment),
            (),
            (),
            deployment=deployment,
            number=champion,
            at=now,
            new_id=self._alert_id,
        )
        self._announce(tx, changes, now)
        return changes

    def tell(
        self,
        tx: WriteTx,
        topic: str,
        deployment: str,
        facts: Mapping[str, str | int | float | bool | None],
        now: datetime,
    ) -> None:
        """Add one event to the outbox."""
        payload = {"deployment": deployment, **facts}
        event_id = self._ids.new("event")
        tx.add(
            OutboxEvent(id=event_id, topic=topic, subject=deployment, payload=payload, created_at=now, available_at=now)
        )

    def _area(self, windows: Sequence[Window], reference: ReferenceProfile) -> Reading:
        """Measure the ranking of all labelled rows of the latest of these windows, from merged counts."""
        profiles = (codec.decode(self._blobs.get(one.profile), reference) for one in windows[:_MERGED])
        return comparison.ranking(reference, reduce(counting.merge, profiles, counting.empty(reference)))

    def _announce(self, tx: WriteTx, changes: Sequence[Change], now: datetime) -> None:
        """Store alerts, with an event and an audit row each."""
        for change in changes:
            alert, topic = change.alert, f"alert.{change.kind}"
            _put(tx, alert)
            facts: Facts = {
                "alert": alert.id,
                "number": alert.number,
                "family": alert.family,
                "severity": alert.severity.value,
                "suggestion": alert.suggestion,
            }
            self.tell(tx, topic, alert.deployment, facts, now)
            reason = alert.closed_reason or alert.headline
            detail = {**facts, "window": alert.window, "log_evidence": alert.log_evidence, "reason": reason}
            self._auditor.record(tx, by="monitor", action=topic, subject=alert.deployment, detail=detail)

    def _alert_id(self) -> AlertId:
        """Make an id for a new alert."""
        return AlertId(self._ids.new("alert"))


def with_window(known: judgement.History, window: Window) -> judgement.History:
    """Return the history with the judged window in its place."""
    others = tuple(one for one in known.windows if one.id != window.id)
    mature = tuple(one for one in known.mature if one.id != window.id)
    in_order = sorted((window, *others), key=lambda one: one.id, reverse=True)
    if window.is_mature and window.rows:
        mature = (window, *mature)
    return replace(known, windows=tuple(in_order), mature=mature)


def _put(tx: WriteTx, record: Signal | Alert) -> None:
    """Insert a new record, or replace the one before."""
    if record.version == 1:
        tx.add(record)
    else:
        tx.replace(record)
