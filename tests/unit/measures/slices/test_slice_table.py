"""Slices are cut the same way for everyone, and small ones keep silent."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kilter.contracts.reading import Reading
from kilter.contracts.signature import Task
from kilter.errors import SchemaMismatch
from kilter.measures.performance import accuracy_score, brier_score_loss, recall_score
from kilter.measures.slices.slice_table import breach_p_value, holm, run, slice_codes, slice_table
from kilter.testing.cases import case, case_of


def texts(*values: object) -> np.ndarray:
    cells = np.empty(len(values), dtype=object)
    cells[:] = values
    return cells


def test_rare_levels_are_one_slice_and_missing_another() -> None:
    codes, names = slice_codes(texts("b", "a", "a", "c", None), top=2)
    assert names == ("a", "b", "(other)", "(missing)")
    assert codes.tolist() == [1, 0, 0, 2, 3]


def test_few_numbers_are_levels() -> None:
    codes, names = slice_codes(np.array([1.0, 0.0, np.nan, 1.0]))
    assert names == ("1", "0", "(other)", "(missing)")
    assert codes.tolist() == [0, 1, 3, 0]


def test_many_numbers_are_cut_at_the_quantiles_of_the_reference() -> None:
    codes, names = slice_codes(np.array([-5.0, 55.0, 500.0, np.nan]), reference=np.arange(101.0))
    assert names[0] == "< 10"
    assert names[1] == "10 to 20"
    assert [names[code] for code in codes] == ["< 10", "50 to 60", ">= 90", "(missing)"]


def test_the_worst_slice_comes_first_in_either_direction() -> None:
    plan = np.repeat(texts("good", "bad"), 50)
    scores = np.concatenate((np.tile([0.9, 0.1], 25), np.tile([0.6, 0.5], 25)))
    inputs = replace(case(np.tile([1.0, 0.0], 50), scores), columns={"plan": plan})
    for module in (brier_score_loss, accuracy_score):
        table = slice_table(inputs, ["plan"], module.influence, spec=module.CHECK, min_rows=20)
        assert table[0].subject == "slice:plan=bad"


def test_small_slices_and_absent_columns_are_listed_not_judged() -> None:
    inputs = case_of(Task.BINARY, 300)
    table = slice_table(inputs, ["plan", "city"], accuracy_score.influence, spec=accuracy_score.CHECK, min_rows=250)
    assert all(reading.estimate is None for reading in table)
    reasons = {(reading.not_evaluated or "").partition(":")[0] for reading in table}
    assert reasons == {"too_few_rows", "no_groups"}


def test_a_slice_with_few_positives_is_listed() -> None:
    labels = np.zeros(100)
    labels[:5] = 1.0
    inputs = replace(case(labels, np.full(100, 0.6)), columns={"plan": texts(*["a"] * 100)})
    (reading,) = slice_table(inputs, ["plan"], recall_score.influence, spec=recall_score.CHECK, min_rows=50)
    assert (reading.not_evaluated or "").startswith("too_few_positives")


def test_the_reference_of_the_inputs_sets_the_ranges() -> None:
    inputs = replace(case_of(Task.REGRESSION, 300), reference={"age": np.linspace(0, 10, 101)}, slices=("age",))
    (reading,) = run(inputs)
    assert reading.subject == "slice:age=< 1"


def test_without_labels_rows_are_still_counted() -> None:
    inputs = replace(case_of(Task.BINARY, 300), labels=None)
    assert sum(reading.n for reading in run(inputs)) == 300


def test_holm_is_monotone_and_empty_safe() -> None:
    assert holm(np.array([])).size == 0
    assert holm(np.array([0.5, 0.6])).tolist() == [1.0, 1.0]
    with pytest.raises(SchemaMismatch):
        holm(np.array([1.5]))


def test_a_breach_needs_an_interval_and_a_side() -> None:
    whole = Reading(metric="m", estimate=0.3, low=0.2, high=0.4)
    assert breach_p_value(Reading(metric="m", estimate=0.3), 0.1, is_upper=True) == 1.0
    assert breach_p_value(whole, 0.1, is_upper=True) < 0.001
    assert breach_p_value(whole, 0.1, is_upper=False) > 0.999
    assert breach_p_value(whole, 0.3, is_upper=True) == 0.5
    point = Reading(metric="m", estimate=0.3, low=0.3, high=0.3)
    assert breach_p_value(point, 0.2, is_upper=True) == 0.0
    assert breach_p_value(point, 0.4, is_upper=True) == 1.0
