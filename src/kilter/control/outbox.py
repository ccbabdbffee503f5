"""Delivers the events that services wrote down: at least once, in order per subject, never dropped."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias

from kilter.contracts.decision import OutboxEvent
from kilter.errors import KilterError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from kilter.contracts.metadata import MetadataStore, WriteTx
    from kilter.contracts.scoring import Auditor

    Handler: TypeAlias = Callable[[OutboxEvent, datetime], object]

__all__ = ["MOST_ATTEMPTS", "Dispatched", "Outbox", "back_off", "facts"]

MOST_ATTEMPTS = 20
_FIRST = timedelta(seconds=1)
_LONGEST = timedelta(minutes=15)
_PAGE = 500

_log = logging.getLogger(__name__)


def back_off(attempts: int) -> timedelta:
    """Return how long to wait after the given number of failed attempts: 1 s x 2^k, at most 15 min."""
    doublings = min(max(attempts - 1, 0), 10)
    return min(_LONGEST, _FIRST * (1 << doublings))


def facts(error: Exception) -> dict[str, str]:
    """Return what a log line says of an error: its message, and what there is of why, where and hint."""
    if not isinstance(error, KilterError):
        return {"error": f"{type(error).__name__}: {error}"}
    known = {"error": error.message, "why": error.why, "where": error.where, "hint": error.hint}
    return {name: text for name, text in known.items() if text}


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatched:
    """What one round delivered, and what it could not."""

    delivered: tuple[OutboxEvent, ...] = ()
    failed: int = 0
    parked: tuple[OutboxEvent, ...] = ()

    def __add__(self, other: Dispatched) -> Dispatched:
        """Add two rounds up."""
        return Dispatched(
            delivered=self.delivered + other.delivered,
            failed=self.failed + other.failed,
            parked=self.parked + other.parked,
        )


class Outbox:
    """Hands each pending event to the handlers of its topic.

    Parameters
    ----------
    metadata : MetadataStore
        Holds the events.
    auditor : Auditor
        Writes down that an event was parked.
    handlers : mapping of topic to handlers
        Called in order; idempotent, since an event may come twice. A topic without handlers is news only.

    Guarantees: an event is done only after all its handlers returned; events of one subject are
    delivered in the order they were written; a failing one waits 1 s x 2^k (at most 15 min) and keeps
    back the later ones of its subject; after 20 attempts it is parked, written down, and lets them
    pass. A crash at any point repeats at most the event under way. One thread.
    """

    def __init__(self, *, metadata: MetadataStore, auditor: Auditor, handlers: Mapping[str, Sequence[Handler]]) -> None:
        self._metadata = metadata
        self._auditor = auditor
        self._handlers = handlers
        # Waits are of the machine's clock: a replayed one would use up twenty attempts in a moment.
        self._waits: dict[str, datetime] = {}

    def dispatch(self, now: datetime, machine_now: datetime) -> Dispatched:
        """Deliver what is pending, in one pass.

        Raises
        ------
        WorldMoved
            If this process no longer leads.
        StoreError
            If the store fails; the event under way is delivered again.
        """
        pending = self._metadata.read(
            lambda tx: tx.list(OutboxEvent, where={"is_done": False, "is_parked": False}, limit=_PAGE)
        )
        total = Dispatched()
        blocked: set[str] = set()
        for event in pending:
            if event.subject in blocked or not self._is_due(event, now, machine_now):
                blocked.add(event.subject)
                continue
            outcome = self._deliver(event, now, machine_now)
            if outcome.failed:
                blocked.add(event.subject)
            total += outcome
        return total

    def _is_due(self, event: OutboxEvent, now: datetime, machine_now: datetime) -> bool:
        """Say whether an event may be tried now."""
        wait = self._waits.get(event.id)
        return event.available_at <= now and (wait is None or wait <= machine_now)

    def _deliver(self, event: OutboxEvent, now: datetime, machine_now: datetime) -> Dispatched:
        """Call the handlers of one event, then write down how it went."""
        try:
            for handler in self._handlers.get(event.topic, ()):
                handler(event, now)
        except Exception as error:  # noqa: BLE001 - a control tick: one event's failure is counted, never the loop's end
            return self._put_off(event, error, now, machine_now)
        self._waits.pop(event.id, None)
        self._metadata.write(lambda tx: tx.replace(replace(event, is_done=True, version=event.version + 1)))
        return Dispatched(delivered=(event,))

    def _put_off(self, event: OutboxEvent, error: Exception, now: datetime, machine_now: datetime) -> Dispatched:
        """Let a failed event wait, or park it after the last attempt."""
        attempts = event.attempts + 1
        is_parked = attempts >= MOST_ATTEMPTS
        wait = back_off(attempts)
        told = facts(error)
        failed = replace(
            event,
            attempts=attempts,
            is_parked=is_parked,
            last_error=told["error"][:500],
            available_at=now if is_parked else now + wait,
            version=event.version + 1,
        )
        self._waits[event.id] = machine_now + wait
        _log.warning(
            "event.parked" if is_parked else "event.failed",
            extra={"event": event.id, "topic": event.topic, "subject": event.subject, "attempts": attempts, **told},
            exc_info=error,
        )

        def note(tx: WriteTx) -> None:
            tx.replace(failed)
            if is_parked:
                self._auditor.record(
                    tx,
                    by="control",
                    action="event.parked",
                    subject=event.subject,
                    detail={"event": event.id, "topic": event.topic, "attempts": attempts, "error": failed.last_error},
                )

        self._metadata.write(note)
        if not is_parked:
            return Dispatched(failed=1)
        self._waits.pop(event.id, None)
        return Dispatched(parked=(failed,))
