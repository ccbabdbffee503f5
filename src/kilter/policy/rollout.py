"""A rollout's life: one transition table, and the verdict that drives it.

No data never passes: a step that ends for any other reason than evidence is held, not promoted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING

from kilter.contracts.rollout import Rollout, RolloutState, RolloutStep
from kilter.contracts.verdict import VerdictState
from kilter.errors import AlreadyFinal, Conflict, InvalidRequest
from kilter.measures.sequential.pairs import log_harm, log_inferiority, start_process
from kilter.policy.tally import tally

if TYPE_CHECKING:
    from datetime import datetime

    from kilter.contracts.ids import RolloutId
    from kilter.contracts.rollout import ArmEvidence, HarmProcess
    from kilter.contracts.spec import RolloutSpec

__all__ = ["Event", "Judgement", "Transition", "acknowledged", "advance", "judge", "start", "step", "step_row"]

ALPHA = 0.05
WITHOUT_LABELS = 2_500
_WEIGHTS = {"error": 0.40, "loss": 0.30}
_WHOLE = 10_000


class Event(StrEnum):
    """What can happen to a rollout."""

    START = "start"
    READY = "ready"
    REFUSED = "refused"
    PASS = "pass"  # noqa: S105 - a verdict
    FAIL = "fail"
    REJECT = "reject"
    ERROR = "error"
    UNJUDGED = "unjudged"
    DEADLINE = "deadline"
    TIMEOUT = "timeout"
    RESUME = "resume"
    PROMOTE = "promote"
    ABORT = "abort"
    PUBLISHED = "published"
    NONE = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """What came of an event: the rollout after it, and whether the route table has to follow."""

    rollout: Rollout
    event: Event
    reason: str
    publish: bool

    @classmethod
    def quiet(cls, rollout: Rollout) -> Transition:
        """Wrap a rollout whose state did not change."""
        return cls(rollout=rollout, event=Event.NONE, reason=rollout.reason, publish=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The verdict on the present step, with the sentence that explains it."""

    state: VerdictState
    reason: str


_S = RolloutState
_E = Event
# None: the next step of the strategy, or for a held rollout where it was before.
_TABLE: dict[tuple[RolloutState, Event], RolloutState | None] = {
    (_S.PLANNED, _E.START): _S.WARMING,
    (_S.PLANNED, _E.ABORT): _S.ROLLING_BACK,
    (_S.PLANNED, _E.REJECT): _S.ROLLING_BACK,
    (_S.WARMING, _E.READY): None,
    (_S.WARMING, _E.REFUSED): _S.ROLLING_BACK,
    (_S.WARMING, _E.TIMEOUT): _S.ROLLING_BACK,
    (_S.WARMING, _E.ABORT): _S.ROLLING_BACK,
    (_S.WARMING, _E.REJECT): _S.ROLLING_BACK,
    (_S.SHADOW, _E.PASS): None,
    (_S.CANARY, _E.PASS): None,
    (_S.CANARY, _E.UNJUDGED): _S.HELD,
    (_S.PROMOTING, _E.REFUSED): _S.HELD,
    (_S.PROMOTING, _E.PUBLISHED): _S.DONE,
    (_S.PROMOTING, _E.REJECT): _S.ROLLING_BACK,
    (_S.PROMOTING, _E.ABORT): _S.ROLLING_BACK,
    (_S.HELD, _E.RESUME): None,
    (_S.HELD, _E.TIMEOUT): _S.ROLLING_BACK,
    (_S.ROLLING_BACK, _E.PUBLISHED): None,
    **{(state, _E.DEADLINE): _S.HELD for state in (_S.SHADOW, _S.CANARY)},
    **{(state, _E.ERROR): _S.HELD for state in (_S.SHADOW, _S.CANARY)},
    **{(state, _E.REFUSED): _S.HELD for state in (_S.SHADOW, _S.CANARY)},
    **{(state, _E.FAIL): _S.ROLLING_BACK for state in (_S.SHADOW, _S.CANARY, _S.HELD)},
    **{(state, _E.REJECT): _S.ROLLING_BACK for state in (_S.SHADOW, _S.CANARY, _S.HELD)},
    **{(state, _E.ABORT): _S.ROLLING_BACK for state in (_S.SHADOW, _S.CANARY, _S.HELD)},
    **{(state, _E.PROMOTE): _S.PROMOTING for state in (_S.SHADOW, _S.CANARY, _S.HELD)},
}
_BLAMED = (_E.FAIL, _E.REJECT, _E.REFUSED)
_JUDGED = (_S.SHADOW, _S.CANARY, _S.HELD)
_ONWARDS = (_E.READY, _E.PASS, _E.RESUME, _E.PROMOTE)


