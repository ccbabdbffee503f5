"""Judge every slice of the data against one limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from kilter.contracts.reading import Direction, Reading
from kilter.contracts.verdict import GateRule, GateSpec, Verdict, VerdictState
from kilter.measures.slices.slice_table import breach_p_value, holm
from kilter.policy.verdicts import consequence, interval_text, objection, refused

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["GATE", "judge"]

GATE: Final = GateSpec(id="slices", title="No slice is left behind")

_LEVEL: Final = 0.05
_UNKNOWN_SHARE: Final = 0.2
_RELATIVE_GAP: Final = 0.2
_GAP: Final = 0.02


def judge(readings: Sequence[Reading], rule: GateRule) -> Verdict:
    """Judge slices of one metric, many at once, with Holm's correction.

    Parameters
    ----------
    readings : sequence of Reading
        Subjects ``slice:column=level`` of the rule's metric, and the overall one (subject ``model``).
    rule : GateRule
        ``min`` or ``max`` limits each slice. Without one, the limit is the overall value, worse by
        ``margin``; unset: by a fifth of it, at least 0.02 for metrics in [0, 1].

    Returns
    -------
    Verdict
        Fail if a slice lies beyond the limit at 5 % over all slices. Pass if no evaluated slice does, none is
        beyond the limit by more than ``margin``, and slices too small to speak hold at most 20 % of the rows.
        Else inconclusive.

    Raises
    ------
    Nothing
    """
    gate = f"{rule.metric}.{GATE.id}"
    slices = [reading for reading in readings if reading.subject.startswith("slice:")]
    spoken = [reading for reading in slices if reading.estimate is not None]
    if not spoken:
        why = f": {slices[0].not_evaluated}" if slices else ""
        return refused(gate, f"no slice of {rule.metric} could be evaluated{why}", slices, rule)
    overall = [reading for reading in readings if reading.subject == "model"]
    limits = _limits(overall, rule)
    if isinstance(limits, str):
        return refused(gate, limits, slices, rule)
    limit, is_upper, tolerance = limits
    adjusted = holm(np.array([breach_p_value(reading, limit, is_upper=is_upper) for reading in spoken]))
    worse = [(reading.estimate or 0.0) - limit if is_upper else limit - (reading.estimate or 0.0) for reading in spoken]
    bad = [reading for reading, p in zip(spoken, adjusted, strict=True) if p < _LEVEL]
    doubtful = [reading for reading, gap in zip(spoken, worse, strict=True) if gap > tolerance]
    silent = _silent_share(slices)
    word = f"{'at most' if is_upper else 'at least'} {limit:.4g}"
    if bad:
        state = VerdictState.FAIL
        shown = "; ".join(f"{reading.subject} {interval_text(reading)}" for reading in bad[:3])
        reason = f"{rule.metric} breaks the limit of {word} in {len(bad)} of {len(spoken)} slices: {shown}"
    elif doubtful:
        state = VerdictState.INCONCLUSIVE
        reason = (
            f"{rule.metric} of {doubtful[0].subject} is {interval_text(doubtful[0])}, beyond the limit of {word}, "
            f"but not surely so among {len(spoken)} slices"
        )
    elif silent > _UNKNOWN_SHARE:
        state = VerdictState.INCONCLUSIVE
        reason = f"{100 * silent:.0f} % of the rows lie in slices too small to judge {rule.metric}"
    else:
        state = VerdictState.PASS
        reason = f"{rule.metric} keeps the limit of {word} in all {len(spoken)} slices that are large enough"
    return Verdict(gate=gate, state=state, reason=reason, on_fail=consequence(rule, state), readings=(*slices,))


def _limits(overall: Sequence[Reading], rule: GateRule) -> tuple[float, bool, float] | str:
    """Return limit, whether it is an upper one, and the tolerance beyond it; or why there is none."""
    if rule.max is not None:
        return rule.max, True, rule.margin or 0.0
    if rule.min is not None:
        return rule.min, False, rule.margin or 0.0
    reason = objection(overall, rule)
    if reason:
        return f"there is no overall value to compare slices with: {reason}"
    whole = overall[0]
    value = whole.estimate or 0.0
    is_unit = bool(whole.high is not None and whole.high <= 1)
    gap = rule.margin if rule.margin is not None else max(_RELATIVE_GAP * abs(value), _GAP if is_unit else 0.0)
    is_upper = whole.direction is not Direction.HIGHER
    return (value + gap if is_upper else value - gap), is_upper, gap


def _silent_share(slices: Sequence[Reading]) -> float:
    """Return the largest share, over the columns, of rows in slices that were not evaluated."""
    columns: dict[str, tuple[int, int]] = {}
    for reading in slices:
        column = reading.subject.partition("=")[0]
        silent, rows = columns.get(column, (0, 0))
        columns[column] = (silent + (reading.n if reading.estimate is None else 0), rows + reading.n)
    return max((silent / rows if rows else 1.0 for silent, rows in columns.values()), default=1.0)
