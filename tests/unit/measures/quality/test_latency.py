"""Call times have order-statistic intervals."""

from __future__ import annotations

import numpy as np
import pytest

from kilter.contracts.check import CheckInputs
from kilter.measures.quality.latency import latency_ms, run
from kilter.testing.cases import REGRESSION, bounds


def test_half_and_tail_are_measured() -> None:
    half, tail = run(CheckInputs(signature=REGRESSION, durations_ms=np.linspace(1.0, 2.0, 380)))
    assert (half.metric, tail.metric) == ("latency_p50_ms", "latency_p99_ms")
    low, estimate, high = bounds(half)
    assert low < estimate < high
    assert half.estimate == pytest.approx(1.5, abs=0.01)
    assert tail.interval_method == "order"


def test_few_calls_cannot_bound_the_tail() -> None:
    half, tail = run(CheckInputs(signature=REGRESSION, durations_ms=np.linspace(1.0, 2.0, 50)))
    assert half.estimate is not None
    assert (tail.not_evaluated or "").startswith("too_few_rows: 50 calls")


def test_the_low_end_is_a_time() -> None:
    assert latency_ms(np.array([3.0, 4.0]), 0.5) == (3.0, 0.0, float("inf"))


@pytest.mark.parametrize("durations", [None, np.array([])])
def test_without_calls_there_is_no_reading(durations: np.ndarray | None) -> None:
    readings = run(CheckInputs(signature=REGRESSION, durations_ms=durations))
    assert [reading.estimate for reading in readings] == [None, None]
