"""The slope tells too sure from too timid."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from kilter.contracts.signature import Task
from kilter.errors import SchemaMismatch
from kilter.measures.calibration.calibration_slope import calibration_slope, run
from kilter.testing.cases import bounds, case, case_of


def test_it_agrees_with_an_unpenalised_logistic_regression() -> None:
    inputs = case_of(Task.BINARY, 500)
    labels, scores = np.asarray(inputs.labels), np.asarray(inputs.scores)[:, 1]
    odds = logit(scores)[:, None]
    reference = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1_000).fit(odds, labels)
    assert calibration_slope(labels, scores).slope == pytest.approx(reference.coef_[0, 0], abs=1e-4)


def test_chances_stated_too_low_have_a_positive_intercept() -> None:
    inputs = case_of(Task.BINARY, 4_000)
    labels, odds = np.asarray(inputs.labels), logit(np.asarray(inputs.scores)[:, 1])
    fit = calibration_slope(labels, expit(odds - 0.5))
    assert fit.intercept == pytest.approx(0.5, abs=4 * fit.intercept_se)


@pytest.mark.parametrize(
    ("labels", "scores", "reason"),
    [
        ([1.0, 1.0], [0.2, 0.4], "all labels are equal"),
        ([0.0, 0.0], [0.2, 0.4], "all labels are equal"),
        ([0.0, 1.0], [0.4, 0.4], "all scores are equal"),
        ([0.0, 0.0, 1.0], [0.1, 0.2, 0.4], "separate the classes"),
        ([1.0, 1.0, 0.0], [0.1, 0.2, 0.4], "separate the classes"),
    ],
)
def test_no_finite_slope_is_said(labels: list[float], scores: list[float], reason: str) -> None:
    with pytest.raises(SchemaMismatch, match=reason):
        calibration_slope(np.array(labels), np.array(scores))
    assert all(reason in (reading.not_evaluated or "") for reading in run(case(labels, scores)))


def test_steep_steps_are_halved() -> None:
    # Nearly separated, scores at the clip: a full Newton step overshoots.
    scores = np.concatenate((np.full(50, 1e-9), np.full(50, 1 - 1e-9), [0.9, 0.1]))
    labels = np.concatenate((np.zeros(50), np.ones(50), [0.0, 1.0]))
    fit = calibration_slope(labels, scores)
    assert np.isfinite(fit).all()


def test_the_reading_has_two_parts() -> None:
    slope, intercept = run(case_of(Task.BINARY, 500))
    assert (slope.metric, intercept.metric) == ("calibration_slope", "calibration_intercept")
    low, _, high = bounds(slope)
    assert low < 1 < high
    assert run(case_of(Task.REGRESSION, 9))[0].estimate is None


def test_nearly_equal_scores_still_end() -> None:
    scores = np.repeat([0.5, 0.5 + 1e-6], 20)
    labels = np.concatenate((np.arange(20) < 3, np.arange(20) < 17)).astype(float)
    assert calibration_slope(labels, scores).slope > 1e5