def start(
    rollout_id: RolloutId,
    *,
    deployment: str,
    champion: int,
    candidate: int,
    spec: RolloutSpec,
    now: datetime,
    reference_loss: float = 0.0,
    loss_scale: float = 1.0,
    origin: str = "",
    reason: str = "",
    override_hold: str = "",
) -> Rollout:
    """Plan a rollout; its margins, steps and salt are frozen here.

    Raises
    ------
    InvalidRequest
        If the strategy is unknown, or the steps do not grow from at most 25 % (with labels) to 100 %.
    """
    if spec.strategy not in {"canary", "shadow"}:
        message = f"unknown rollout strategy `{spec.strategy}`"
        raise InvalidRequest(message, where="rollout.strategy", hint="use `canary` or `shadow`")
    steps = spec.steps
    is_growing = all(0.0 < low < high <= 100.0 for low, high in pairwise(steps))
    highest_first = 50.0 if spec.promote_without_labels else WITHOUT_LABELS / 100.0
    if not is_growing or (not steps and spec.strategy == "canary") or (steps and not 0.01 <= steps[0] <= highest_first):
        message = f"rollout steps must grow from at most {highest_first:g} % to 100 %, got {list(steps)}"
        raise InvalidRequest(
            message,
            where="rollout.steps",
            hint="write for example `steps = [1, 5, 25, 50, 100]`",
        )
    return Rollout(
        id=rollout_id,
        deployment=deployment,
        champion=champion,
        candidate=candidate,
        spec=spec,
        state=RolloutState.PLANNED,
        step=0,
        weight=0,
        salt=rollout_id,
        started_at=now,
        step_started_at=now,
        evidence_until=now,
        reference_loss=reference_loss,
        loss_scale=loss_scale,
        processes=(start_process("error"), start_process("loss")),
        origin=origin,
        reason=reason,
        override_hold=override_hold,
        labels_needed=not spec.promote_without_labels,
    )


def advance(rollout: Rollout, evidence: ArmEvidence, now: datetime) -> Transition:
    """Count the evidence of one tick, judge, and move if the verdict says so.

    Evidence that reaches to ``rollout.evidence_until`` or before was counted already and adds nothing,
    so a repeated tick gives the same rollout. Only shadow, canary and held rollouts are judged.
    """
    if rollout.state not in _JUDGED:
        return Transition.quiet(rollout)
    counted = tally(rollout, evidence, now) if now > rollout.evidence_until else rollout
    judgement = judge(counted, now)
    event = _event(counted, judgement, now)
    if event is Event.NONE or (counted.state, event) not in _TABLE:
        return Transition(rollout=counted, event=Event.NONE, reason=judgement.reason, publish=False)
    return step(counted, event, _sentence(event, judgement), now)


def step(rollout: Rollout, event: Event, reason: str, now: datetime) -> Transition:
    """Move a rollout by one event.

    Raises
    ------
    AlreadyFinal
        If the rollout is over.
    Conflict
        If this event means nothing in its state.
    """
    if rollout.state.is_final:
        message = f"rollout {rollout.id} is {rollout.state}"
        raise AlreadyFinal(message, why=rollout.reason)
    if (rollout.state, event) not in _TABLE:
        message = f"rollout {rollout.id} is {rollout.state}: `{event}` does not apply"
        raise Conflict(message, why=rollout.reason)
    state = _TABLE[rollout.state, event]
    if state is None:
        state, place = _onwards(rollout)
    else:
        place = rollout.step
    moved = replace(
        rollout,
        state=state,
        step=place,
        weight=_weight(rollout, event, state, place),
        next_state=_next_state(rollout, event, state),
        step_started_at=max(now, rollout.step_started_at),
        units_candidate=0,
        units_control=0,
        generation=0,
        finished_at=max(now, rollout.step_started_at) if state.is_final else None,
    )
    told = "; ".join(part for part in (reason, _effect(moved) if event in _ONWARDS else "") if part)
    return Transition(rollout=replace(moved, reason=told), event=event, reason=told, publish=not state.is_final)


