"""A limit is kept by the whole interval, or it is not decided."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilter.contracts.reading import Basis, Reading
from kilter.contracts.verdict import GateRule, OnFail, VerdictState
from kilter.policy.gates.limit import judge

ORDER = [VerdictState.FAIL, VerdictState.INCONCLUSIVE, VerdictState.PASS]


def reading(estimate: float, half: float = 0.1, subject: str = "model", n: int = 400) -> Reading:
    return Reading(metric="m", subject=subject, estimate=estimate, low=estimate - half, high=estimate + half, n=n)


@pytest.mark.parametrize(
    ("estimate", "rule", "state"),
    [
        (0.3, GateRule(metric="m", max=0.5), VerdictState.PASS),
        (0.45, GateRule(metric="m", max=0.5), VerdictState.INCONCLUSIVE),
        (0.7, GateRule(metric="m", max=0.5), VerdictState.FAIL),
        (0.7, GateRule(metric="m", min=0.5), VerdictState.PASS),
        (0.55, GateRule(metric="m", min=0.5), VerdictState.INCONCLUSIVE),
        (0.3, GateRule(metric="m", min=0.5), VerdictState.FAIL),
        (0.5, GateRule(metric="m", min=0.3, max=0.7), VerdictState.PASS),
        (0.75, GateRule(metric="m", min=0.3, max=0.7), VerdictState.INCONCLUSIVE),
        (0.1, GateRule(metric="m", min=0.3, max=0.7), VerdictState.FAIL),
        (0.9, GateRule(metric="m", min=0.3, max=0.7), VerdictState.FAIL),
        (0.25, GateRule(metric="m", min=0.3, max=0.7), VerdictState.INCONCLUSIVE),
    ],
)
def test_the_whole_interval_decides(estimate: float, rule: GateRule, state: VerdictState) -> None:
    assert judge([reading(estimate)], rule).state is state


def test_equality_passes_for_a_census_and_not_for_a_sample() -> None:
    count = Reading(metric="m", estimate=2.0, basis=Basis.CENSUS)
    assert judge([count], GateRule(metric="m", max=2.0)).state is VerdictState.PASS
    assert judge([count], GateRule(metric="m", min=2.0)).state is VerdictState.PASS
    assert judge([count], GateRule(metric="m", max=1.9)).state is VerdictState.FAIL
    blind = reading(0.5, half=0.0)
    assert judge([blind], GateRule(metric="m", min=0.5)).state is VerdictState.INCONCLUSIVE
    assert judge([blind], GateRule(metric="m", min=0.5)).rows_needed is None


def test_undecided_says_how_many_rows_would_decide() -> None:
    verdict = judge([reading(0.45)], GateRule(metric="m", max=0.5))
    assert verdict.rows_needed == 1_600
    assert "about 1,600 rows would decide" in verdict.reason


def test_the_worst_subject_speaks() -> None:
    readings = [reading(0.3, subject="column:a"), reading(0.9, subject="column:b"), reading(0.45, subject="column:c")]
    verdict = judge(readings, GateRule(metric="m", max=0.5, on_fail=OnFail.WARN))
    assert verdict.state is VerdictState.FAIL
    assert verdict.on_fail is OnFail.WARN
    assert "of column:b is 0.9" in verdict.reason


def test_no_limit_and_no_interval_are_undecided() -> None:
    assert judge([reading(0.3)], GateRule(metric="m")).state is VerdictState.INCONCLUSIVE
    bare = Reading(metric="m", estimate=0.3, n=400)
    assert "has no interval" in judge([bare], GateRule(metric="m", max=0.5)).reason


def test_few_rows_are_undecided() -> None:
    assert "rests on 20 rows, 100 are asked for" in judge([reading(0.3, n=20)], GateRule(metric="m", max=0.5)).reason


@given(
    better=st.floats(0, 1), worse=st.floats(0, 1), half=st.floats(0, 0.5), limit=st.floats(0, 1), is_max=st.booleans()
)
def test_a_better_estimate_never_gives_a_worse_verdict(
    *, better: float, worse: float, half: float, limit: float, is_max: bool
) -> None:
    low, high = sorted((better, worse))
    rule = GateRule(metric="m", max=limit) if is_max else GateRule(metric="m", min=limit)
    good, bad = (low, high) if is_max else (high, low)
    states = [judge([reading(value, half)], rule).state for value in (bad, good)]
    assert ORDER.index(states[0]) <= ORDER.index(states[1])


@given(estimate=st.floats(0, 1), half=st.floats(0, 0.5), limit=st.floats(0, 1))
def test_the_judge_is_symmetric_in_direction(estimate: float, half: float, limit: float) -> None:
    upper = judge([reading(estimate, half)], GateRule(metric="m", max=limit))
    lower = judge([reading(-estimate, half)], GateRule(metric="m", min=-limit))
    assert upper.state is lower.state
