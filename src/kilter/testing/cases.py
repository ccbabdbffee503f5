"""Builders of what checks are given: models of known quality on seeded rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kilter.contracts.check import CheckInputs
from kilter.contracts.signature import Column, ColumnType, Signature, Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kilter.contracts.reading import Reading

__all__ = ["BINARY", "MULTICLASS", "REGRESSION", "bounds", "case", "case_of"]

_COLUMNS = (
    Column(name="age", type=ColumnType.FLOAT, low=0.0, high=1.0, nullable=True),
    Column(name="plan", type=ColumnType.TEXT, levels=("free", "pro", "team"), nullable=True),
)

BINARY = Signature(task=Task.BINARY, target="left", columns=_COLUMNS, classes=("no", "yes"), positive="yes")
MULTICLASS = Signature(task=Task.MULTICLASS, target="kind", columns=_COLUMNS, classes=("a", "b", "c"))
REGRESSION = Signature(task=Task.REGRESSION, target="price", columns=_COLUMNS)


def case_of(task: Task, n: int, seed: int = 0) -> CheckInputs:
    """Return inputs of an honest, calibrated model of a task on n rows; arrays are read-only."""
    rng = np.random.default_rng(seed)
    age = rng.uniform(size=n)
    plan = np.array(["free", "pro", "team"], dtype=object)[rng.integers(0, 3, n)]
    columns: dict[str, NDArray[np.float64] | NDArray[np.object_]] = {"age": _read_only(age), "plan": plan}
    labels, scores = _answers(task, age, rng)
    signature = {Task.BINARY: BINARY, Task.MULTICLASS: MULTICLASS, Task.REGRESSION: REGRESSION}[task]
    return CheckInputs(
        signature=signature,
        labels=_read_only(labels),
        scores=_read_only(scores),
        columns=dict(columns),
        durations_ms=_read_only(rng.gamma(4.0, 0.05, 380)),
        slices=("plan",),
        seed=seed,
    )


def case(labels: object, scores: object, *, signature: Signature = BINARY, threshold: float = 0.5) -> CheckInputs:
    """Return inputs with these labels and scores; one probability per row stands for the positive class."""
    values = np.asarray(scores, dtype=np.float64)
    if signature.task is Task.BINARY and values.ndim == 1:
        values = np.column_stack((1 - values, values))
    return CheckInputs(
        signature=signature, labels=np.asarray(labels, dtype=np.float64), scores=values, threshold=threshold
    )


def bounds(reading: Reading) -> tuple[float, float, float]:
    """Return low, estimate and high of a reading that must have them."""
    if reading.low is None or reading.estimate is None or reading.high is None:
        message = f"{reading.metric} was not evaluated: {reading.not_evaluated}"
        raise AssertionError(message)
    return reading.low, reading.estimate, reading.high


def _answers(
    task: Task, age: NDArray[np.float64], rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw labels from the very scores, so that the model is calibrated."""
    n = age.size
    if task is Task.REGRESSION:
        return 3 * age + rng.normal(scale=0.5, size=n), 3 * age
    if task is Task.BINARY:
        chance = 0.1 + 0.8 * age
        return (rng.uniform(size=n) < chance).astype(np.float64), np.column_stack((1 - chance, chance))
    odds = 0.2 + np.column_stack((6 * age * (1 - age), 3 * age**2, 3 * (1 - age) ** 2))
    shares = odds / odds.sum(axis=1, keepdims=True)
    drawn = (rng.uniform(size=n)[:, None] > np.cumsum(shares, axis=1)).sum(axis=1)
    return np.minimum(drawn, 2).astype(np.float64), shares


def _read_only(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the array, sealed against writing."""
    values.flags.writeable = False
    return values
