"""Many slices are judged at once, and small ones neither raise nor clear a failure."""

from __future__ import annotations

import numpy as np
import pytest

from kilter.contracts.reading import Direction, Reading
from kilter.contracts.verdict import GateRule, VerdictState
from kilter.policy.gates.slices import judge


def part(estimate: float, half: float = 0.02, name: str = "a=1", n: int = 500) -> Reading:
    return Reading(
        metric="m", subject=f"slice:{name}", estimate=estimate, low=estimate - half, high=estimate + half, n=n,
        direction=Direction.LOWER,
    )  # fmt: skip


def silent(name: str, n: int) -> Reading:
    return Reading(metric="m", subject=f"slice:{name}", not_evaluated="too_few_rows: text", n=n)


def whole(estimate: float, direction: Direction = Direction.LOWER) -> Reading:
    return Reading(
        metric="m", estimate=estimate, low=estimate - 0.01, high=estimate + 0.01, n=5_000, direction=direction
    )


RULE = GateRule(metric="m", slices=("a",), max=0.5)


def test_one_bad_slice_fails_and_is_named() -> None:
    verdict = judge([part(0.3), part(0.7, name="a=2")], RULE)
    assert verdict.state is VerdictState.FAIL
    assert "slice:a=2 0.7" in verdict.reason


def test_a_slice_that_may_be_bad_is_undecided() -> None:
    assert judge([part(0.3), part(0.51, name="a=2")], RULE).state is VerdictState.INCONCLUSIVE


def test_a_slice_within_the_margin_of_the_limit_passes() -> None:
    rule = GateRule(metric="m", slices=("a",), max=0.5, margin=0.05)
    assert judge([part(0.3), part(0.51, name="a=2")], rule).state is VerdictState.PASS


def test_lower_limits_hold_as_well() -> None:
    rule = GateRule(metric="m", slices=("a",), min=0.5)
    assert judge([part(0.7)], rule).state is VerdictState.PASS
    assert judge([part(0.3)], rule).state is VerdictState.FAIL


def test_many_rows_in_silent_slices_are_undecided() -> None:
    assert judge([part(0.3, n=900), silent("a=2", 100)], RULE).state is VerdictState.PASS
    verdict = judge([part(0.3, n=500), silent("a=2", 500)], RULE)
    assert verdict.state is VerdictState.INCONCLUSIVE
    assert verdict.reason.startswith("50 % of the rows")
    assert judge([part(0.3), silent("b", 0)], RULE).state is VerdictState.INCONCLUSIVE


def test_without_a_limit_slices_are_compared_with_the_whole() -> None:
    rule = GateRule(metric="m", slices=("a",))
    assert judge([whole(0.2), part(0.22), part(0.21, name="a=2")], rule).state is VerdictState.PASS
    assert judge([whole(0.2), part(0.4)], rule).state is VerdictState.FAIL
    assert judge([part(0.4)], rule).state is VerdictState.INCONCLUSIVE
    higher = [whole(0.8, Direction.HIGHER), part(0.5)]
    assert judge(higher, rule).state is VerdictState.FAIL
    in_units = [Reading(metric="m", estimate=9.0, low=8.0, high=10.0, n=500), part(9.5)]
    assert judge(in_units, GateRule(metric="m", slices=("a",), margin=1.0)).state is VerdictState.PASS
    assert judge(in_units, rule).state is VerdictState.PASS


def test_no_slice_is_no_evidence() -> None:
    assert judge([whole(0.2)], RULE).reason == "no slice of m could be evaluated"
    assert "too_few_rows" in judge([silent("a=1", 10)], RULE).reason


@pytest.mark.parametrize("slices", [5, 40])
def test_chance_alone_rarely_fails_many_slices(slices: int) -> None:
    rng = np.random.default_rng(4)
    failed = 0
    for _ in range(200):
        readings = [part(0.5 + 0.01 * float(rng.normal()), 0.0196, f"a={k}") for k in range(slices)]
        failed += judge(readings, RULE).state is VerdictState.FAIL
    assert failed / 200 <= 0.10
