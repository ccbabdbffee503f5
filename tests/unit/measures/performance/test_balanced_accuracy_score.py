"""Every class counts the same."""

from __future__ import annotations

import numpy as np

from kilter.measures.performance.balanced_accuracy_score import balanced_accuracy_score, run
from kilter.testing.cases import case


def test_the_frequent_class_alone_gets_half() -> None:
    assert balanced_accuracy_score(np.array([0.0] * 9 + [1.0]), np.zeros(10)) == 0.5


def test_an_absent_class_is_not_evaluated() -> None:
    (reading,) = run(case([1.0, 1.0, 1.0], [0.4, 0.6, 0.7]))
    assert (reading.not_evaluated or "").startswith("one_class")
