"""Turns the wheel: collect, monitor, judge rollouts, deliver events, repair; for ever."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from kilter.contracts.deployment import Deployment
from kilter.contracts.monitor import MonitorTick
from kilter.control.alert import Alerts
from kilter.control.fault import Fault, Faults
from kilter.control.lease import Leadership
from kilter.control.outbox import Dispatched, Outbox

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from kilter.contracts.clock import Clock
    from kilter.contracts.decision import OutboxEvent
    from kilter.contracts.metadata import WriteTx
    from kilter.contracts.scoring import Auditor, IdSource
    from kilter.control.lease import Fence
    from kilter.control.part import Collects, Deploys, Monitors, Repairs, Tends

__all__ = ["Loop", "Pulse", "TurnReport"]

T = TypeVar("T")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_DEPLOYMENTS = 5_000
_MOST_ROUNDS = 10
_ALWAYS = frozenset({"turn", "release"})

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnReport:
    """What one turn did. ``looked`` names the deployments that were due and are now processed up to ``until``."""

    at: datetime
    is_leader: bool
    until: datetime | None = None
    looked: tuple[str, ...] = ()
    ticks: tuple[MonitorTick, ...] = ()
    dispatched: Dispatched = field(default_factory=Dispatched)
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """How the loop itself is; times are the machine's."""

    is_leader: bool = False
    turns: int = 0
    last_turn_at: datetime | None = None
    faults: tuple[Fault, ...] = ()


