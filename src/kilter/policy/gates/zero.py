"""Judge counts of which there may be none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kilter.contracts.verdict import GateRule, GateSpec, Verdict, VerdictState
from kilter.policy.verdicts import consequence, objection, refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilter.contracts.reading import Reading

__all__ = ["GATE", "judge"]

GATE: Final = GateSpec(id="zero", title="There is none")

_SHOWN: Final = 3


def judge(readings: Sequence[Reading], rule: GateRule) -> Verdict:
    """Judge counts: the gate passes only if all are 0.

    Parameters
    ----------
    readings : sequence of Reading
        Of the rule's metric: a total, or one per subject, or both.
    rule : GateRule
        The rule; its limits are not read.

    Returns
    -------
    Verdict
        Pass at 0, fail above; missing evidence is inconclusive. Up to three subjects at fault are named.

    Raises
    ------
    Nothing
    """
    gate = f"{rule.metric}.{GATE.id}"
    reason = objection(readings, rule)
    if reason:
        return refused(gate, reason, readings, rule)
    bad = [reading for reading in readings if reading.estimate]
    if not bad:
        return Verdict(
            gate=gate,
            state=VerdictState.PASS,
            reason=f"{rule.metric} is 0",
            on_fail=rule.on_fail,
            readings=(*readings,),
        )
    named = [reading for reading in bad if reading.subject != "dataset"]
    total = next((reading.estimate for reading in bad if reading.subject == "dataset"), float(len(named)))
    shown = "; ".join(_shown(reading) for reading in named[:_SHOWN])
    more = f"; and {len(named) - _SHOWN} more" if len(named) > _SHOWN else ""
    return Verdict(
        gate=gate,
        state=VerdictState.FAIL,
        reason=f"{rule.metric} is {total:g} where 0 is allowed" + (f": {shown}{more}" if shown else ""),
        on_fail=consequence(rule, VerdictState.FAIL),
        readings=(*bad,),
    )


def _shown(reading: Reading) -> str:
    """Name one subject with its fault."""
    fault = reading.extra.get("fault")
    name = reading.subject.removeprefix("column:")
    return f"`{name}`: {fault}" if fault else f"`{name}`"
