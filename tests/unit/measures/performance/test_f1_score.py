"""The F score needs both."""

from __future__ import annotations

import numpy as np
import pytest

from kilter.contracts.signature import Task
from kilter.errors import SchemaMismatch
from kilter.measures.performance.f1_score import f1_score, run
from kilter.testing.cases import case, case_of

LABELS = np.array([1.0, 1.0, 1.0, 0.0, 0.0])
CALLED = np.array([1.0, 0.0, 0.0, 1.0, 0.0])


def test_a_hand_computed_share() -> None:
    assert f1_score(LABELS, CALLED) == pytest.approx(0.4)


def test_nothing_to_divide_by_is_no_number() -> None:
    with pytest.raises(SchemaMismatch, match="to divide by"):
        f1_score(np.zeros(3), np.zeros(3))
    (reading,) = run(case([0.0, 0.0, 0.0], [0.1, 0.2, 0.3]))
    assert (reading.not_evaluated or "").startswith("constant")


def test_several_classes_are_averaged_under_their_own_name() -> None:
    inputs = case_of(Task.MULTICLASS, 400)
    (reading,) = run(inputs)
    called = np.asarray(inputs.scores).argmax(axis=1).astype(float)
    assert reading.metric == "f1_score[average=macro]"
    assert reading.estimate == pytest.approx(f1_score(np.asarray(inputs.labels), called, classes=3))