def acknowledged(rollout: Rollout, now: datetime) -> Transition | None:
    """Say what follows once the table of the present state is in force everywhere; None: nothing does.

    A rollout that was taken back keeps the sentence that says why.
    """
    if rollout.state is RolloutState.WARMING:
        return step(rollout, Event.READY, "loaded by all serving processes", now)
    if rollout.state is RolloutState.PROMOTING:
        reason = f"version {rollout.candidate} answers all traffic and is champion now"
        return step(rollout, Event.PUBLISHED, reason, now)
    if rollout.state is RolloutState.ROLLING_BACK:
        return step(rollout, Event.PUBLISHED, rollout.reason, now)
    return None


def step_row(before: Rollout, after: Rollout, event: Event) -> RolloutStep:
    """Build the row that is kept of a transition; the same transition has the same id."""
    return RolloutStep(
        id=f"{after.id}/{after.version:08d}",
        rollout_id=after.id,
        deployment=after.deployment,
        from_state=before.state,
        to_state=after.state,
        step=after.step,
        weight=after.weight,
        event=event,
        reason=after.reason,
        at=after.step_started_at,
    )


def judge(rollout: Rollout, now: datetime) -> Judgement:
    """Give the verdict on the present step: harm at any time, a pass only on evidence, units and time."""
    harm = _harm(rollout.processes)
    if harm >= math.log(1.0 / ALPHA):
        return Judgement(state=VerdictState.FAIL, reason=_harm_sentence(rollout))
    units = min(rollout.units_candidate, rollout.units_control)
    if units == 0:
        return Judgement(state=VerdictState.INCONCLUSIVE, reason="no_data: an arm had no traffic in this step")
    if units < rollout.spec.min_units:
        return Judgement(
            state=VerdictState.INCONCLUSIVE, reason=f"{units} of {rollout.spec.min_units} requests per arm in this step"
        )
    for process in rollout.processes:
        if process.metric in _required(rollout) and log_inferiority(process) < math.log(1.0 / ALPHA):
            seen = f"evidence {math.exp(log_inferiority(process)):.3g} of {1.0 / ALPHA:.0f} after {process.n} pairs"
            code = "no_data" if process.n == 0 else "not shown yet"
            return Judgement(
                state=VerdictState.INCONCLUSIVE, reason=f"{code}: {process.metric} is not worse than allowed ({seen})"
            )
    waited_s = (now - rollout.step_started_at).total_seconds()
    if waited_s < rollout.spec.step_min_s:
        return Judgement(
            state=VerdictState.INCONCLUSIVE, reason=f"{waited_s:.0f} of {rollout.spec.step_min_s:.0f} s in this step"
        )
    shown = ", ".join(_required(rollout))
    return Judgement(
        state=VerdictState.PASS, reason=f"{shown}: not worse than the champion at {ALPHA:g}, {units} requests per arm"
    )


def _harm(processes: tuple[HarmProcess, ...]) -> float:
    """Log of the weighted mean of the guardrails' evidence against "no harm"."""
    total = sum(_WEIGHTS[process.metric] for process in processes)
    logs = [math.log(_WEIGHTS[process.metric] / total) + log_harm(process) for process in processes]
    top = max(logs)
    return top + math.log(sum(math.exp(log - top) for log in logs))


def _harm_sentence(rollout: Rollout) -> str:
    """Name the guardrail that spoke loudest, with its numbers."""
    worst = max(rollout.processes, key=lambda process: math.log(_WEIGHTS[process.metric]) + log_harm(process))
    if worst.metric == "error":
        return (
            f"error: {rollout.failures_candidate} of {rollout.requests_candidate} requests failed, against "
            f"{rollout.failures_control} of {rollout.requests_control} in the control arm"
        )
    return f"loss: {worst.sum / max(1, worst.n):+.3f} worse than the control on {worst.n} labelled pairs"


