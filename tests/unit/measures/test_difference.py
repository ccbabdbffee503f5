"""A gain is paired, row by row, and positive when the candidate is better."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from kilter.measures.difference import dummy_inputs, paired_gain
from kilter.measures.performance import log_loss, mean_bias_error, roc_auc_score
from kilter.testing.cases import REGRESSION, bounds, case

if TYPE_CHECKING:
    from types import ModuleType


LABELS = np.array([1.0, 0.0, 1.0, 0.0, 1.0, 0.0])
GOOD, BAD = np.array([0.9, 0.2, 0.8, 0.1, 0.7, 0.3]), np.array([0.6, 0.5, 0.5, 0.5, 0.6, 0.4])


@pytest.mark.parametrize("module", [log_loss, roc_auc_score], ids=["lower", "higher"])
def test_better_is_positive_in_either_direction(module: ModuleType) -> None:
    gain = paired_gain(case(LABELS, GOOD), case(LABELS, BAD), module.influence, spec=module.CHECK, name="live")
    assert bounds(gain)[1] > 0
    assert gain.subject == "difference:live"
    assert gain.metric == module.CHECK.id


def test_a_target_is_gained_by_coming_nearer() -> None:
    labels = np.array([1.0, 2.0, 3.0])
    near, far = (case(labels, labels + shift, signature=REGRESSION) for shift in (-0.5, 2.0))
    gain = paired_gain(near, far, mean_bias_error.influence, spec=mean_bias_error.CHECK, name="live", metric="bias")
    assert gain.estimate == pytest.approx(1.5)
    assert gain.metric == "bias"


def test_equal_versions_differ_by_exactly_nothing() -> None:
    gain = paired_gain(case(LABELS, GOOD), case(LABELS, GOOD), log_loss.influence, spec=log_loss.CHECK, name="live")
    assert (gain.low, gain.estimate, gain.high) == (0.0, 0.0, 0.0)


def test_rows_without_a_label_for_either_are_left_out() -> None:
    other = np.where(np.arange(6) == 0, np.nan, LABELS)
    gain = paired_gain(case(LABELS, GOOD), case(other, BAD), log_loss.influence, spec=log_loss.CHECK, name="live")
    assert gain.n == 5


def test_what_one_of_the_two_cannot_measure_is_not_evaluated() -> None:
    bare = replace(case(LABELS, BAD), scores=None)
    theirs = paired_gain(case(LABELS, GOOD), bare, log_loss.influence, spec=log_loss.CHECK, name="live")
    ours = paired_gain(bare, case(LABELS, GOOD), log_loss.influence, spec=log_loss.CHECK, name="live")
    assert theirs.not_evaluated == "no_scores: the model gave no scores (live)"
    assert ours.not_evaluated == "no_scores: the model gave no scores"


def test_the_dummy_knows_only_shares() -> None:
    dummy = dummy_inputs(case(LABELS, GOOD, threshold=0.9), "log_loss")
    assert np.asarray(dummy.scores).tolist() == [[0.5, 0.5]] * 6
    assert dummy.threshold == 0.5
