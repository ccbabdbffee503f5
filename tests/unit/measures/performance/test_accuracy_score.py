"""Accuracy uses the deployed threshold."""

from __future__ import annotations

import numpy as np
import pytest

from kilter.measures.performance.accuracy_score import accuracy_score, run
from kilter.testing.cases import case


def test_a_hand_computed_share() -> None:
    assert accuracy_score(np.array([0.0, 1.0, 1.0]), np.array([0.0, 1.0, 0.0])) == pytest.approx(2 / 3)


def test_the_threshold_of_the_version_decides() -> None:
    labels, scores = [1.0, 0.0, 1.0, 0.0], [0.3, 0.1, 0.4, 0.2]
    assert run(case(labels, scores))[0].estimate == 0.5
    assert run(case(labels, scores, threshold=0.25))[0].estimate == 1.0
