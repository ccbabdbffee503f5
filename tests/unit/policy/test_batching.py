"""Claims about the size of batches."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilter.policy.batching import (
    HALF_LIFE,
    CostFit,
    cost_s,
    fitted,
    is_hopeless,
    largest_rows,
    observed,
    own_s,
    paced,
    taken,
    work_s,
)


def _fit(start: float, slope: float, sizes: tuple[int, ...] = (1, 64, 7, 200)) -> CostFit:
    fit = CostFit()
    for rows in sizes * 3:
        fit = observed(fit, rows, start + slope * rows)
    return fit


def test_an_exact_line_is_found() -> None:
    assert list(fitted(_fit(0.003, 0.0002))) == pytest.approx([0.003, 0.0002])


def test_nothing_observed_costs_nothing_and_takes_the_cap() -> None:
    assert (cost_s(CostFit(), 10), largest_rows(CostFit(), 1.0, 77)) == (0.0, 77)


def test_calls_of_one_size_are_taken_to_grow_with_the_rows() -> None:
    fit = _fit(0.0, 0.002, sizes=(4,))
    assert list(fitted(fit)) == pytest.approx([0.0, 0.002])


def test_neither_coefficient_is_ever_negative() -> None:
    falling = observed(observed(CostFit(), 1, 0.01), 100, 0.001)
    steep = observed(observed(CostFit(), 10, 0.001), 100, 0.1)
    assert fitted(falling)[1] == 0.0
    assert fitted(steep)[0] == 0.0
    assert min(*fitted(falling), *fitted(steep)) >= 0.0


def test_old_calls_weigh_half_after_the_half_life() -> None:
    fit = observed(CostFit(), 1, 1.0)
    for _ in range(HALF_LIFE):
        fit = observed(fit, 1, 0.0)
    assert fit.seconds == pytest.approx(0.5)


def test_a_model_that_became_slow_is_believed_soon() -> None:
    fit = _fit(0.001, 0.0001)
    for rows in (1, 8, 64) * 400:
        fit = observed(fit, rows, 0.01 + 0.001 * rows)
    assert cost_s(fit, 32) == pytest.approx(0.042, rel=0.02)


def test_a_batch_stays_below_fifty_milliseconds_and_half_the_slack() -> None:
    fit = _fit(0.002, 0.0001)
    assert largest_rows(fit, 10.0, 10_000) == 480
    assert largest_rows(fit, 0.05, 10_000) == 230
    assert largest_rows(fit, 10.0, 12) == 12


@pytest.mark.parametrize("slack_s", [-1.0, 0.0, 0.003])
def test_one_row_is_always_legal(slack_s: float) -> None:
    assert largest_rows(_fit(0.002, 0.0001), slack_s, 100) == 1


def test_the_tightest_deadline_bounds_the_batch() -> None:
    fit = _fit(0.0, 0.01, sizes=(1, 2))
    patient = [(1, 1.0)] * 10
    assert taken(fit, patient, 100) == 5
    assert taken(fit, [*patient[:2], (1, 0.04), *patient], 100) == 2
    assert taken(fit, [], 100) == 0


def test_a_request_larger_than_any_batch_goes_alone() -> None:
    assert taken(_fit(0.0, 0.01, sizes=(1, 2)), [(50, 1.0), (1, 1.0)], 100) == 1
    assert taken(CostFit(), [(100, 1.0), (1, 1.0)], 100) == 1


def test_waiting_work_counts_as_few_batches_as_possible() -> None:
    fit = _fit(0.01, 0.0001)
    assert work_s(fit, (0, 0), 100) == 0.0
    assert work_s(fit, (3, 3), 100) == pytest.approx(0.0103)
    assert work_s(fit, (300, 300), 100) == pytest.approx(0.06)


def test_a_dear_call_may_be_filled_until_it_takes_twice_as_long() -> None:
    fit = _fit(0.1, 0.001)
    assert largest_rows(fit, 10.0, 10_000) == 100
    assert largest_rows(fit, 0.3, 10_000) == 50
    assert largest_rows(fit, 0.2, 10_000) == 1


def test_a_request_keeps_room_for_the_batch_that_it_will_be_in() -> None:
    fit = _fit(0.01, 0.001)  # a full batch has 40 rows
    assert own_s(fit, 1, 9.0, 1_000) == pytest.approx(0.1)
    assert own_s(fit, 1, 9.0, 5) == pytest.approx(0.03)
    assert own_s(fit, 1, 0.06, 1_000) == pytest.approx(0.03)
    assert own_s(fit, 500, 0.06, 1_000) == pytest.approx(0.51)


def test_a_request_that_cannot_make_it_is_hopeless_only_if_others_wait() -> None:
    fit = _fit(0.01, 0.001)
    assert not is_hopeless(fit, 1, 0.005, 0, 1_000)
    assert is_hopeless(fit, 1, 0.005, 1, 1_000)
    assert not is_hopeless(fit, 1, 0.05, 39, 1_000)
    assert is_hopeless(fit, 1, 0.05, 40, 1_000)
    assert not is_hopeless(fit, 1, 0.11, 40, 1_000)
    assert is_hopeless(fit, 900, 0.8, 40, 1_000)


def test_the_pace_follows_a_machine_that_is_suddenly_shared() -> None:
    pace = 1.0
    for _ in range(10):
        pace = paced(pace, 0.01, 0.03)
    assert 2.7 < pace < 3.0
    assert paced(pace, 0.0, 1.0) == pace
    assert paced(1.0, 0.01, 100.0) == pytest.approx(4.0)
    assert paced(1.0, 0.01, 0.0) == pytest.approx(0.85)


@given(
    st.lists(st.tuples(st.integers(1, 5_000), st.floats(0.0, 10.0)), min_size=1, max_size=30),
    st.integers(1, 4_096),
    st.floats(-1.0, 60.0),
)
def test_no_observation_breaks_the_promises(calls: list[tuple[int, float]], cap: int, slack_s: float) -> None:
    fit = CostFit()
    for rows, seconds in calls:
        fit = observed(fit, rows, seconds)
    start, slope = fitted(fit)
    assert start >= 0.0
    assert slope >= 0.0
    assert np.isfinite([start, slope]).all()
    largest = largest_rows(fit, slack_s, cap)
    assert 1 <= largest <= cap
    longest_s = max(0.05, 2 * start)
    assert largest == 1 or cost_s(fit, largest) <= min(longest_s, slack_s / 2) * (1 + 1e-6) + 1e-12
    assert work_s(fit, (5, 50), cap) <= 5 * start + 50 * slope + 1e-9 * math.fabs(start)
