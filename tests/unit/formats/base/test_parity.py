from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from kilter.contracts.batch import Batch, Scores
from kilter.contracts.signature import Signature, Task
from kilter.errors import FormatError
from kilter.formats.base.parity import compare, require_batch_invariance

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

BINARY = Signature(task=Task.BINARY, target="y", columns=(), classes=("0", "1"), positive="1")
REGRESSION = Signature(task=Task.REGRESSION, target="y", columns=())


class Formula:
    def __init__(self, function: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> None:
        self.function = function

    def run(self, batch: Batch) -> Scores:
        return Scores(values=self.function(np.asarray(batch.numeric)[:, 0]))

    def close(self) -> None:
        pass


def rows(values: NDArray[np.float64]) -> Batch:
    return Batch(rows=values.size, numeric=values.reshape(-1, 1), text=np.empty((values.size, 0), dtype=object))


def both(p: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack((1 - p, p), axis=1)


SPREAD = np.linspace(0.01, 0.99, 2_000)


def test_equal_answers_pass() -> None:
    parity = compare(Formula(both), Formula(lambda x: both(x + 1e-7)), BINARY, rows(SPREAD))
    assert (parity.reason, parity.label_flips, parity.rounding_rows, parity.rows) == ("", 0, 0, 2_000)
    assert parity.max_abs_difference == pytest.approx(1e-7, rel=1e-3)


def test_a_far_answer_fails_and_says_so() -> None:
    parity = compare(Formula(both), Formula(lambda x: both(x + 0.001)), BINARY, rows(SPREAD[SPREAD < 0.4]))
    assert "differ by more than the tolerance" in parity.reason


def test_a_changed_label_fails() -> None:
    parity = compare(Formula(both), Formula(lambda x: both(1 - x)), BINARY, rows(SPREAD))
    assert parity.label_flips == 2_000
    assert "labels changed" in parity.reason


def test_a_tie_is_no_flip() -> None:
    ties = np.full(10, 0.5)
    parity = compare(Formula(both), Formula(lambda x: both(x - 1e-8)), BINARY, rows(ties))
    assert (parity.label_flips, parity.reason) == (0, "")


def step(edge: float) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    return lambda x: np.where(x <= edge, 1.0, 2.0)


def narrow(function: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Formula:
    return Formula(lambda x: function(x.astype(np.float32).astype(np.float64)))


def test_rounding_rows_are_counted_and_allowed_up_to_a_thousandth() -> None:
    edge = 0.1 + 1e-9
    values = SPREAD.copy()
    values[0] = 0.1
    values[0] = np.nextafter(np.float64(np.float32(0.1)), 0.0)
    edge = values[0]
    few = compare(Formula(step(edge)), narrow(step(edge)), REGRESSION, rows(values))
    assert (few.rounding_rows, few.reason) == (1, "")
    values[:100] = values[0]
    many = compare(Formula(step(edge)), narrow(step(edge)), REGRESSION, rows(values))
    assert many.rounding_rows == 100
    assert "rounding edge" in many.reason


def test_a_model_that_looks_at_its_neighbours_is_refused() -> None:
    require_batch_invariance(Formula(both), rows(SPREAD[:80]))
    with pytest.raises(FormatError, match="among"):
        require_batch_invariance(Formula(lambda x: both(x - x.mean() + 0.5)), rows(SPREAD[:80]))
