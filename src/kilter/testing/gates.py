"""Conformance kit of judges: what every module with ``GATE`` and ``judge`` must do, one clause a function.

A clause is given the module with a rule and readings that it passes, and raises AssertionError with the promise that
was broken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from kilter.contracts.reading import Reading
from kilter.contracts.verdict import GateRule, Judge, Verdict, VerdictState
from kilter.testing.promise import require

__all__ = ["GATES", "GateClause"]

GateClause: TypeAlias = Callable[[Judge, GateRule, Sequence[Reading]], None]

_CODES = (
    *("no_labels", "no_scores", "no_reference", "no_time", "no_groups", "no_model", "no_learner", "no_contract"),
    *("too_few_rows", "too_few_positives", "one_class", "constant", "all_null", "not_exchangeable", "wrong_task"),
    *("over_budget", "unsupported_type"),
)


def good_evidence_passes(gate: Judge, rule: GateRule, readings: Sequence[Reading]) -> None:
    """The readings given pass, with a reason of one line."""
    verdict = gate.judge(readings, rule)
    require(verdict.state is VerdictState.PASS, f"{gate.GATE.id} passes good evidence, not {verdict.reason}")
    _explained(gate, verdict)


def missing_evidence_never_passes(gate: Judge, rule: GateRule, readings: Sequence[Reading]) -> None:
    """No reading, or only readings that were not evaluated, whatever the code, is inconclusive."""
    nothing = [
        tuple(
            replace(reading, estimate=None, low=None, high=None, not_evaluated=f"{code}: text") for reading in readings
        )
        for code in _CODES
    ]
    for given in ((), *nothing):
        verdict = gate.judge(given, rule)
        require(verdict.state is VerdictState.INCONCLUSIVE, f"{gate.GATE.id} does not decide without evidence")
        require(verdict.on_fail is rule.on_fail, f"{gate.GATE.id} blocks without evidence as it does on failure")
        _explained(gate, verdict)


def wider_intervals_never_decide(gate: Judge, rule: GateRule, readings: Sequence[Reading]) -> None:
    """Widening intervals turns no inconclusive verdict into pass or fail."""
    undecided = False
    for factor in (1.0, 2.0, 5.0, 20.0, 100.0, 1e6):
        state = gate.judge([_widened(reading, factor) for reading in readings], rule).state
        is_open = state is VerdictState.INCONCLUSIVE
        require(is_open or not undecided, f"{gate.GATE.id} is not decided by less certain evidence")
        undecided = undecided or is_open


def _widened(reading: Reading, factor: float) -> Reading:
    """Return the same estimate, less certain."""
    if reading.estimate is None or reading.low is None or reading.high is None:
        return reading
    below, above = reading.estimate - reading.low, reading.high - reading.estimate
    return replace(reading, low=reading.estimate - factor * below, high=reading.estimate + factor * above)


def _explained(gate: Judge, verdict: Verdict) -> None:
    """Require a reason of one line."""
    is_line = bool(verdict.reason.strip()) and "\n" not in verdict.reason and not verdict.reason.endswith(".")
    require(is_line, f"{gate.GATE.id} gives its reason in one line without a full stop")


GATES: tuple[GateClause, ...] = (good_evidence_passes, missing_evidence_never_passes, wider_intervals_never_decide)
"""Clauses for every judge."""
