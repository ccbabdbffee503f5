from __future__ import annotations

import pytest

from kilter.contracts.monitor import LabelCoverage
from kilter.policy import windows


def coverage(joined: int, predictions: int = 100) -> LabelCoverage:
    return LabelCoverage(predictions=predictions, joined=joined, pending=predictions - joined, missing=0)


def test_the_grid_does_not_depend_on_the_first_second() -> None:
    assert windows.grid_start(7_201, 3_600) == windows.grid_start(10_799, 3_600) == 7_200


@pytest.mark.parametrize(
    ("counts", "taken"),
    [([500], 1), ([499], None), ([], None), ([100] * 5, 5), ([0] * 24, 24), ([0] * 23, None), ([0] * 30, 24)],
)
def test_windows_grow_while_they_have_too_few_rows(counts: list[int], taken: int | None) -> None:
    assert windows.window_count(counts, min_rows=500) == taken


def test_a_declared_delay_is_the_horizon() -> None:
    assert windows.horizon_s(100.0, [5.0], window_s=10.0) == 100.0


def test_a_learned_delay_is_taken_with_a_margin() -> None:
    assert windows.horizon_s(None, [100.0, 200.0, 300.0], window_s=10.0) == 300.0
    assert windows.horizon_s(None, [1.0], window_s=10.0) == 10.0


def test_nothing_learned_means_seven_windows() -> None:
    assert windows.horizon_s(None, [], window_s=10.0) == 70.0


def test_a_window_matures_by_labels_or_by_age() -> None:
    assert windows.is_mature(coverage(80), age_s=0, horizon_s=10)
    assert not windows.is_mature(coverage(79), age_s=0, horizon_s=10)
    assert windows.is_mature(coverage(0), age_s=10, horizon_s=10)
    assert not windows.is_mature(coverage(0, 0), age_s=0, horizon_s=10)


def test_looks_become_rarer_with_age() -> None:
    assert windows.check_again_s(10_000.0, window_s=100.0) == 1_000.0
    assert windows.check_again_s(0.0, window_s=100.0) == 25.0
