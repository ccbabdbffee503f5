from __future__ import annotations

import numpy as np
import pytest

from kilter.errors import SchemaMismatch
from kilter.measures.drift import missing


def test_the_share_stands_beside_the_references() -> None:
    reading = missing.measure(np.array([95, 5]), np.array([60, 40]), subject="column:a")
    assert reading.estimate == 0.4
    assert (reading.low or 0) < 0.4 < (reading.high or 0)
    assert reading.extra["reference_share"] == 0.05


def test_no_rows_are_no_data() -> None:
    assert missing.measure(np.array([5, 5]), np.array([0, 0])).estimate is None


def test_other_shapes_are_refused() -> None:
    with pytest.raises(SchemaMismatch):
        missing.measure(np.array([5, 5]), np.array([0, 0, 1]))
