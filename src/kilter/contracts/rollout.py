"""A rollout: a sequential experiment between the champion and a candidate."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from kilter.contracts.ids import RolloutId
from kilter.contracts.spec import RolloutSpec

__all__ = ["ArmEvidence", "HarmProcess", "Rollout", "RolloutState", "RolloutStep"]


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
    processes: tuple[HarmProcess, ...] = ()
    units_candidate: int = 0
    units_control: int = 0
    failures_candidate: int = 0
    failures_control: int = 0
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
