from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from kilter.contracts.calibration import CalibrationMap
from kilter.errors import SchemaMismatch
from kilter.measures.calibration.beta import apply, apply_scores, fit


def world(n: int, seed: int, a: float, b: float, c: float) -> tuple[np.ndarray, np.ndarray]:
    """Scores whose true calibration map is known."""
    rng = np.random.default_rng(seed)
    raw = rng.uniform(0.02, 0.98, n)
    truth = apply(CalibrationMap(a=a, b=b, c=c, n=1), raw)
    return raw, (rng.uniform(size=n) < truth).astype(np.float64)


@pytest.mark.parametrize(("a", "b", "c"), [(0.5, 0.5, 0.4), (1.0, 1.0, -1.0), (2.5, 0.6, 0.3)])
def test_the_true_map_is_found(a: float, b: float, c: float) -> None:
    raw, labels = world(20_000, 1, a, b, c)
    grid = np.linspace(0.05, 0.95, 19)
    found = apply(fit(raw, labels), grid)
    assert np.abs(found - apply(CalibrationMap(a=a, b=b, c=c, n=1), grid)).max() < 0.03


def test_a_calibrated_model_is_left_nearly_alone() -> None:
    raw, labels = world(5_000, 2, 1.0, 1.0, 0.0)
    grid = np.linspace(0.05, 0.95, 19)
    assert np.abs(apply(fit(raw, labels), grid) - grid).max() < 0.03


def test_few_labels_move_little() -> None:
    found = fit(np.array([0.4, 0.6]), np.array([1.0, 1.0]))
    assert abs(float(apply(found, np.array([0.5]))[0]) - 0.5) < 0.25


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_one_class_alone_stays_finite_and_inside_the_box(label: float) -> None:
    raw = np.linspace(0.0, 1.0, 5_000)
    found = fit(raw, np.full(5_000, label))
    assert 0.05 <= found.a <= 10
    assert 0.05 <= found.b <= 10
    assert -10 <= found.c <= 10
    assert np.isfinite(apply(found, raw)).all()


def test_perfectly_separated_scores_hit_the_bounds_not_infinity() -> None:
    raw = np.concatenate([np.full(500, 0.45), np.full(500, 0.55)])
    found = fit(raw, (raw > 0.5).astype(np.float64), l2=0.0)
    assert max(found.a, found.b) == 10.0


def test_inverted_scores_keep_their_order() -> None:
    raw = np.linspace(0.01, 0.99, 400)
    found = fit(raw, (raw < 0.5).astype(np.float64))
    assert (np.diff(apply(found, raw)) > 0).all()


def test_one_label_is_enough_to_fit() -> None:
    assert fit(np.array([0.3]), np.array([0.0])).n == 1


def test_the_ranking_is_unchanged() -> None:
    raw, labels = world(1_000, 3, 2.0, 0.4, -0.5)
    assert (np.argsort(apply(fit(raw, labels), raw)) == np.argsort(raw)).all()


def test_the_identity_changes_nothing() -> None:
    identity = CalibrationMap(a=1.0, b=1.0, c=0.0, n=0)
    probabilities = np.array([[0.1, 0.9]])
    assert (apply_scores(identity, probabilities, 1) == probabilities).all()
    assert (apply(identity, np.array([0.0, 0.3, 1.0])) == np.array([0.0, 0.3, 1.0])).all()


@pytest.mark.parametrize("positive", [0, 1])
@pytest.mark.parametrize("score", [0.0, 1e-9, 0.2, 0.5, 0.8, 1.0])
def test_a_row_alone_gets_the_answer_that_it_gets_among_others(positive: int, score: float) -> None:
    found = CalibrationMap(a=1.7, b=0.6, c=-0.4, n=10)
    row = np.array([[1.0 - score, score]])
    alone = apply_scores(found, row, positive)
    among = apply_scores(found, np.repeat(row, 3, axis=0), positive)
    assert np.abs(alone - among[:1]).max() < 1e-12
    assert np.abs(among.sum(axis=1) - 1.0).max() < 1e-12


def test_inputs_are_not_changed() -> None:
    raw = np.array([0.2, 0.8])
    raw.flags.writeable = False
    labels = np.array([0.0, 1.0])
    labels.flags.writeable = False
    apply(fit(raw, labels), raw)


@pytest.mark.parametrize(
    ("raw", "labels"),
    [([], []), ([0.5], [0.0, 1.0]), ([1.5], [1.0]), ([float("nan")], [1.0]), ([0.5], [0.5]), ([0.5], [float("nan")])],
)
def test_what_cannot_be_fitted_is_refused(raw: list[float], labels: list[float]) -> None:
    with pytest.raises(SchemaMismatch):
        fit(np.array(raw), np.array(labels))


def test_scipy_is_not_loaded() -> None:
    code = "import sys, kilter.measures.calibration.beta; sys.exit('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
