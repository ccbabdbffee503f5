"""How one deployment is, in one record: for people, programs and replays alike."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Protocol

from kilter.contracts.decision import OutboxEvent
from kilter.contracts.deployment import Deployment, Hold
from kilter.contracts.monitor import Alert, HealthState, TrustState
from kilter.contracts.rollout import Rollout, RolloutState
from kilter.contracts.trigger import Trigger
from kilter.errors import NotFound

if TYPE_CHECKING:
    from kilter.contracts.metadata import MetadataStore, ReadTx
    from kilter.contracts.monitor import DeploymentHealth
    from kilter.contracts.plan import DeploymentStatus

__all__ = ["RANK", "StatusItem", "StatusReader"]

RANK: dict[HealthState, int] = {
    HealthState.STOPPED: 0,
    HealthState.ATTENTION: 1,
    HealthState.WATCH: 2,
    HealthState.UNKNOWN: 3,
    HealthState.FINE: 4,
}
"""Worst first."""

_MOVING = (RolloutState.PLANNED, RolloutState.WARMING, RolloutState.PROMOTING, RolloutState.ROLLING_BACK)
_MOST = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusItem:
    """One deployment now.

    ``is_busy``: something is under way that ends by itself (a table is being taken up, a retraining
    runs, events wait). ``alerts`` are the open ones, newest first; ``holds`` those not released.
    """

    deployment: str
    state: HealthState
    sentence: str
    next_step: str
    since: datetime | None
    rows_needed: int
    trust: TrustState
    champion: int | None
    previous: int | None
    generation: int
    is_settled: bool
    monitored_until: datetime | None
    pending_events: int
    is_busy: bool
    rollout: Rollout | None
    trigger: Trigger | None
    alerts: tuple[Alert, ...]
    holds: tuple[Hold, ...]


class _Watches(Protocol):
    """Says in a sentence how a deployment is."""

    def headline(self, deployment: str) -> DeploymentHealth:
        """Return state, sentence and next step."""
        ...


class _Deploys(Protocol):
    """Knows what is live."""

    def status(self, deployment: str) -> DeploymentStatus:
        """Return deployment, latest rollout and open holds."""
        ...


class StatusReader:
    """Puts together what the services know of a deployment.

    Parameters
    ----------
    metadata, monitor, deployer
        The store and the services that are asked.

    Guarantees: changes nothing; safe from threads.
    """

    def __init__(self, *, metadata: MetadataStore, monitor: _Watches, deployer: _Deploys) -> None:
        self._metadata = metadata
        self._monitor = monitor
        self._deployer = deployer

    def every(self) -> tuple[StatusItem, ...]:
        """Return all deployments, worst first.

        Raises
        ------
        StoreError
            If the store fails.
        """
        names = [record.id for record in self._metadata.read(lambda tx: tx.list(Deployment, limit=_MOST))]
        return tuple(sorted(map(self.one, names), key=lambda item: (RANK[item.state], item.deployment)))

    def one(self, deployment: str) -> StatusItem:
        """Return one deployment.

        Raises
        ------
        NotFound
            If there is no such deployment.
        StoreError
            If the store fails.
        """
        known = {record.id for record in self._metadata.read(lambda tx: tx.list(Deployment, limit=_MOST))}
        if deployment not in known:
            near = ", ".join(f"`{name}`" for name in get_close_matches(deployment, known, cutoff=0.6))
            message = f"no deployment `{deployment}`"
            raise NotFound(message, hint=f"use {near}" if near else "list them with `kilter status`")
        status = self._deployer.status(deployment)
        health = self._monitor.headline(deployment)
        alerts, trigger, pending = self._metadata.read(lambda tx: _open(tx, deployment))
        rollout = status.rollout if status.rollout is not None and not status.rollout.state.is_final else None
        return StatusItem(
            deployment=deployment,
            state=health.state,
            sentence=health.sentence,
            next_step=health.next_step,
            since=health.since,
            rows_needed=health.rows_needed,
            trust=health.trust,
            champion=status.deployment.champion,
            previous=status.deployment.previous,
            generation=status.generation,
            is_settled=status.is_settled,
            monitored_until=status.deployment.monitored_until,
            pending_events=pending,
            is_busy=bool(pending) or trigger is not None or (rollout is not None and rollout.state in _MOVING),
            rollout=rollout,
            trigger=trigger,
            alerts=alerts,
            holds=status.holds,
        )


def _open(tx: ReadTx, deployment: str) -> tuple[tuple[Alert, ...], Trigger | None, int]:
    """Read open alerts, the open retraining, and how many events wait."""
    alerts = tx.list(Alert, where={"deployment": deployment, "closed_at": None}, newest_first=True)
    triggers = tx.list(Trigger, where={"deployment": deployment}, newest_first=True, limit=20)
    trigger = next((trigger for trigger in triggers if not trigger.state.is_final), None)
    pending = tx.list(OutboxEvent, where={"subject": deployment, "is_done": False, "is_parked": False}, limit=500)
    return alerts, trigger, len(pending)
