from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from kilter.errors import InvalidRequest, SchemaMismatch
from kilter.measures.sequential import evalue

if TYPE_CHECKING:
    from collections.abc import Callable


def mean_e(draw: Callable[[np.random.Generator], float], repeats: int = 4_000) -> float:
    rng = np.random.default_rng(3)
    return float(np.mean(np.exp([draw(rng) for _ in range(repeats)])))


def test_sets_have_mean_at_most_one_at_the_edge_of_the_tolerance() -> None:
    shares = np.array([0.2, 0.5, 0.7])

    def draw(rng: np.random.Generator) -> float:
        x = rng.random(50)
        k = np.array([(x < share + 0.05).sum() for share in shares], dtype=float)
        return evalue.sets(k, 50, shares, 0.0, 0.05)

    assert mean_e(draw) <= 1.05


def test_cells_have_mean_at_most_one_under_the_null() -> None:
    g = np.array([-0.2, 0.8])
    assert mean_e(lambda rng: evalue.cells(np.array([50 - (k := rng.binomial(50, 0.2)), k]), g)) <= 1.1


def test_bounded_has_mean_at_most_one_under_the_null() -> None:
    def draw(rng: np.random.Generator) -> float:
        gap = (rng.random(50) < 0.3) - 0.3
        return evalue.bounded(float(gap.sum()), float(gap @ gap), 0.3)

    assert mean_e(draw) <= 1.1


def test_rate_has_mean_at_most_one_under_the_null() -> None:
    assert mean_e(lambda rng: evalue.rate(rng.binomial(200, 0.02), 200, 0.02)) <= 1.1


def test_a_planted_shift_gives_strong_evidence() -> None:
    k = np.array([300.0])
    assert evalue.sets(k, 500, np.array([0.4]), 0.02, 0.05) > 5
    assert evalue.cells(np.array([350, 150]), np.array([-0.12, 0.88])) > 5
    assert evalue.rate(40, 500, 0.02) > 5


def test_both_sides_are_tested() -> None:
    low = evalue.sets(np.array([5.0]), 100, np.array([0.5]), 0.0, 0.05)
    high = evalue.sets(np.array([95.0]), 100, np.array([0.5]), 0.0, 0.05)
    assert low == pytest.approx(high)


def test_tempering_divides_the_evidence() -> None:
    whole = evalue.rate(40, 500, 0.02)
    assert evalue.rate(40, 500, 0.02, design=2.0) == pytest.approx(whole / 2)
    assert evalue.cells(np.array([0, 9]), np.array([-0.1, 0.9]), design=3.0) > 0


def test_no_rows_are_no_evidence() -> None:
    none = np.zeros(0)
    assert evalue.sets(none, 5, none, 0.0, 0.1) == 0
    assert evalue.sets(np.zeros(1), 0, np.zeros(1), 0.0, 0.1) == 0
    assert evalue.cells(np.zeros(2, dtype=np.int64), np.array([-1.0, 1.0])) == 0
    assert evalue.rate(0, 0, 0.1) == 0
    assert evalue.rate(5, 5, 0.0) == 0
    assert evalue.rate(5, 5, 0.99) == 0
    assert evalue.bounded(0.0, 0.0, 0.5) == 0


def test_sets_without_room_are_left_out() -> None:
    assert evalue.sets(np.array([10.0]), 10, np.array([0.5]), 0.5, 0.05) == 0


def test_evidence_is_capped() -> None:
    assert evalue.rate(10**6, 10**6, 0.01) == pytest.approx(np.log(1e300))


def test_shapes_and_limits_are_checked() -> None:
    with pytest.raises(SchemaMismatch):
        evalue.sets(np.zeros(2), 5, np.zeros(3), 0.0, 0.1)
    with pytest.raises(SchemaMismatch):
        evalue.cells(np.zeros(2, dtype=np.int64), np.zeros(3))
    with pytest.raises(InvalidRequest):
        evalue.bounded(1.0, 1.0, 0.0)
