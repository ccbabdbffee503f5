from __future__ import annotations

import numpy as np
import pytest

from kilter.errors import SchemaMismatch
from kilter.measures.drift import ks


def counts(*cells: int) -> np.ndarray:
    return np.array(cells, dtype=np.int64)


def test_equal_shares_are_no_distance() -> None:
    reading = ks.measure(counts(500, 300, 200), counts(50, 30, 20))
    assert reading.estimate == pytest.approx(0, abs=1e-12)
    assert reading.low == 0


def test_a_constant_column_is_at_zero() -> None:
    assert ks.measure(counts(500), counts(50)).estimate == pytest.approx(0, abs=1e-12)


def test_a_planted_shift_is_found() -> None:
    reading = ks.measure(counts(500, 300, 200), counts(200, 300, 500))
    assert (reading.low or 0) > 0.02
    assert (reading.low or 0) <= (reading.estimate or 0) <= (reading.high or 0)


def test_an_empty_sample_is_no_data() -> None:
    assert (ks.measure(counts(5, 5), counts(0, 0)).not_evaluated or "").startswith("no_data: the window")
    assert (ks.measure(counts(0, 0), counts(5, 5)).not_evaluated or "").startswith("no_data: the reference")


def test_other_cells_or_negative_counts_are_refused() -> None:
    with pytest.raises(SchemaMismatch):
        ks.measure(counts(5, 5), counts(5, 5, 5))
    with pytest.raises(SchemaMismatch):
        ks.measure(counts(5, -5), counts(5, 5))


def test_inputs_are_not_changed() -> None:
    p, q = counts(5, 5), counts(9, 1)
    p.setflags(write=False)
    q.setflags(write=False)
    ks.measure(p, q, subject="column:a")


def test_the_band_covers_the_truth() -> None:
    rng = np.random.default_rng(5)
    shares = np.full(20, 0.05)
    readings = [ks.measure(rng.multinomial(1_000, shares), rng.multinomial(400, shares)) for _ in range(200)]
    assert np.mean([(one.low or 0) == 0 for one in readings]) >= 0.95
