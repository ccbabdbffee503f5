"""Requests to retrain, and what the user's function is given and gives back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from kilter.contracts.ids import TriggerId

__all__ = ["Trigger", "TriggerState"]


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
