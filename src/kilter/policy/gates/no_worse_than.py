"""Judge a version by its difference to another on the same rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kilter.contracts.verdict import GateRule, GateSpec, Verdict, VerdictState
from kilter.policy.verdicts import consequence, objection, refused, rows_needed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilter.contracts.reading import Reading

__all__ = ["DUMMY", "GATE", "judge"]

GATE: Final = GateSpec(id="no_worse_than", title="Not worse than the version it replaces")

DUMMY: Final = "baseline:dummy"

_UNIT_MARGIN: Final = 0.01
_RELATIVE_MARGIN: Final = 0.02
_NEGLIGIBLE: Final = 0.01


def judge(readings: Sequence[Reading], rule: GateRule) -> Verdict:
    """Judge the gain over another version, in the metric's good direction.

    Parameters
    ----------
    readings : sequence of Reading
        One: the gain on the same rows (above 0 is better), subject ``difference:live``, ``difference:name@7`` or
        ``difference:baseline:dummy``; ``extra`` holds ``candidate``, ``baseline`` and ``unit_range`` (1 if the
        metric lies in [0, 1]).
    rule : GateRule
        ``margin`` is the loss that is tolerated; unset: 0.01 for metrics in [0, 1], else 2 % of the other's value;
        against the dummy 0.

    Returns
    -------
    Verdict
        Against a version: pass if low > -margin, fail if high < -margin. Against the dummy: pass if low > margin,
        fail if high is at most the margin or 1 % of the dummy's value: a model that knows nothing has a gain of
        nearly 0. Else inconclusive with the rows needed; so is missing evidence.

    Raises
    ------
    Nothing
    """
    gate = f"{rule.metric}.{GATE.id}"
    reason = objection(readings, rule)
    if reason:
        return refused(gate, reason, readings, rule)
    reading = readings[0]
    low, high = reading.low or 0.0, reading.high or 0.0
    other = reading.subject.removeprefix("difference:")
    margin = _margin(reading, rule, other)
    if other == DUMMY:
        edge = margin
        is_bad = high <= max(edge, _NEGLIGIBLE * abs(float(reading.extra.get("baseline") or 0.0)))
    else:
        edge = -margin
        is_bad = high < edge
    state = VerdictState.PASS if low > edge else VerdictState.FAIL if is_bad else VerdictState.INCONCLUSIVE
    needed = rows_needed(reading, edge) if state is VerdictState.INCONCLUSIVE else None
    return Verdict(
        gate=gate,
        state=state,
        reason=_reason(reading, rule, state, margin, needed),
        on_fail=consequence(rule, state),
        readings=(reading,),
        rows_needed=needed,
    )


def _margin(reading: Reading, rule: GateRule, other: str) -> float:
    """Return the margin that holds."""
    if other == DUMMY:
        return rule.margin if rule.margin is not None and rule.no_worse_than == DUMMY else 0.0
    if rule.margin is not None:
        return rule.margin
    if reading.extra.get("unit_range"):
        return _UNIT_MARGIN
    return _RELATIVE_MARGIN * abs(float(reading.extra.get("baseline") or 0.0))


def _reason(reading: Reading, rule: GateRule, state: VerdictState, margin: float, needed: int | None) -> str:
    """Word the verdict."""
    other = reading.subject.removeprefix("difference:")
    is_dummy = other == DUMMY
    name = "the best constant answer" if is_dummy else other
    candidate, baseline = float(reading.extra.get("candidate") or 0.0), float(reading.extra.get("baseline") or 0.0)
    said = (
        f"{rule.metric} is {candidate:.4g} against {baseline:.4g} of {name}, a gain of {reading.estimate:.3g} "
        f"({100 * reading.level:g} % interval {reading.low:.3g} to {reading.high:.3g}, {reading.n:,} rows)"
    )
    if is_dummy and rule.no_worse_than != DUMMY:
        said = f"there is no other version to compare with; {said}"
    if state is VerdictState.PASS:
        return f"{said}: {'better' if is_dummy else 'no worse'}"
    if state is VerdictState.FAIL:
        return f"{said}: {'not better' if is_dummy else f'worse by more than the margin of {margin:.3g}'}"
    more = f"; about {needed:,} rows would decide" if needed is not None else ""
    hint = "; with a margin of 0 an equal version can never pass" if margin == 0 and not is_dummy else ""
    return f"{said}: too few rows to tell{more}{hint}"
