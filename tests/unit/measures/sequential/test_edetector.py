from __future__ import annotations

import math

import numpy as np
import pytest

from kilter.contracts.monitor import SignalState
from kilter.errors import InvalidRequest
from kilter.measures.sequential import edetector, evalue


def run(shares: list[float], *, signals: int, seed: int, threshold: float) -> int | None:
    """Return the window of the first alarm of a family that watches error rates against .12."""
    rng = np.random.default_rng(seed)
    states = [SignalState()] * signals
    for window, share in enumerate(shares):
        rates = [share if signal == 0 else 0.10 for signal in range(signals)]
        states = [
            edetector.step(
                state, evalue.cells(np.array([200 - (k := rng.binomial(200, rate)), k]), np.array([-0.12, 0.88]))
            )
            for state, rate in zip(states, rates, strict=True)
        ]
        if edetector.family(states) >= math.log(threshold):
            return window
    return None


def test_a_family_stays_silent_while_nothing_changes() -> None:
    alarms = [run([0.10] * 300, signals=5, seed=seed, threshold=300) for seed in range(8)]
    assert sum(alarm is not None for alarm in alarms) == 0


def test_false_alarms_at_the_edge_of_the_null_keep_the_budget() -> None:
    # At the least favourable rate the mean time to a false alarm is at least the threshold: here 200 windows.
    alarms = [run([0.12] * 200, signals=1, seed=seed, threshold=200) for seed in range(20)]
    assert sum(alarm is not None for alarm in alarms) <= 20 * 200 / 200 * 0.6


def test_a_planted_change_is_found_soon() -> None:
    delays = [run([0.10] * 50 + [0.25] * 20, signals=5, seed=seed, threshold=5_000) for seed in range(5)]
    assert all(delay is not None and 50 <= delay <= 54 for delay in delays)


def test_the_change_point_is_near_the_truth() -> None:
    rng = np.random.default_rng(1)
    state = SignalState()
    for window in range(60):
        k = int(rng.binomial(200, 0.10 if window < 50 else 0.25))
        state = edetector.step(state, evalue.cells(np.array([200 - k, k]), np.array([-0.12, 0.88])))
    assert abs(edetector.change_point(state) - 10) <= 1


def test_the_statistic_is_shiryaev_roberts() -> None:
    state, expected = SignalState(), 0.0
    for log_e in (0.5, -0.3, 40.0, 1.0):
        state = edetector.step(state, log_e)
        expected = (1 + expected) * math.exp(log_e)
        assert state.log_r == pytest.approx(math.log(expected))


def test_evidence_is_capped_and_nan_is_refused() -> None:
    state = edetector.step(edetector.step(SignalState(), 1e9), 1e9)
    assert state.log_r == pytest.approx(math.log(1e300))
    with pytest.raises(InvalidRequest):
        edetector.step(SignalState(), math.nan)


def test_a_family_is_the_weighted_mean() -> None:
    states = [SignalState(log_r=math.log(2)), SignalState(log_r=math.log(8))]
    assert edetector.family(states, [0.5, 0.5]) == pytest.approx(math.log(5))
    assert edetector.family(states, [1.0, 0.0]) == pytest.approx(math.log(2))
    with pytest.raises(InvalidRequest):
        edetector.family(states, [1.0])


def test_a_family_without_evidence_is_nothing() -> None:
    assert edetector.family([SignalState()]) == -math.inf
