"""Where none is allowed, one is too many."""

from __future__ import annotations

from kilter.contracts.reading import Basis, Reading
from kilter.contracts.verdict import GateRule, VerdictState
from kilter.policy.gates.zero import judge

RULE = GateRule(metric="m", max=0.0)


def count(subject: str, value: float, **extra: str) -> Reading:
    return Reading(metric="m", subject=subject, estimate=value, basis=Basis.CENSUS, extra=extra)


def test_none_passes() -> None:
    assert judge([count("dataset", 0.0)], RULE).state is VerdictState.PASS


def test_faults_are_named_up_to_three() -> None:
    readings = [count("dataset", 5.0), *(count(f"column:c{number}", 1.0, fault="lost") for number in range(5))]
    verdict = judge(readings, RULE)
    assert verdict.state is VerdictState.FAIL
    assert verdict.reason == "m is 5 where 0 is allowed: `c0`: lost; `c1`: lost; `c2`: lost; and 2 more"


def test_without_a_total_the_subjects_are_counted() -> None:
    assert judge([count("column:a", 3.0), count("column:b", 0.0)], RULE).reason == "m is 1 where 0 is allowed: `a`"


def test_a_total_alone_is_enough() -> None:
    assert judge([count("dataset", 2.0)], RULE).reason == "m is 2 where 0 is allowed"


def test_no_reading_is_no_zero() -> None:
    assert judge([], RULE).state is VerdictState.INCONCLUSIVE
