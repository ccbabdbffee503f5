"""Steps that fail: counted, made to wait, and alerted from the third time on."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from kilter.control.outbox import back_off, facts
from kilter.errors import KilterError

if TYPE_CHECKING:
    from kilter.contracts.decision import OutboxEvent
    from kilter.control.alert import Alerts

__all__ = ["ALERT_AFTER", "Fault", "Faults"]

ALERT_AFTER = 3

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A step that failed the last ``times`` times in a row; it is not tried before ``retry_at`` (machine time)."""

    deployment: str
    step: str
    times: int
    error: str
    retry_at: datetime


class Faults:
    """Keeps count of failing steps.

    Parameters
    ----------
    alerts : Alerts
        Told after three failures in a row, and when the step works again.

    Guarantees: one thread; every failure is a line of the log with its message and hint, from the first
    on; a store that fails while a fault is noted is logged and never raised.
    """

    def __init__(self, alerts: Alerts) -> None:
        self._alerts = alerts
        self._open: dict[tuple[str, str], Fault] = {}
        self._proven: set[tuple[str, str]] = set()

    @property
    def open(self) -> tuple[Fault, ...]:
        """Steps that fail now, in order of deployment and step."""
        return tuple(fault for _, fault in sorted(self._open.items()))

    def may_try(self, deployment: str, step: str, machine_now: datetime) -> bool:
        """Say whether a step may run, or still has to wait after its last failure."""
        fault = self._open.get((deployment, step))
        return fault is None or fault.retry_at <= machine_now

    def failed(self, deployment: str, step: str, error: Exception, *, now: datetime, machine_now: datetime) -> Fault:
        """Count a failure."""
        key = (deployment, step)
        known = self._open.get(key)
        times = known.times + 1 if known is not None else 1
        told = facts(error)
        fault = Fault(
            deployment=deployment,
            step=step,
            times=times,
            error=told["error"][:500],
            retry_at=machine_now + back_off(times),
        )
        self._open[key] = fault
        self._proven.discard(key)
        level = logging.WARNING if times < ALERT_AFTER else logging.ERROR
        extra = {"deployment": deployment, "step": step, "times": times, **told}
        _log.log(level, "step.failed", extra=extra, exc_info=error)
        if times >= ALERT_AFTER:
            self._alert(key, error=fault.error, now=now, hint=told.get("hint", ""))
        return fault

    def parked(self, event: OutboxEvent, *, now: datetime) -> None:
        """Alert that an event could not be delivered and was set aside."""
        key = (event.subject, f"delivery of {event.topic}")
        self._proven.discard(key)
        self._alert(key, error=event.last_error, now=now, hint="")

    def delivered(self, event: OutboxEvent, *, now: datetime) -> None:
        """Note that events of this topic get through again."""
        self.worked(event.subject, f"delivery of {event.topic}", now=now)

    def worked(self, deployment: str, step: str, *, now: datetime) -> None:
        """Forget the failures of a step; the first success of a process also closes what an earlier one left open."""
        key = (deployment, step)
        if self._open.pop(key, None) is None and key in self._proven:
            return
        try:
            self._alerts.clear_fault(deployment, step, now=now)
        except KilterError as error:
            _log.warning("alert.not_cleared", extra={"deployment": deployment, "step": step}, exc_info=error)
            return
        self._proven.add(key)

    def _alert(self, key: tuple[str, str], *, error: str, now: datetime, hint: str) -> None:
        """Open or repeat the alert of a step; a store that fails is logged."""
        try:
            self._alerts.raise_fault(*key, error=error, now=now, hint=hint)
        except KilterError as second:
            _log.critical("alert.lost", extra={"deployment": key[0], "step": key[1]}, exc_info=second)
