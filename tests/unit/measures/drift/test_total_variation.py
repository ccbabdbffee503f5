from __future__ import annotations

import numpy as np
import pytest

from kilter.errors import SchemaMismatch
from kilter.measures.drift import total_variation


def counts(*cells: int) -> np.ndarray:
    return np.array(cells, dtype=np.int64)


def test_equal_shares_are_no_distance() -> None:
    reading = total_variation.measure(counts(500, 300, 200), counts(50, 30, 20))
    assert reading.estimate == pytest.approx(0, abs=1e-12)
    assert reading.low == 0


def test_a_constant_column_is_at_zero() -> None:
    assert total_variation.measure(counts(500), counts(50)).estimate == pytest.approx(0, abs=1e-12)


def test_a_planted_shift_is_found() -> None:
    reading = total_variation.measure(counts(500, 300, 200), counts(200, 300, 500))
    assert (reading.low or 0) > 0.02
    assert (reading.low or 0) <= (reading.estimate or 0) <= (reading.high or 0)


def test_an_empty_sample_is_no_data() -> None:
    assert (total_variation.measure(counts(5, 5), counts(0, 0)).not_evaluated or "").startswith("no_data: the window")
    assert (total_variation.measure(counts(0, 0), counts(5, 5)).not_evaluated or "").startswith(
        "no_data: the reference"
    )


def test_other_cells_or_negative_counts_are_refused() -> None:
    with pytest.raises(SchemaMismatch):
        total_variation.measure(counts(5, 5), counts(5, 5, 5))
    with pytest.raises(SchemaMismatch):
        total_variation.measure(counts(5, -5), counts(5, 5))


def test_inputs_are_not_changed() -> None:
    p, q = counts(5, 5), counts(9, 1)
    p.setflags(write=False)
    q.setflags(write=False)
    total_variation.measure(p, q, subject="column:a")


@pytest.mark.parametrize(("cells", "n"), [(3, 500), (10, 2_000), (60, 2_000)])
def test_the_corrected_value_has_mean_zero_without_drift(cells: int, n: int) -> None:
    rng = np.random.default_rng(cells)
    shares = rng.dirichlet(np.full(cells, 5.0))
    pairs = [(rng.multinomial(n * 2, shares), rng.multinomial(n, shares)) for _ in range(300)]
    raw = np.array([float(total_variation.measure(p, q).extra["raw"] or 0) for p, q in pairs])
    assert abs(raw.mean()) <= 3 * raw.std() / np.sqrt(raw.size) + 0.05 * abs(raw).mean()
