from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from kilter.errors import SchemaMismatch
from kilter.measures.sequential.pairs import (
    add_events,
    add_pairs,
    confidence_bounds,
    log_harm,
    log_inferiority,
    start_process,
)

if TYPE_CHECKING:
    from kilter.contracts.rollout import HarmProcess

BAR = math.log(20.0)


def events(process: HarmProcess, plus: int, minus: int, pairs: int) -> HarmProcess:
    return add_events(
        process,
        plus=plus,
        minus=minus,
        pairs=pairs,
        harm_ratio=1.1,
        inferior_ratio=1.5,
        inferior_difference=0.005,
    )


def ever_harmed(differences: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> float:
    """Share of runs (rows) whose evidence of harm ever reaches 20, looking after every 20 pairs."""
    hits = 0
    for run in differences:
        process = start_process("loss")
        for look in run.reshape(-1, 20):
            process = add_pairs(process, look, harm=0.0, inferior=0.02)
            if log_harm(process) >= BAR:
                hits += 1
                break
    return hits / len(differences)


def test_an_equal_candidate_is_aborted_in_at_most_five_per_cent_of_peeked_runs() -> None:
    rng = np.random.default_rng(1)
    equal = rng.beta(1, 4, (300, 400)) - rng.beta(1, 4, (300, 400))
    assert ever_harmed(equal) <= 0.05


def test_a_worse_candidate_is_found() -> None:
    rng = np.random.default_rng(2)
    worse = np.clip(rng.beta(1, 4, (100, 1000)) + 0.08, 0, 1) - rng.beta(1, 4, (100, 1000))
    assert ever_harmed(worse) >= 0.95


def test_an_inferior_candidate_is_passed_in_at_most_five_per_cent_of_peeked_runs() -> None:
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(300):
        process = start_process("loss")
        inferior = np.clip(rng.normal(0.02, 0.2, (20, 20)), -0.9, 0.94)
        for look in inferior:
            process = add_pairs(process, look, harm=0.0, inferior=0.02)
            if log_inferiority(process) >= BAR:
                hits += 1
                break
    assert hits / 300 <= 0.05


def test_a_better_candidate_is_shown_not_to_be_inferior() -> None:
    rng = np.random.default_rng(4)
    process = add_pairs(start_process("loss"), rng.normal(-0.03, 0.1, 1000).clip(-1, 1), harm=0.0, inferior=0.02)
    assert log_inferiority(process) >= BAR


def test_equal_failure_rates_abort_in_at_most_five_per_cent_of_peeked_runs() -> None:
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(300):
        process = start_process("error")
        for plus, minus in rng.binomial(50, 0.02, (60, 2)):
            process = events(process, int(plus), int(minus), 50)
            if log_harm(process) >= BAR:
                hits += 1
                break
    assert hits / 300 <= 0.05


def test_tripled_failures_abort() -> None:
    rng = np.random.default_rng(6)
    aborted = 0
    for _ in range(50):
        counts = [(int(a), int(b)) for a, b in zip(rng.binomial(50, 0.06, 60), rng.binomial(50, 0.02, 60), strict=True)]
        process = start_process("error")
        for plus, minus in counts:
            process = events(process, plus, minus, 50)
        aborted += log_harm(process) >= BAR
    assert aborted >= 48


def test_failures_of_a_candidate_beside_an_error_free_control_abort() -> None:
    assert log_harm(events(start_process("error"), 10, 0, 500)) >= BAR


def test_two_error_free_arms_pass_once_there_are_enough_pairs() -> None:
    assert log_inferiority(events(start_process("error"), 0, 0, 500)) < BAR
    assert log_inferiority(events(start_process("error"), 0, 0, 1500)) >= BAR


def test_evidence_in_parts_equals_evidence_at_once() -> None:
    differences = np.random.default_rng(7).uniform(-1, 1, 100)
    whole = add_pairs(start_process("loss"), differences, harm=0.0, inferior=0.02)
    parts = start_process("loss")
    for part in np.split(differences, 4):
        parts = add_pairs(parts, part, harm=0.0, inferior=0.02)
    assert parts.n == whole.n
    assert np.allclose(parts.harm, whole.harm)
    assert np.allclose(parts.inferiority, whole.inferiority)


def test_no_pairs_are_no_evidence() -> None:
    process = add_pairs(start_process("loss"), np.empty(0), harm=0.0, inferior=0.02)
    assert (log_harm(process), log_inferiority(process), process.n) == (0.0, 0.0, 0)
    assert confidence_bounds(process) == (-1.0, 1.0)


def test_bounds_close_in_on_the_mean() -> None:
    differences = np.random.default_rng(8).normal(0.1, 0.2, 5000).clip(-1, 1)
    process = add_pairs(start_process("loss"), differences, harm=0.0, inferior=0.02)
    low, high = confidence_bounds(process)
    assert low < 0.1 < high
    assert high - low < 0.03


@pytest.mark.parametrize("difference", [1.1, -1.1, float("nan")])
def test_unbounded_differences_are_refused(difference: float) -> None:
    with pytest.raises(SchemaMismatch, match="in \\[-1, 1\\]"):
        add_pairs(start_process("loss"), np.array([difference]), harm=0.0, inferior=0.02)


def test_margins_that_overlap_are_refused() -> None:
    with pytest.raises(SchemaMismatch, match="margins"):
        add_pairs(start_process("loss"), np.zeros(1), harm=0.02, inferior=0.02)
    with pytest.raises(SchemaMismatch, match="ratios"):
        add_events(
            start_process("error"),
            plus=0,
            minus=0,
            pairs=1,
            harm_ratio=1.5,
            inferior_ratio=1.5,
            inferior_difference=0.005,
        )


def test_negative_counts_are_refused() -> None:
    with pytest.raises(SchemaMismatch, match="negative"):
        events(start_process("error"), -1, 0, 1)