def _required(rollout: Rollout) -> tuple[str, ...]:
    """Name the metrics that must be shown before the next step: labels above 25 % of traffic."""
    state = rollout.next_state if rollout.state is RolloutState.HELD else rollout.state
    if state == RolloutState.SHADOW:
        return ("loss",) if rollout.labels_needed else ("error",)
    _, place = _after(rollout)
    is_high = _share(rollout, place) > WITHOUT_LABELS
    return ("error", "loss") if is_high and rollout.labels_needed else ("error",)


def _event(rollout: Rollout, judgement: Judgement, now: datetime) -> Event:
    """Turn a verdict and the time into an event."""
    waited_s = (now - rollout.step_started_at).total_seconds()
    if judgement.state is VerdictState.FAIL:
        return Event.FAIL
    if rollout.state is RolloutState.HELD:
        return Event.TIMEOUT if waited_s >= rollout.spec.hold_max_s else Event.NONE
    if judgement.state is VerdictState.PASS:
        return Event.PASS
    is_late = now >= rollout.started_at + timedelta(seconds=rollout.spec.deadline_s)
    return Event.DEADLINE if is_late or waited_s >= rollout.spec.step_max_s else Event.NONE


def _sentence(event: Event, judgement: Judgement) -> str:
    """Say why the rollout moved."""
    return {
        Event.DEADLINE: f"needs a person: the step's time is over, still {judgement.reason}",
        Event.TIMEOUT: "timeout: nobody decided while the rollout was held",
    }.get(event, judgement.reason)


def _effect(rollout: Rollout) -> str:
    """Say what a step that led onwards means for the traffic."""
    if rollout.state is RolloutState.SHADOW:
        return f"version {rollout.candidate} is compared in the shadow of the champion"
    if rollout.state is RolloutState.PROMOTING:
        return f"version {rollout.candidate} takes over"
    return f"version {rollout.candidate} answers {rollout.weight / 100:g} % of the traffic"


def _share(rollout: Rollout, place: int) -> int:
    """Return the weight of a step; beyond the last one it is all traffic."""
    steps = rollout.spec.steps
    return round(steps[place] * 100.0) if place < len(steps) else _WHOLE


def _after(rollout: Rollout) -> tuple[RolloutState, int]:
    """Return the state and step after a passed step."""
    state = rollout.next_state if rollout.state is RolloutState.HELD else rollout.state
    place = rollout.step + 1 if state == RolloutState.CANARY else 0
    is_last = _share(rollout, place) >= _WHOLE
    return (RolloutState.PROMOTING if is_last else RolloutState.CANARY), place


def _onwards(rollout: Rollout) -> tuple[RolloutState, int]:
    """Return state and step where the table leaves it to the strategy."""
    if rollout.state in (RolloutState.HELD, RolloutState.ROLLING_BACK):
        return RolloutState(rollout.next_state), rollout.step
    if rollout.state is RolloutState.WARMING and rollout.spec.strategy == "shadow":
        return RolloutState.SHADOW, 0
    return _after(rollout)


def _weight(rollout: Rollout, event: Event, state: RolloutState, place: int) -> int:
    """Return the candidate's share after an event; a canary that nobody judged has none."""
    if state is RolloutState.CANARY:
        return _share(rollout, place)
    if state is RolloutState.HELD and event is not Event.UNJUDGED:
        return rollout.weight
    return _WHOLE if state in (RolloutState.PROMOTING, RolloutState.DONE) else 0


def _next_state(rollout: Rollout, event: Event, state: RolloutState) -> str:
    """Remember where a held rollout came from, and how one that rolls back will end."""
    if state is RolloutState.HELD:
        return rollout.state
    if state is RolloutState.ROLLING_BACK:
        return RolloutState.REJECTED if event in _BLAMED else RolloutState.ROLLED_BACK
    return ""
