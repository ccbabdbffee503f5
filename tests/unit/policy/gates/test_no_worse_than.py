"""A version passes if it is surely no worse; a model that knows nothing never does."""

from __future__ import annotations

import pytest

from kilter.contracts.reading import Reading
from kilter.contracts.verdict import GateRule, VerdictState
from kilter.policy.gates.no_worse_than import judge

LIVE = "difference:churn@7"
DUMMY = "difference:baseline:dummy"


def gain(estimate: float, half: float, subject: str = LIVE, **extra: float) -> Reading:
    return Reading(
        metric="m", subject=subject, estimate=estimate, low=estimate - half, high=estimate + half, n=500,
        extra={"candidate": 0.4, "baseline": 0.5, "unit_range": 0, **extra},
    )  # fmt: skip


RULE = GateRule(metric="m", no_worse_than="live", margin=0.05)


@pytest.mark.parametrize(
    ("estimate", "half", "state"),
    [
        (0.1, 0.02, VerdictState.PASS),
        (-0.02, 0.02, VerdictState.PASS),
        (-0.05, 0.02, VerdictState.INCONCLUSIVE),
        (0.0, 0.2, VerdictState.INCONCLUSIVE),
        (-0.1, 0.02, VerdictState.FAIL),
    ],
)
def test_the_margin_is_tolerated(estimate: float, half: float, state: VerdictState) -> None:
    assert judge([gain(estimate, half)], RULE).state is state


def test_unset_margins_depend_on_the_metric() -> None:
    rule = GateRule(metric="m", no_worse_than="live")
    assert judge([gain(-0.009, 0.0005)], rule).state is VerdictState.PASS
    assert judge([gain(-0.011, 0.0005)], rule).state is VerdictState.FAIL
    assert judge([gain(-0.009, 0.0005, unit_range=1)], rule).state is VerdictState.PASS
    assert judge([gain(-0.011, 0.0005, unit_range=1)], rule).state is VerdictState.FAIL


def test_an_equal_version_cannot_pass_a_margin_of_zero() -> None:
    verdict = judge([gain(0.0, 0.0)], GateRule(metric="m", no_worse_than="live", margin=0.0))
    assert verdict.state is VerdictState.INCONCLUSIVE
    assert "an equal version can never pass" in verdict.reason


def test_against_the_dummy_nothing_gained_fails() -> None:
    rule = GateRule(metric="m", no_worse_than="baseline:dummy")
    assert judge([gain(0.0, 0.0, DUMMY)], rule).state is VerdictState.FAIL
    assert judge([gain(0.0, 0.004, DUMMY)], rule).state is VerdictState.FAIL
    assert judge([gain(0.01, 0.02, DUMMY)], rule).state is VerdictState.INCONCLUSIVE
    passed = judge([gain(0.1, 0.02, DUMMY)], rule)
    assert passed.state is VerdictState.PASS
    assert "the best constant answer" in passed.reason


def test_the_margin_over_the_dummy_must_be_gained() -> None:
    rule = GateRule(metric="m", no_worse_than="baseline:dummy", margin=0.2)
    assert judge([gain(0.1, 0.02, DUMMY)], rule).state is VerdictState.FAIL


def test_a_dummy_in_place_of_live_is_said_and_keeps_no_margin() -> None:
    verdict = judge([gain(0.02, 0.01, DUMMY)], RULE)
    assert verdict.state is VerdictState.PASS
    assert verdict.reason.startswith("there is no other version to compare with")


def test_undecided_says_how_many_rows_would_decide() -> None:
    verdict = judge([gain(0.0, 0.1)], RULE)
    assert verdict.rows_needed == 2_000
    assert "about 2,000 rows would decide" in verdict.reason
