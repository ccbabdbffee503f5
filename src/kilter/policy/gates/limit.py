"""Judge values against a lowest or highest one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kilter.contracts.reading import Basis, Reading
from kilter.contracts.verdict import GateRule, GateSpec, Verdict, VerdictState
from kilter.policy.verdicts import consequence, interval_text, objection, refused, rows_needed, worst

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["GATE", "judge"]

GATE: Final = GateSpec(id="limit", title="The whole interval keeps the limit")


def judge(readings: Sequence[Reading], rule: GateRule) -> Verdict:
    """Judge readings of one metric against ``rule.min`` and ``rule.max``; the worst one speaks.

    Parameters
    ----------
    readings : sequence of Reading
        Of the rule's metric, one per subject.
    rule : GateRule
        At least one of ``min`` and ``max``.

    Returns
    -------
    Verdict
        Pass if the whole interval is on the good side, fail if all of it is on the bad side, else inconclusive
        with the rows needed. A census has no interval: its value decides, and equality passes. Missing evidence
        is inconclusive.

    Raises
    ------
    Nothing
    """
    gate = f"{rule.metric}.{GATE.id}"
    if rule.min is None and rule.max is None:
        return refused(gate, f"the rule for {rule.metric} names no limit", readings, rule)
    reason = objection(readings, rule)
    if reason:
        return refused(gate, reason, readings, rule)
    verdicts = [_one(gate, reading, rule) for reading in readings]
    state = worst(_counting(verdicts))
    return next(verdict for verdict in verdicts if verdict.state is state)


def _counting(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Return the same states without consequences, so that warnings are compared as well."""
    return [Verdict(gate=verdict.gate, state=verdict.state, reason="") for verdict in verdicts]


def _one(gate: str, reading: Reading, rule: GateRule) -> Verdict:
    """Judge one reading."""
    value = reading.estimate if reading.estimate is not None else 0.0
    low, high = reading.low, reading.high
    is_census = low is None or high is None or reading.basis is Basis.CENSUS
    if low is None or high is None or is_census:
        low = high = value
    state, limit = VerdictState.PASS, ""
    needed: int | None = None
    for bound, is_upper in ((rule.min, False), (rule.max, True)):
        if bound is None:
            continue
        word = f"{'at most' if is_upper else 'at least'} {bound:g}"
        near, far = (high, low) if is_upper else (-low, -high)
        edge = bound if is_upper else -bound
        if far > edge:
            state, limit, needed = VerdictState.FAIL, word, None
            break
        if near > edge or (near == edge and not is_census):
            state, limit, needed = VerdictState.INCONCLUSIVE, word, rows_needed(reading, bound)
        elif state is VerdictState.PASS:
            limit = f"{limit} and {word}" if limit else word
    return Verdict(
        gate=gate,
        state=state,
        reason=_reason(reading, state, limit, needed),
        on_fail=consequence(rule, state),
        readings=(reading,),
        rows_needed=needed,
    )


def _reason(reading: Reading, state: VerdictState, limit: str, needed: int | None) -> str:
    """Word the verdict."""
    where = "" if reading.subject in {"model", "dataset"} else f" of {reading.subject}"
    said = f"{reading.metric}{where} is {interval_text(reading)}"
    if state is VerdictState.PASS:
        return f"{said}, within the limit of {limit}"
    if state is VerdictState.FAIL:
        return f"{said}, where {limit} is allowed"
    more = f"; about {needed:,} rows would decide" if needed is not None else ""
    return f"{said}: the interval holds the limit of {limit}{more}"
