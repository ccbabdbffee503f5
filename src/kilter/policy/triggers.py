"""From an alert to a decision: may anything be done now, and if not, why not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from kilter.contracts.trigger import TriggerState
from kilter.policy.repair import Rung

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from kilter.contracts.spec import RetrainSpec
    from kilter.contracts.trigger import Trigger

__all__ = ["Answer", "Permission", "decide", "is_wanted"]

_WEEK = timedelta(days=7)
_PATIENCE = timedelta(days=14)
_REJECTIONS = 2
_ENDED = (TriggerState.ACCEPTED, TriggerState.REJECTED, TriggerState.FAILED, TriggerState.EXPIRED)


class Answer(StrEnum):
    """What becomes of a wish to repair."""

    GO = "go"
    SUPPRESSED = "suppressed"
    INCONCLUSIVE = "inconclusive"
    ASK = "ask"


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """The answer with its code (stable, for idempotence) and sentence."""

    answer: Answer
    code: str
    reason: str


def is_wanted(family: str, severity: str, spec: RetrainSpec) -> bool:
    """Say whether an alert of this family may start a repair at all; drift alone does not by default."""
    return family in spec.triggers and severity != "notice"


def decide(
    rung: Rung,
    spec: RetrainSpec,
    *,
    now: datetime,
    triggers: Sequence[Trigger],
    last_repair_at: datetime | None,
    has_open_rollout: bool,
    labels: int,
) -> Permission:
    """Decide whether a rung may be taken now.

    Parameters
    ----------
    rung : Rung
        The repair that policy chose.
    spec : RetrainSpec
        Budget, cool-down and how many labels are enough.
    now : datetime
        The time of the decision.
    triggers : sequence of Trigger
        All requests of the deployment.
    last_repair_at : datetime or None
        When a repair was last decided.
    has_open_rollout : bool
        Whether a version is on trial; its outcome is awaited first.
    labels : int
        Mature labelled rows to learn from.

    Returns
    -------
    Permission
        ``go`` only if every rule allows it.

    Raises
    ------
    Nothing
    """
    if rung is Rung.ASK:
        return Permission(answer=Answer.ASK, code="ask", reason="a person has to decide")
    if rung is Rung.RECALIBRATE and not spec.auto_recalibrate:
        return Permission(answer=Answer.ASK, code="manual", reason="`retrain.auto_recalibrate` is off")
    obstacle = _obstacle(spec, now, triggers, last_repair_at, has_open_rollout=has_open_rollout)
    if obstacle is None and rung is Rung.REFIT:
        obstacle = _refit(spec, now, triggers, labels)
    return obstacle or Permission(answer=Answer.GO, code="go", reason="allowed")


def _obstacle(
    spec: RetrainSpec,
    now: datetime,
    triggers: Sequence[Trigger],
    last_repair_at: datetime | None,
    *,
    has_open_rollout: bool,
) -> Permission | None:
    """Apply the rules of every repair."""
    cool = timedelta(seconds=spec.cool_down_s)
    ended = [trigger.updated_at for trigger in triggers if trigger.state in _ENDED]
    last = max([*ended, *([] if last_repair_at is None else [last_repair_at])], default=None)
    if has_open_rollout:
        return _suppressed("rollout_open", "a version is on trial; its outcome is awaited")
    if any(not trigger.state.is_final for trigger in triggers):
        return _suppressed("single_flight", "a retraining request is open")
    if last is not None and now < last + cool:
        return _suppressed("cool_down", f"the last repair is less than {cool} ago")
    return None


def _refit(spec: RetrainSpec, now: datetime, triggers: Sequence[Trigger], labels: int) -> Permission | None:
    """Apply the rules that only retraining has."""
    ended = sorted((t for t in triggers if t.state in _ENDED), key=lambda t: t.requested_at)
    automatic = sum(1 for t in ended if not t.is_manual and t.requested_at > now - _WEEK)
    if automatic >= spec.per_week:
        return _suppressed("budget", f"{automatic} automatic requests in 7 days, {spec.per_week} allowed")
    recent = [t for t in ended[-_REJECTIONS:] if t.requested_at > now - _PATIENCE]
    if len(recent) == _REJECTIONS and all(t.state is TriggerState.REJECTED for t in recent):
        return Permission(answer=Answer.ASK, code="rejected_twice", reason="two candidates in a row were rejected")
    if labels < spec.min_labels:
        return Permission(
            answer=Answer.INCONCLUSIVE,
            code="not_enough_new_labels",
            reason=f"not_enough_new_labels: {labels} labelled rows, {spec.min_labels} needed to learn from",
        )
    return None


def _suppressed(code: str, reason: str) -> Permission:
    """Build the answer of a rule that says: not now."""
    return Permission(answer=Answer.SUPPRESSED, code=code, reason=reason)
