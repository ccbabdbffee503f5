from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from kilter.contracts.signature import Column, ColumnType, Signature, Task
from kilter.contracts.spec import MonitorSpec
from kilter.measures import signals
from kilter.measures.profile.reference import build
from kilter.measures.profile.window import profile
from kilter.policy.detection import advance
from kilter.policy.judgement import families

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from kilter.contracts.monitor import Signal
    from kilter.measures.profile import ReferenceProfile
    from kilter.measures.rows import FloatArray


COLUMNS = (
    Column(name="a", type=ColumnType.FLOAT),
    Column(name="b", type=ColumnType.FLOAT),
    Column(name="t", type=ColumnType.TEXT),
)
BINARY = Signature(task=Task.BINARY, target="y", columns=COLUMNS, classes=("no", "yes"), positive="yes")
MANY = Signature(task=Task.MULTICLASS, target="y", columns=(), classes=("r", "g", "b"))
SPEC = MonitorSpec()


def rows(rng: np.random.Generator, n: int) -> tuple[dict[str, NDArray[Any]], FloatArray, FloatArray]:
    columns = {
        "a": rng.normal(0, 1, n),
        "b": rng.poisson(2, n).astype(float),
        "t": rng.choice(np.array(["x", "y", "z"], dtype=object), n, p=[0.7, 0.2, 0.1]),
    }
    p = 1 / (1 + np.exp(-columns["a"]))
    return columns, np.column_stack([1 - p, p]), (rng.random(n) < p).astype(float)


@pytest.fixture(scope="module")
def reference() -> ReferenceProfile:
    columns, scores, labels = rows(np.random.default_rng(0), 5_000)
    return build(BINARY, columns, scores, labels)


def evidence(reference: ReferenceProfile, rng: np.random.Generator, n: int = 500) -> tuple[signals.Evidence, ...]:
    columns, scores, labels = rows(rng, n)
    called = (scores[:, 1] >= 0.5).astype(float)
    window = profile(columns, reference, scores, called)
    return (
        *signals.distribution(reference, window),
        *signals.outcome(BINARY, reference, scores, called, labels, spec=SPEC),
        *signals.requests(3, n),
    )


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_three_hundred_windows_without_change_raise_no_alarm(reference: ReferenceProfile, seed: int) -> None:
    rng = np.random.default_rng(seed)
    state: dict[tuple[str, str], Signal] = {}
    for _ in range(300):
        changed, alarms = advance(
            state, evidence(reference, rng), deployment="d", number=1, present=families(reference), spec=SPEC
        )
        state |= {(one.family, one.name): one for one in changed}
        assert not alarms
    assert {family for family, _ in state} == set(families(reference))


def found(
    reference: ReferenceProfile, columns: dict[str, NDArray[Any]], scores: FloatArray
) -> dict[tuple[str, str], float]:
    called = (scores[:, 1] >= 0.5).astype(float)
    window = profile(columns, reference, scores, called)
    return {(one.family, one.name): one.log_e for one in signals.distribution(reference, window)}


def test_planted_faults_are_found_in_their_own_signal(reference: ReferenceProfile) -> None:
    columns, scores, _ = rows(np.random.default_rng(5), 1_000)
    calm = found(reference, columns, scores)
    assert max(calm.values()) < 0
    moved = columns | {"a": columns["a"] + 0.7}
    assert found(reference, moved, scores)["feature_drift", "a"] > 5
    # a shift that no quantile bin would show: every count becomes a fraction, the order stays
    between = columns | {"b": columns["b"] + 0.7}
    assert found(reference, between, scores)["feature_drift", "b"] > 5
    texts = columns | {"t": np.where(np.arange(1_000) < 300, "y", columns["t"])}
    assert found(reference, texts, scores)["feature_drift", "t"] > 5
    fresh = columns | {"t": np.where(np.arange(1_000) < 200, "new", columns["t"])}
    assert found(reference, fresh, scores)["input_health", "t"] > 5
    holes = columns | {"a": np.where(np.arange(1_000) < 200, np.nan, columns["a"])}
    assert found(reference, holes, scores)["input_health", "a"] > 5
    units = columns | {"a": columns["a"] * 1_000}
    assert found(reference, units, scores)["input_health", "a"] > 5
    sharper = np.column_stack([1 - scores[:, 1] ** 3, scores[:, 1] ** 3])
    assert found(reference, columns, sharper)["score_drift", "score"] > 5


