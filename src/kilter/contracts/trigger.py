"""Requests to retrain, and what the user's function is given and gives back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from kilter.contracts.ids import TriggerId

if TYPE_CHECKING:
    from kilter.contracts.decision import Decision
    from kilter.contracts.model import ModelVersion

__all__ = ["Recalibration", "Simulation", "Training", "Trigger", "TriggerState"]


class TriggerState(StrEnum):
    """Where a retraining request stands; only the last five release the model for the next one."""

    REQUESTED = "requested"
    RUNNING = "running"
    CANDIDATE = "candidate_registered"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    FAILED = "failed"
    EXPIRED = "expired"
    SUPPRESSED = "suppressed"

    @property
    def is_final(self) -> bool:
        """Say whether the request is over."""
        return self not in (TriggerState.REQUESTED, TriggerState.RUNNING, TriggerState.CANDIDATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """One request to retrain. Training rows lie in ``[data_from, holdout_from)``.

    The challenger is compared with the champion on rows in ``[holdout_from, data_to)``.
    """

    id: TriggerId
    deployment: str
    parent: int
    state: TriggerState
    reason: str
    command: str
    data_from: datetime
    holdout_from: datetime
    data_to: datetime
    seed: int
    requested_at: datetime
    updated_at: datetime
    deadline_at: datetime
    is_manual: bool = False
    candidate: int | None = None
    message: str = ""
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """What recalibration would have done: fitted on the older half, measured on the newer half.

    ``gain_low`` is the lower 95 % bound of the fall in Brier score; losses are Brier scores.
    """

    n: int
    loss_before: float
    loss_after: float
    gain_low: float
    auc: float
    auc_low: float
    auc_high: float

    @property
    def helps(self) -> bool:
        """Say whether the newer half would surely have been answered better."""
        return self.gain_low > 0.0


class Recalibration(Protocol):
    """Repairs a binary champion's probabilities without touching its weights.

    Guarantees: the same labels give the same version; a version that does not help is not made.
    """

    def simulate(self, deployment: str, *, since: datetime | None, until: datetime) -> Simulation | None:
        """Replay a recalibration on labels known at ``until``; None if it does not apply or labels are too few.

        Raises
        ------
        NotFound
            If there is no such deployment.
        StoreError
            If the log cannot be read.
        """
        ...

    def recalibrate(
        self, deployment: str, *, since: datetime | None, until: datetime, by: str, reason: str
    ) -> ModelVersion:
        """Derive a recalibrated version and start its rollout.

        Raises
        ------
        Inconclusive
            If labels are too few, or it would not have helped.
        OnHold, Conflict
            If its rollout is refused.
        """
        ...


class Training(Protocol):
    """Runs the user's training function and judges what comes of it.

    Guarantees: one open request per deployment; each state is committed before the next step is taken.
    """

    def labels(self, deployment: str, now: datetime) -> int:
        """Count labelled rows since the champion's weights were registered.

        Raises
        ------
        NotFound
            If there is no such deployment.
        """
        ...

    def request(self, decision: Decision, *, now: datetime) -> Trigger:
        """Open a request for a decision (the same decision: the same request; one open: that one).

        Raises
        ------
        InvalidRequest
            If no training command is set.
        Inconclusive
            If there are too few labelled rows to learn from.
        """
        ...

    def tick(self, deployment: str, now: datetime) -> Trigger | None:
        """Take the open request one step further; None if there is none.

        Raises
        ------
        StoreError
            If metadata or log cannot be reached.
        """
        ...
