from __future__ import annotations

import numpy as np
import pytest

from kilter.contracts.signature import Column, ColumnType, Signature, Task
from kilter.errors import SchemaMismatch
from kilter.measures.profile.reference import build

A = Column(name="a", type=ColumnType.FLOAT)
T = Column(name="t", type=ColumnType.TEXT)
NUMBER = Signature(task=Task.REGRESSION, target="y", columns=(A,))
TEXT = Signature(task=Task.REGRESSION, target="y", columns=(T,))
BINARY = Signature(task=Task.BINARY, target="y", columns=(), classes=("no", "yes"), positive="yes")
MANY = Signature(task=Task.MULTICLASS, target="y", columns=(), classes=("r", "g", "b"))


def both(p: np.ndarray) -> np.ndarray:
    return np.column_stack([1 - p, p])


def test_fewer_than_fifty_rows_are_refused() -> None:
    with pytest.raises(SchemaMismatch, match="at least 50 rows, got 49"):
        build(NUMBER, {"a": np.zeros(49)}, np.zeros(49), None)


def test_fewer_than_five_hundred_rows_are_said_to_be_small() -> None:
    assert build(NUMBER, {"a": np.zeros(499)}, np.zeros(499), None).is_small
    assert not build(NUMBER, {"a": np.zeros(500)}, np.zeros(500), None).is_small


def test_lengths_are_checked() -> None:
    with pytest.raises(SchemaMismatch):
        build(NUMBER, {"a": np.zeros(60)}, np.zeros(61), None)
    with pytest.raises(SchemaMismatch):
        build(NUMBER, {"a": np.zeros(60)}, np.zeros(60), np.zeros(59))


def test_few_distinct_values_are_atoms() -> None:
    values = np.tile(np.array([1.0, 2.0, 7.7]), 40)
    item = build(NUMBER, {"a": values}, np.zeros(120), None).numeric[0]
    assert sorted(item.counts[item.counts > 0].tolist()) == [40, 40, 40]
    assert {1.0, 2.0, 7.7} <= set(item.edges.tolist())


def test_frequent_values_among_many_are_atoms() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([np.zeros(500), rng.normal(0, 1, 2_000)])
    item = build(NUMBER, {"a": values}, np.zeros(2_500), None).numeric[0]
    assert 0.0 in item.edges
    assert item.edges.size <= 300
    assert item.counts.max() == 500


def test_heavy_tails_and_flat_middles_still_get_edges() -> None:
    values = np.zeros(400_000)
    values[:300] = np.arange(300.0) + 1
    item = build(NUMBER, {"a": values}, np.zeros(400_000), None).numeric[0]
    assert item.counts.sum() == 400_000


@pytest.mark.parametrize("value", [3.0, np.nan, np.inf])
def test_constant_and_empty_columns_are_legal(value: float) -> None:
    item = build(NUMBER, {"a": np.full(60, value)}, np.zeros(60), None).numeric[0]
    assert item.counts.max() == 60
    assert np.isfinite(item.edges).all()


def test_the_largest_number_has_no_edge_beyond() -> None:
    item = build(NUMBER, {"a": np.full(60, np.finfo(float).max)}, np.zeros(60), None).numeric[0]
    assert np.isfinite(item.edges).all()


def test_rare_levels_share_a_cell_and_stay_known() -> None:
    levels = np.array([f"k{row % 5}" for row in range(4_000)], dtype=object)
    levels[0] = "once"
    levels[1] = None
    item = build(TEXT, {"t": levels}, np.zeros(4_000), None).categorical[0]
    assert item.levels == ("k2", "k3", "k4", "k1", "k0") or set(item.levels) == {"k0", "k1", "k2", "k3", "k4"}
    assert item.counts[-3:].tolist() == [1, 0, 1]
    assert item.once == 1


def test_too_many_levels_are_all_taken_for_known() -> None:
    names = np.array([f"id{row}" for row in range(50_050)], dtype=object)
    item = build(TEXT, {"t": names}, np.zeros(50_050), None).categorical[0]
    assert item.counts[-2] == 0


def test_the_calibrator_corrects_overconfident_scores() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(4_000)
    labels = (rng.random(4_000) < 0.25 + 0.5 * p).astype(float)
    found = build(BINARY, {}, both(p), labels)
    assert found.calibrator[5] == pytest.approx(0.25, abs=0.12)
    assert found.calibrator[-5] == pytest.approx(0.75, abs=0.12)
    assert (np.diff(found.calibrator) >= 0).all()
    assert found.group_gaps.max() > 0.1


def test_a_calibrated_score_is_left_alone() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(300)
    found = build(BINARY, {}, both(p), (rng.random(300) < p).astype(float))
    assert np.abs(np.diff(found.calibrator)).max() < 0.05
    assert found.metrics["accuracy_score"].low < found.metrics["accuracy_score"].value


def test_without_labels_there_are_no_bounds() -> None:
    found = build(BINARY, {}, both(np.linspace(0, 1, 100)), None)
    assert found.metrics == {}
    assert found.labelled == 0
    assert not found.group_gaps.any()


def test_regression_losses_are_bounded_by_the_tail() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(0, 1, 1_000)
    found = build(Signature(task=Task.REGRESSION, target="y", columns=()), {}, np.zeros(1_000), y)
    assert found.loss_bound == pytest.approx(2 * np.quantile(np.abs(y), 0.999))
    assert found.metrics["mean_absolute_error"].value == pytest.approx(np.abs(y).mean())
    assert 0 < found.metrics["loss"].value < 1


def test_a_perfect_regression_has_a_bound_too() -> None:
    y = np.arange(60.0)
    assert build(Signature(task=Task.REGRESSION, target="y", columns=()), {}, y, y).loss_bound == 1.0


def test_multiclass_speaks_of_the_top_class() -> None:
    rng = np.random.default_rng(0)
    raw = rng.random((400, 3))
    scores = raw / raw.sum(axis=1, keepdims=True)
    found = build(MANY, {}, scores, np.argmax(scores, axis=1).astype(float))
    assert found.class_counts.sum() == 400
    assert found.metrics["accuracy_score"].value == 1.0
    assert found.score_counts[:, 0].sum() == 0
