"""Claims about the delay of an event loop."""

from __future__ import annotations

import asyncio
import time

from kilter.faces.serving.metrics.lag import LoopLag
from kilter.testing.meters import MemorySlot


def test_one_long_delay_is_no_overload() -> None:
    lag = LoopLag()
    for tick in range(20):
        lag.note(tick * 0.01, 0.0)
    lag.note(1.0, 0.8)
    assert lag.minimum_s == 0.0
    assert lag.maximum_s == 0.8


def test_a_loop_that_is_late_every_time_is_overloaded_however_long_its_turns_are() -> None:
    lag = LoopLag()
    for turn in range(1, 4):
        lag.note(turn * 0.3, 0.29)
    assert lag.minimum_s == 0.29
    for tick in range(20):
        lag.note(1.0 + tick * 0.07, 0.06)
    assert lag.minimum_s == 0.06


def test_the_least_delay_is_that_of_the_last_hundred_milliseconds() -> None:
    lag = LoopLag()
    lag.note(0.0, 0.0)
    for tick in range(1, 12):
        lag.note(tick * 0.02, 0.051)
        assert lag.minimum_s == (0.0 if tick <= 5 else 0.051)
    lag.note(0.23, 0.001)
    assert lag.minimum_s == 0.001


def test_the_longest_delay_is_shown_for_five_to_ten_seconds() -> None:
    slot = MemorySlot()
    lag = LoopLag(slot)
    lag.note(1.0, 0.25)
    for second in range(2, 5):
        lag.note(float(second), 0.001)
        assert slot.value == 250_000_000
    lag.note(5.5, 0.002)
    assert lag.maximum_s == 0.25
    lag.note(10.6, 0.003)
    assert slot.value == 3_000_000
    assert lag.maximum_s == 0.003


def test_a_blocked_loop_is_noticed_and_a_stopped_watch_is_silent() -> None:
    async def blocked() -> tuple[float, float]:
        slot = MemorySlot()
        lag = LoopLag(slot)
        lag.start(asyncio.get_running_loop())
        for _ in range(4):
            await asyncio.sleep(0.001)
            time.sleep(0.06)  # noqa: ASYNC251 - the point
        await asyncio.sleep(0)
        seen, shown = lag.maximum_s, slot.value
        assert shown == int(seen * 1e9)
        lag.stop()
        lag.stop()
        assert lag.minimum_s == 0.0
        await asyncio.sleep(0.03)
        return seen, lag.maximum_s

    seen, later = asyncio.run(blocked())
    assert seen > 0.03
    assert later == seen