def test_a_column_that_is_all_missing_is_not_tested_for_drift(reference: ReferenceProfile) -> None:
    columns, scores, _ = rows(np.random.default_rng(5), 100)
    empty = columns | {"a": np.full(100, np.nan), "t": np.full(100, None, dtype=object)}
    names = found(reference, empty, scores)
    assert ("feature_drift", "a") not in names
    assert ("feature_drift", "t") not in names
    assert names["input_health", "a"] > 5


def test_a_tiny_reference_leaves_little_to_test() -> None:
    columns, scores, labels = rows(np.random.default_rng(0), 50)
    tiny = build(BINARY, columns, scores, labels)
    shifted, scores, _ = rows(np.random.default_rng(1), 50)
    assert max(found(tiny, shifted, scores).values()) < 2


def test_sets_without_room_are_not_a_signal() -> None:
    signature = Signature(task=Task.REGRESSION, target="y", columns=())
    constant = build(signature, {}, np.zeros(60), None)
    window = profile({}, constant, np.zeros(60), np.zeros(60))
    assert signals.distribution(constant, window, tolerance=0.99) == ()


def test_decided_classes_are_a_signal_of_many_class_models() -> None:
    rng = np.random.default_rng(0)
    raw = rng.random((2_000, 3))
    scores = raw / raw.sum(axis=1, keepdims=True)
    called = np.argmax(scores, axis=1).astype(float)
    known = build(MANY, {}, scores, called)
    lopsided = np.tile(np.array([0.2, 0.5, 0.3]), (500, 1))
    window = profile({}, known, lopsided, np.ones(500))
    by_name = {one.name: one.log_e for one in signals.distribution(known, window)}
    assert by_name["classes"] > 5
    told = signals.outcome(MANY, known, scores, called, (called + 1) % 3, spec=SPEC)
    assert next(one.log_e for one in told if one.name == "error") > 5


@pytest.mark.parametrize(("tilt", "side"), [(1.5, "all above"), (-1.5, "all below")])
def test_lost_calibration_is_found_on_its_side(reference: ReferenceProfile, tilt: float, side: str) -> None:
    rng = np.random.default_rng(4)
    _, scores, _ = rows(rng, 2_000)
    p = scores[:, 1]
    labels = (rng.random(2_000) < 1 / (1 + (1 - p) / p * np.exp(-tilt))).astype(float)
    told = signals.outcome(BINARY, reference, scores, (p >= 0.5).astype(float), labels, spec=SPEC)
    best = max((one for one in told if one.family == "calibration"), key=lambda one: one.log_e)
    assert best.name == side
    assert best.log_e > 5


def test_a_biased_regression_is_found() -> None:
    signature = Signature(task=Task.REGRESSION, target="y", columns=())
    rng = np.random.default_rng(0)
    y = rng.normal(0, 1, 2_000)
    known = build(signature, {}, np.zeros(2_000), y)
    told = signals.outcome(signature, known, np.zeros(2_000), np.zeros(2_000), y + 0.8, spec=SPEC)
    by_name = {one.name: one.log_e for one in told}
    assert by_name["loss"] > 4
    assert by_name["all above"] > 5
    calm = signals.outcome(signature, known, np.zeros(2_000), np.zeros(2_000), y, spec=SPEC)
    assert max(one.log_e for one in calm) < 0


def test_without_reference_labels_only_calibration_of_chances_is_tested() -> None:
    columns, scores, labels = rows(np.random.default_rng(0), 500)
    called = (scores[:, 1] >= 0.5).astype(float)
    blind = build(BINARY, columns, scores, None)
    told = signals.outcome(BINARY, blind, scores, called, labels, spec=SPEC)
    assert {one.family for one in told} == {"calibration"}
    signature = Signature(task=Task.REGRESSION, target="y", columns=())
    number = build(signature, {}, np.zeros(60), None)
    assert signals.outcome(signature, number, np.zeros(60), np.zeros(60), np.ones(60), spec=SPEC) == ()


def test_no_rows_are_no_evidence(reference: ReferenceProfile) -> None:
    none = np.zeros(0)
    assert signals.outcome(BINARY, reference, np.zeros((0, 2)), none, none, spec=SPEC) == ()
    columns, scores, _ = rows(np.random.default_rng(5), 0)
    assert signals.distribution(reference, profile(columns, reference, scores, none)) == ()
    assert signals.requests(0, 0) == ()