class Loop:
    """The control loop of one control plane.

    Parameters
    ----------
    metadata : Fence
        The store that the services were built with; their writes are fenced while the loop calls them.
    collector, monitor, deployer, retrainer : services
        What is driven.
    caretaker : service or None
        Tends the files of the log at the end of each turn.
    auditor, ids : ports
        Evidence and ids of the loop's own alerts.
    clock, machine : Clock
        The time that the models live by, perhaps replayed, and the machine's own (leases, back-off).
    holder : str
        Name of this process in the lease.
    is_gone : callable or None
        Says of another holder that it is dead for certain.

    Guarantees: only the holder of the lease acts; a step that fails is logged, counted, retried after
    1 s x 2^k (at most 15 min) and alerted from the third time on, and holds up no other deployment;
    ``Deployment.monitored_until`` is written last, so whoever sees it sees everything before it done.
    A crash at any step is made good by the next turn. One thread; ``pulse`` from any.
    """

    def __init__(
        self,
        *,
        metadata: Fence,
        collector: Collects,
        monitor: Monitors,
        deployer: Deploys,
        retrainer: Repairs,
        auditor: Auditor,
        clock: Clock,
        machine: Clock,
        ids: IdSource,
        holder: str,
        is_gone: Callable[[str], bool] | None = None,
        caretaker: Tends | None = None,
    ) -> None:
        self._metadata = metadata
        self._caretaker = caretaker
        self._collector = collector
        self._monitor = monitor
        self._deployer = deployer
        self._retrainer = retrainer
        self._clock = clock
        self._machine = machine
        gone = {} if is_gone is None else {"is_gone": is_gone}
        self._leadership = Leadership(metadata=metadata, holder=holder, **gone)
        self._faults = Faults(Alerts(metadata=metadata, auditor=auditor, ids=ids))
        self._outbox = Outbox(
            metadata=metadata,
            auditor=auditor,
            handlers={
                "alert.opened": (_announce, retrainer.respond),
                "alert.updated": (retrainer.respond,),
                "alert.closed": (_announce,),
                "decision.made": (retrainer.respond,),
            },
        )
        self._until: datetime | None = None
        self._now = machine.now()
        self._pulse = Pulse()

    def pulse(self) -> Pulse:
        """Return how the loop is, for health checks."""
        return self._pulse

    def run(self, stop: threading.Event, poll_s: float) -> None:
        """Turn until told to stop, then give the lease back. Failures are logged and retried, never raised."""
        while not stop.is_set():
            self._attempt("", "turn", lambda: self.turn(self._clock.now()))
            stop.wait(poll_s)
        self._attempt("", "release", lambda: self._leadership.release(self._machine.now()))

    def turn(self, now: datetime) -> TurnReport:
        """Do everything that is due at ``now``.

        Raises
        ------
        StoreError
            If the lease or the deployments cannot be read; nothing else ends a turn.
        """
        self._now = now
        machine_now = self._machine.now()
        lease = self._leadership.hold(machine_now)
        if lease is None:
            report = TurnReport(at=now, is_leader=False)
        else:
            with self._metadata.held(lease):
                report = self._lead(now)
        self._pulse = Pulse(
            is_leader=lease is not None,
            turns=self._pulse.turns + 1,
            last_turn_at=machine_now,
            faults=self._faults.open,
        )
        return report

    def _lead(self, now: datetime) -> TurnReport:
        """Do one turn as the leader."""
        self._attempt("", "adopt", lambda: self._deployer.adopt(now))
        live = [deployment for deployment in self._deployments() if deployment.champion is not None]
        due = [deployment for deployment in live if self._is_due(deployment, now)]
        if due:
            self._collect(now)
        ticks: list[MonitorTick] = []
        failed: set[str] = set()
        for deployment in due if self._until is not None else []:
            tick = self._step(deployment, "monitor", self._monitor.tick)
            failed.update(() if tick is not None else (deployment.id,))
            ticks.extend(() if tick is None else (tick,))
        for deployment in live:
            self._step(deployment, "rollout", self._deployer.tick)
        dispatched = self._deliver(now)
        for deployment in live:
            self._step(deployment, "repair", self._retrainer.tick)
        dispatched += self._deliver(now)
        caretaker = self._caretaker
        if caretaker is not None:
            self._attempt("", "care of the log", lambda: caretaker.tend(now))
        done = [deployment.id for deployment in due if deployment.id not in failed] if self._until is not None else []
        return TurnReport(
            at=now,
            is_leader=True,
            until=self._until,
            looked=self._record(done),
            ticks=tuple(ticks),
            dispatched=dispatched,
            faults=self._faults.open,
        )

    def _deployments(self) -> tuple[Deployment, ...]:
        """Read all deployments."""
        return self._metadata.read(lambda tx: tx.list(Deployment, limit=_MOST_DEPLOYMENTS))

    def _is_due(self, deployment: Deployment, now: datetime) -> bool:
        """Say whether it is time to look at a deployment, and its last failure is long enough ago."""
        if not self._faults.may_try(deployment.id, "monitor", self._machine.now()):
            return False
        last = deployment.monitored_until
        return last is None or now - last >= timedelta(seconds=deployment.spec.monitor.every_s)

    def _collect(self, now: datetime) -> None:
        """Bring the log in, and note how far it is complete."""
        collected = self._attempt("", "collect", lambda: self._collector.collect(now))
        if collected is not None:
            until = min(now, _EPOCH + timedelta(microseconds=collected.until_ns // 1_000))
            self._until = until if self._until is None else max(until, self._until)

    def _step(self, deployment: Deployment, step: str, call: Callable[[str, datetime], T]) -> T | None:
        """Run one step of one deployment up to the time that its log is complete."""
        until = self._until or deployment.monitored_until
        if until is None:
            return None
        return self._attempt(deployment.id, step, lambda: call(deployment.id, until))

    def _deliver(self, now: datetime) -> Dispatched:
        """Deliver events until none is left that may be tried: handlers write further ones."""
        total = Dispatched()
        for _ in range(_MOST_ROUNDS):
            round_ = self._attempt("", "outbox", lambda: self._outbox.dispatch(now, self._machine.now()))
            if round_ is None:
                break
            total += round_
            for event in round_.delivered:
                self._faults.delivered(event, now=now)
            for event in round_.parked:
                self._faults.parked(event, now=now)
            if not round_.delivered:
                break
        return total

    def _record(self, done: list[str]) -> tuple[str, ...]:
        """Write down how far each deployment is processed."""
        until = self._until

        def write(tx: WriteTx) -> None:
            for name in done:
                known = tx.get(Deployment, name)
                if known is not None and until is not None:
                    reached = until if known.monitored_until is None else max(until, known.monitored_until)
                    tx.replace(replace(known, monitored_until=reached, version=known.version + 1))

        if done:
            self._attempt("", "progress", lambda: self._metadata.write(write))
        return tuple(done)

    def _attempt(self, deployment: str, step: str, call: Callable[[], T]) -> T | None:
        """Run one step alone; None if it failed, or still has to wait after its last failure."""
        if step not in _ALWAYS and not self._faults.may_try(deployment, step, self._machine.now()):
            return None
        try:
            outcome = call()
        except Exception as error:  # noqa: BLE001 - the control tick: one step's failure never stops the others
            self._faults.failed(deployment, step, error, now=self._now, machine_now=self._machine.now())
            return None
        self._faults.worked(deployment, step, now=self._now)
        return outcome


def _announce(event: OutboxEvent, now: datetime) -> None:
    """Send an alert to the log, the first place that alerts go to."""
    if event.attempts == 0:
        _log.warning(event.topic, extra={"deployment": event.subject, "at": now.isoformat(), **event.payload})
