"""The calibration error is exact on tables, and near 0 for honest models once debiased."""

from __future__ import annotations

import numpy as np
import pytest

from kilter.errors import SchemaMismatch
from kilter.measures.calibration.expected_calibration_error import (
    debiased_calibration_error,
    expected_calibration_error,
    run,
)
from kilter.testing.cases import MULTICLASS, REGRESSION, bounds, case


def honest(n: int, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    scores = rng.uniform(size=n)
    return (rng.uniform(size=n) < scores).astype(float), scores


def test_weights_count_rows() -> None:
    labels, scores = np.array([1.0, 0.0, 1.0]), np.array([0.2, 0.8, 0.9])
    weighted = expected_calibration_error(labels, scores, weights=np.array([2.0, 1.0, 1.0]))
    repeated = expected_calibration_error(labels[[0, 0, 1, 2]], scores[[0, 0, 1, 2]])
    assert weighted == pytest.approx(repeated)


def test_an_edge_belongs_to_the_upper_bin() -> None:
    labels, scores = np.array([0.0, 1.0]), np.array([0.5, 0.6])
    assert expected_calibration_error(labels, scores, bins=2) == pytest.approx(abs(1 - 1.1) / 2)


def test_ties_leave_fewer_bins_of_equal_mass() -> None:
    assert expected_calibration_error(np.array([0.0, 1.0] * 5), np.full(10, 0.5), strategy="quantile") == 0.0


def test_rows_are_needed() -> None:
    with pytest.raises(SchemaMismatch):
        expected_calibration_error(np.array([]), np.array([]))


@pytest.mark.parametrize("n", [500, 30_000])
def test_an_honest_model_is_near_zero_once_debiased(n: int) -> None:
    labels, scores = honest(n)
    assert debiased_calibration_error(labels, scores) < 0.02
    assert debiased_calibration_error(labels, scores) <= expected_calibration_error(labels, scores, strategy="quantile")


@pytest.mark.parametrize("n", [2_000, 30_000])
def test_a_shifted_model_keeps_its_gap(n: int) -> None:
    labels, scores = honest(n)
    raw, even, judged = run(case(labels, scores * 0.5))
    assert judged.metric == "expected_calibration_error[strategy=quantile,debiased=true]"
    assert judged.estimate == pytest.approx(0.25, abs=0.03)
    for reading in (raw, even, judged):
        low, estimate, high = bounds(reading)
        assert low < estimate < high
        assert reading.interval_method == "bootstrap"


def test_several_classes_are_judged_by_their_top_label() -> None:
    inputs = case([0.0, 1.0], [[0.8, 0.1, 0.1], [0.8, 0.1, 0.1]], signature=MULTICLASS)
    assert run(inputs)[0].estimate == pytest.approx(0.3)


def test_numbers_have_no_calibration_error() -> None:
    readings = run(case([1.0, 2.0], [1.0, 2.0], signature=REGRESSION))
    assert [reading.estimate for reading in readings] == [None] * 3
