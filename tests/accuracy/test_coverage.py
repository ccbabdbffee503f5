"""Intervals hold the truth about as often as they say, and honest models are not called miscalibrated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import norm

from kilter.measures.calibration import calibration_slope, expected_calibration_error
from kilter.measures.difference import paired_gain
from kilter.measures.interval import mean_interval, quantile_interval
from kilter.measures.performance import (
    accuracy_score,
    brier_score_loss,
    f1_score,
    log_loss,
    r2_score,
    recall_score,
    roc_auc_score,
)
from kilter.testing.cases import REGRESSION, bounds, case

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

RUNS = 400
# 95 % over 400 sets: the share of hits has a standard error of 1.1 points; 3.5 of them each way, and small samples.
LEAST, MOST = 0.915, 0.987


def drawn(rng: np.random.Generator, n: int, base: float) -> tuple[np.ndarray, np.ndarray]:
    """Labels and calibrated scores: log-odds normal around the base rate's."""
    scores = expit(logit(base) + rng.normal(size=n))
    return (rng.uniform(size=n) < scores).astype(float), scores


@pytest.mark.parametrize("base", [0.5, 0.2])
@pytest.mark.parametrize(
    "module",
    [accuracy_score, brier_score_loss, log_loss, roc_auc_score, recall_score, f1_score],
    ids=lambda m: m.__name__,
)
def test_intervals_cover(module: ModuleType, base: float) -> None:
    rng = np.random.default_rng(5)
    truth = module.run(case(*drawn(rng, 400_000, base)))[0].estimate
    hits = 0
    for _ in range(RUNS):
        low, _, high = bounds(module.run(case(*drawn(rng, 300, base)))[0])
        hits += low <= truth <= high
    assert LEAST <= hits / RUNS <= MOST


def test_the_interval_of_explained_variance_covers() -> None:
    rng = np.random.default_rng(6)
    hits = 0
    for _ in range(RUNS):
        predictions = rng.normal(size=300)
        reading = r2_score.run(case(predictions + rng.normal(size=300), predictions, signature=REGRESSION))[0]
        low, _, high = bounds(reading)
        hits += low <= 0.5 <= high
    assert LEAST <= hits / RUNS <= MOST


def test_paired_intervals_cover_no_difference() -> None:
    rng = np.random.default_rng(7)
    hits = 0
    for _ in range(RUNS):
        labels, scores = drawn(rng, 400, 0.4)
        one, other = (expit(logit(scores) + rng.normal(scale=0.3, size=400)) for _ in range(2))
        gain = paired_gain(
            case(labels, one), case(labels, other), roc_auc_score.influence, spec=roc_auc_score.CHECK, name="live"
        )
        low, _, high = bounds(gain)
        hits += low <= 0 <= high
    assert LEAST <= hits / RUNS <= MOST


def test_clusters_are_taken_into_account() -> None:
    rng = np.random.default_rng(8)
    groups = np.repeat(np.arange(50), 20)
    hits = {True: 0, False: 0}
    for _ in range(RUNS):
        values = np.repeat(rng.normal(scale=np.sqrt(0.3), size=50), 20) + rng.normal(scale=np.sqrt(0.7), size=1000)
        for clustered in hits:
            mean = float(values.mean())
            low, high = mean_interval(mean, values - mean, groups=groups if clustered else None)
            hits[clustered] += low <= 0 <= high
    assert LEAST <= hits[True] / RUNS <= MOST
    assert hits[False] / RUNS < 0.7


def test_the_interval_of_a_quantile_covers() -> None:
    rng = np.random.default_rng(9)
    truth = float(np.exp(norm.ppf(0.99)))
    hits = 0
    for _ in range(RUNS):
        _, low, high = quantile_interval(np.exp(rng.normal(size=380)), 0.99)
        hits += low <= truth <= high
    assert hits / RUNS >= LEAST


@pytest.mark.parametrize(("n", "runs"), [(500, 60), (5_000, 20), (50_000, 8)])
def test_honest_models_are_not_called_miscalibrated(n: int, runs: int) -> None:
    rng = np.random.default_rng(10)
    for _ in range(runs):
        judged = expected_calibration_error.run(case(*drawn(rng, n, 0.3)))[2]
        assert bounds(judged)[0] <= 0.03


@pytest.mark.parametrize("distort", [np.sqrt, lambda p: expit(logit(p) + 0.4)], ids=["power", "shift"])
def test_planted_miscalibration_is_found(distort: Callable[[np.ndarray], np.ndarray]) -> None:
    rng = np.random.default_rng(11)
    for _ in range(10):
        labels, scores = drawn(rng, 5_000, 0.3)
        judged = expected_calibration_error.run(case(labels, distort(scores)))[2]
        assert bounds(judged)[0] > 0.03


def test_the_slope_finds_overconfidence_and_covers_one() -> None:
    rng = np.random.default_rng(12)
    hits = 0
    for _ in range(RUNS):
        labels, scores = drawn(rng, 500, 0.4)
        low, _, high = bounds(calibration_slope.run(case(labels, scores))[0])
        hits += low <= 1 <= high
    assert LEAST <= hits / RUNS <= MOST
    labels, scores = drawn(rng, 5_000, 0.4)
    sure = calibration_slope.run(case(labels, expit(logit(scores) / 0.6)))[0]
    assert bounds(sure)[2] < 0.8
