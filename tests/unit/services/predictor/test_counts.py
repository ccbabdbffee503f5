"""Claims about what the predictor counts."""

from __future__ import annotations

import gc
import time
from types import SimpleNamespace
from typing import Any

import pytest

from kilter.contracts.prediction import Arm, Flag
from kilter.errors import ModelFailed
from kilter.services.predictor._counts import Counts
from kilter.testing.meters import MemoryMeters, NullMeters


def _call(flags: int = 0, arm: Arm = Arm.CHALLENGER) -> Any:  # noqa: ANN401 - stands for a Call
    return SimpleNamespace(
        flags=flags,
        assignment=SimpleNamespace(arm=arm),
        target=SimpleNamespace(series={}),
        variant=SimpleNamespace(number=7, name="7"),
        face="oip",
        route=SimpleNamespace(deployment="churn"),
        batch=SimpleNamespace(rows=3),
        started_ns=time.perf_counter_ns(),
        compute_ns=11,
        queue_ns=5,
    )


class _Lane:
    """Stands for the lane of a version with a process of its own."""

    def __init__(self, name: str) -> None:
        self.variant = SimpleNamespace(name=name)
        self.falls = 0
        self.stats = SimpleNamespace(quarantined=0)


def test_an_answer_counts_under_its_version_arm_and_face() -> None:
    meters, call = MemoryMeters(), _call()
    counts = Counts(meters)
    counts.answered(call)
    counts.answered(call)
    (series,) = meters.by_series.values()
    assert list(meters.by_series) == [("churn", "7", "challenger", "oip")]
    for rows, total_ns, compute_ns, queue_ns in series.answers:
        assert (rows, compute_ns, queue_ns) == (3, 11, 5)
        assert 0 < total_ns < 60_000_000_000
    assert meters.by_slot == {}


def test_an_answer_of_the_fallback_counts_for_neither_arm() -> None:
    meters = MemoryMeters()
    Counts(meters).answered(_call(flags=int(Flag.FALLBACK)))
    assert list(meters.by_series) == [("churn", "7", "fallback", "oip")]


def test_an_unseen_category_is_counted() -> None:
    meters = MemoryMeters()
    Counts(meters).answered(_call(flags=int(Flag.UNSEEN_LEVEL | Flag.UNSTICKY)))
    assert meters.value("kilter_unseen_category_total", "churn", "7") == 1


def test_a_failure_counts_once_and_says_so() -> None:
    meters, error = MemoryMeters(), ModelFailed("it failed")
    Counts(meters).failed(_call(), error)
    assert meters.by_series["churn", "7", "challenger", "oip"].failures == ["model.failed"]
    assert error.is_counted


def test_a_dropped_shadow_is_counted() -> None:
    meters = MemoryMeters()
    Counts(meters).dropped(_call())
    assert meters.value("kilter_shadow_dropped_total", "churn") == 1


def test_what_befell_processes_is_counted_once_also_over_swaps() -> None:
    meters = MemoryMeters()
    counts = Counts(meters)
    old: Any = _Lane("7")
    old.falls = 2
    counts.processes([("churn", old)])
    counts.processes([("churn", old)])
    old.falls, old.stats.quarantined = 3, 1
    counts.processes([("churn", old)])
    del old
    gc.collect()
    new: Any = _Lane("7")  # loaded again after a swap: it counts from 0
    new.falls = 1
    counts.processes([("churn", new)])
    assert meters.value("kilter_worker_restarts_total", "churn", "7") == 4
    assert meters.value("kilter_quarantined_total", "churn", "7") == 1


@pytest.mark.parametrize("meters", [None, NullMeters()])
def test_without_meters_nothing_is_counted_and_nothing_fails(meters: NullMeters | None) -> None:
    counts, error, lane = Counts(meters), ModelFailed("it failed"), _Lane("7")
    lane.falls = 1
    counts.answered(_call())
    counts.failed(_call(), error)
    counts.dropped(_call())
    counts.processes([("churn", lane)])  # type: ignore[list-item]  # stands for a lane
    assert error.is_counted == (meters is not None)
