"""A rollout: a sequential experiment between the champion and a candidate."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from kilter.contracts.ids import RolloutId
from kilter.contracts.spec import RolloutSpec

__all__ = [
    "ArmEvidence",
    "HarmProcess",
    "Publication",
    "Rollout",
    "RolloutDriver",
    "RolloutStarter",
    "RolloutState",
    "RolloutStep",
    "RoutePublisher",
]


class RolloutState(StrEnum):
    """Where a rollout stands; the last three are final."""

    PLANNED = "planned"
    WARMING = "warming"
    SHADOW = "shadow"
    CANARY = "canary"
    HELD = "held"
    PROMOTING = "promoting"
    ROLLING_BACK = "rolling_back"
    DONE = "done"
    ROLLED_BACK = "rolled_back"
    REJECTED = "rejected"

    @property
    def is_final(self) -> bool:
        """Say whether nothing can follow."""
        return self in (RolloutState.DONE, RolloutState.ROLLED_BACK, RolloutState.REJECTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class HarmProcess:
    """Running e-values of one metric: logs of the product per bet, against harm and against inferiority.

    ``n`` counts pairs (or requests); ``sum`` and ``sum_squares`` are of the paired differences
    candidate minus control, for display.
    """

    metric: str
    harm: tuple[float, ...] = ()
    inferiority: tuple[float, ...] = ()
    n: int = 0
    sum: float = 0.0
    sum_squares: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmEvidence:
    """New evidence of one tick: paired losses in [0, 1] and counts of requests and failures per arm."""

    loss_candidate: tuple[float, ...] = ()
    loss_control: tuple[float, ...] = ()
    requests_candidate: int = 0
    requests_control: int = 0
    failures_candidate: int = 0
    failures_control: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """One rollout with everything frozen at its start and its running evidence.

    ``units_candidate`` and ``units_control`` count requests seen in the present step;
    ``evidence_until`` is how far the log has been counted (exclusive), so a repeated tick adds
    nothing. ``reason`` is the sentence behind the last transition.
    ``requests_*`` and ``failures_*`` count since the start, ``waiting_*`` hold labelled losses that
    have no partner in the other arm yet. ``next_state`` says where a held rollout resumes, or how one
    that is rolling back will end. ``generation`` is that of the last table offered for it;
    ``loss_scale`` divides the absolute error of a regression.
    """

    id: RolloutId
    deployment: str
    champion: int
    candidate: int
    spec: RolloutSpec
    state: RolloutState
    step: int
    weight: int
    salt: str
    started_at: datetime
    step_started_at: datetime
    evidence_until: datetime
    reference_loss: float = 0.0
    loss_scale: float = 1.0
    processes: tuple[HarmProcess, ...] = ()
    units_candidate: int = 0
    units_control: int = 0
    failures_candidate: int = 0
    failures_control: int = 0
    requests_candidate: int = 0
    requests_control: int = 0
    waiting_candidate: tuple[float, ...] = ()
    waiting_control: tuple[float, ...] = ()
    next_state: str = ""
    generation: int = 0
    reason: str = ""
    origin: str = ""
    override_hold: str = ""
    labels_needed: bool = True
    finished_at: datetime | None = None
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutStep:
    """One transition, kept for ever."""

    id: str
    rollout_id: RolloutId
    deployment: str
    from_state: str
    to_state: str
    step: int
    weight: int
    event: str
    reason: str
    at: datetime


class RolloutStarter(Protocol):
    """Starts rollouts for services that make candidates.

    Guarantees: at most one open rollout per deployment; beginning the same candidate again while its
    rollout is open returns that rollout.
    """

    def begin(self, deployment: str, number: int, *, origin: str, by: str, reason: str) -> Rollout:
        """Start a rollout of a version whose evidence is good enough to be tried on traffic.

        Raises
        ------
        NotFound
            If there is no such deployment.
        OnHold
            If this version was rejected before.
        Conflict
            If another rollout is open, or the version is champion already.
        """
        ...


class RolloutDriver(Protocol):
    """Moves open rollouts and keeps the live route table as metadata says.

    Guarantees: every transition is one transaction, written before the table that follows from it; after
    a crash at any point the next ``tick`` ends in the same state. Safe from several processes: whoever
    comes second goes on from what the first one wrote.
    """

    def tick(self, deployment: str, now: datetime) -> Rollout | None:
        """Judge, move and publish; return the open (or just finished) rollout.

        Raises
        ------
        NotFound
            If there is no such deployment.
        StoreError
            If metadata or the route folder cannot be reached.
        """
        ...

    def settle(self, deployment: str, now: datetime) -> Rollout | None:
        """Carry out what was decided, between two ticks; no evidence is counted and no verdict given.

        Raises
        ------
        NotFound
            If there is no such deployment.
        StoreError
            If metadata or the route folder cannot be reached.
        """
        ...

    def adopt(self, now: datetime) -> tuple[str, ...]:
        """Take over tables that were written while nobody was here; return the deployments changed.

        Raises
        ------
        StoreError
            If metadata or the route folder cannot be reached.
        """
        ...

    def move(self, deployment: str, event: str, *, by: str, reason: str, now: datetime) -> Rollout:
        """Give the open rollout an event from a person.

        Raises
        ------
        NotFound
            If no rollout is open.
        Conflict
            If the event means nothing in its state.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """How far the live table is what it should be; ``generation`` is that of a table offered just now, else 0."""

    is_in_force: bool
    refusal: str = ""
    generation: int = 0


class RoutePublisher(Protocol):
    """Brings the live route table to what metadata says.

    Guarantees: level-triggered and idempotent; one proposal at a time.
    """

    def publish(self, deployment: str, rollout: Rollout | None, now: datetime) -> Publication:
        """Offer the table that follows from the deployment and its open rollout, unless it is in force.

        Raises
        ------
        NotFound
            If there is no such deployment.
        StoreError
            If metadata or the route folder cannot be reached.
        """
        ...
