from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilter.contracts.signature import Column, ColumnType, Signature, Task
from kilter.errors import SchemaMismatch
from kilter.measures.profile import ReferenceProfile, WindowProfile, codec
from kilter.measures.profile.reference import build
from kilter.measures.profile.window import empty, labelled, merge, profile

COLUMNS = (Column(name="a", type=ColumnType.FLOAT), Column(name="b", type=ColumnType.TEXT))
BINARY = Signature(task=Task.BINARY, target="y", columns=COLUMNS, classes=("no", "yes"), positive="yes")
MANY = Signature(task=Task.MULTICLASS, target="y", columns=COLUMNS, classes=("r", "g", "b"))
NUMBER = Signature(task=Task.REGRESSION, target="y", columns=COLUMNS)


def table(n: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    a = rng.choice(np.array([0.0, 1.0, 2.5, np.nan, np.inf, -np.inf]), n)
    a[: n // 2] = rng.normal(0, 2, n // 2)
    b = np.array([*rng.choice(np.array(["x", "y", "", "rare", None], dtype=object), n)], dtype=object)
    return {"a": a, "b": b}


def answers(signature: Signature, n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed + 1)
    if signature.task is Task.REGRESSION:
        scores = rng.normal(0, 1, n)
        return scores, scores, scores + rng.normal(0, 1, n)
    raw = rng.random((n, len(signature.classes))) + 1e-3
    scores = raw / raw.sum(axis=1, keepdims=True)
    labels = rng.integers(0, len(signature.classes), n).astype(float)
    labels[::7] = np.nan
    return scores, np.argmax(scores, axis=1).astype(float), labels


def reference(signature: Signature) -> ReferenceProfile:
    scores, _, labels = answers(signature, 400, 0)
    return build(signature, table(400, 0), scores, labels)


def count(signature: Signature, ref: ReferenceProfile, rows: np.ndarray, n: int) -> WindowProfile:
    scores, called, labels = answers(signature, n, 9)
    columns = {name: values[rows] for name, values in table(n, 9).items()}
    return profile(columns, ref, scores[rows], called[rows], labels[rows])


@pytest.mark.parametrize("signature", [BINARY, MANY, NUMBER], ids=["binary", "multiclass", "regression"])
@given(places=st.lists(st.integers(0, 3), min_size=60, max_size=60), order=st.permutations(range(4)))
def test_merging_any_split_in_any_order_gives_the_same_bytes(
    signature: Signature, places: list[int], order: list[int]
) -> None:
    ref = reference(signature)
    whole = codec.encode(count(signature, ref, np.arange(60), 60))
    merged = empty(ref)
    for part in order:
        merged = merge(merged, count(signature, ref, np.flatnonzero(np.array(places) == part), 60))
    assert codec.encode(merged) == whole


def test_every_row_is_in_one_cell_of_each_column() -> None:
    ref = reference(BINARY)
    window = count(BINARY, ref, np.arange(60), 60)
    for counts in (*window.numeric, *window.categorical):
        assert counts.sum() == 60
    assert window.score.sum() == window.classes.sum() == window.rows == 60
    assert window.outcome[:, :4].sum() == np.isfinite(answers(BINARY, 60, 9)[2]).sum()


def test_missing_infinite_and_unseen_values_have_their_own_cells() -> None:
    ref = build(BINARY, {"a": np.arange(100.0), "b": np.array(["x"] * 100, dtype=object)}, np.full((100, 2), 0.5), None)
    columns = {
        "a": np.array([np.nan, -np.inf, np.inf, -1.0, 1e9, 50.0]),
        "b": np.array([None, "x", "new", "", "x", "x"], dtype=object),
    }
    window = profile(columns, ref, np.full((6, 2), 0.5), np.zeros(6))
    numbers, texts = window.numeric[0], window.categorical[0]
    assert [numbers[0], numbers[1], numbers[2], numbers[3], numbers[-1]] == [1, 1, 1, 1, 1]
    assert texts.tolist() == [3, 0, 2, 1]


def test_edges_do_not_round() -> None:
    values = np.arange(100.0)
    ref = build(NUMBER, {"a": values, "b": np.array([None] * 100, dtype=object)}, np.zeros(100), None)
    below = np.nextafter(50.0, -np.inf)
    window = profile({"a": np.array([50.0, below]), "b": np.array([None, None])}, ref, np.zeros(2), np.zeros(2))
    assert window.numeric[0].max() == 1


def test_labels_that_arrive_later_give_the_same_profile() -> None:
    ref = reference(MANY)
    scores, called, labels = answers(MANY, 60, 9)
    early = profile(table(60, 9), ref, scores, called)
    assert early.outcome.sum() == 0
    late = labelled(early, ref, scores, called, labels)
    assert codec.encode(late) == codec.encode(profile(table(60, 9), ref, scores, called, labels))


def test_columns_and_lengths_are_checked() -> None:
    ref = reference(BINARY)
    scores, called, labels = answers(BINARY, 10, 3)
    with pytest.raises(SchemaMismatch, match="missing, first `b`"):
        profile({"a": np.zeros(10)}, ref, scores, called)
    with pytest.raises(SchemaMismatch, match="10 rows"):
        profile(table(9, 3), ref, scores, called)
    with pytest.raises(SchemaMismatch):
        profile(table(10, 3), ref, scores, called, labels[:5])


def test_profiles_of_different_references_do_not_mix() -> None:
    one, other = empty(reference(BINARY)), empty(reference(MANY))
    with pytest.raises(SchemaMismatch):
        merge(one, other)
    with pytest.raises(SchemaMismatch):
        labelled(one, reference(MANY), *answers(MANY, 5, 1))
