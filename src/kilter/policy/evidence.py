"""Which judges a rule calls for, and what is said when its evidence is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilter.contracts.verdict import GateRule, Verdict, VerdictState
from kilter.errors import KilterError, UnknownName

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kilter.contracts.reading import Reading

__all__ = ["check_of", "error_verdict", "fault_text", "judges_for", "unmeasured"]


def check_of(metric: str) -> str:
    """Return the id of the check behind a metric with parameters: ``f1_score`` of ``f1_score[average=macro]``."""
    return metric.partition("[")[0]


def judges_for(rule: GateRule, readings: Sequence[Reading]) -> tuple[str, ...]:
    """Return the ids of the judges that a rule calls for, given the readings of its metric.

    Slices, if the rule names columns; else ``zero`` for counts of which none is allowed, or ``limit``. A rule that
    names another version is judged by ``no_worse_than`` as well. Empty: the rule asks for nothing.
    """
    judges = []
    if rule.slices:
        judges.append("slices")
    elif rule.max == 0 and rule.min is None and all(reading.low is None for reading in readings):
        judges.append("zero")
    elif rule.min is not None or rule.max is not None:
        judges.append("limit")
    if rule.no_worse_than:
        judges.append("no_worse_than")
    return tuple(judges)


def error_verdict(rule: GateRule, judge: str, reason: str) -> Verdict:
    """Return the verdict on evidence that could not be made; it blocks as a failure would."""
    return Verdict(gate=f"{rule.metric}.{judge}", state=VerdictState.ERROR, reason=reason, on_fail=rule.on_fail)


def fault_text(error: Exception) -> str:
    """Word an exception with its code."""
    if isinstance(error, KilterError):
        return f"{error.code}: {error.message}"
    return f"check.{type(error).__name__}: {error}"


def unmeasured(rule: GateRule, readings: Sequence[Reading], faults: Mapping[str, str]) -> str:
    """Say why there is no reading of a rule's metric: its check failed, or nothing has this name.

    ``faults`` maps the ids of checks that failed to what went wrong.
    """
    fault = faults.get(check_of(rule.metric))
    if fault is not None:
        return f"{rule.metric} could not be measured: {fault}"
    unknown = UnknownName.among("metric", rule.metric, {reading.metric for reading in readings})
    failed = "".join(f"; {name} failed: {text}" for name, text in faults.items())
    return f"{unknown.message}, {unknown.hint}{failed}"
