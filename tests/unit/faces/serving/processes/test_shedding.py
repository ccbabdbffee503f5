"""Claims about refusing a share of the requests while the event loop is behind."""

from __future__ import annotations

import pytest

from kilter.errors import Overloaded
from kilter.faces.serving.processes.shedding import Shedder


class _Loop:
    """A loop whose time and lag are said."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.lag_s = 0.0
        self.shedder = Shedder(lambda: self.lag_s, now_s=lambda: self.now_s)

    def refused(self, requests: int = 100, *, within_s: float = 0.1) -> int:
        """Send requests spread over a time; return how many were refused."""
        count = 0
        for _ in range(requests):
            self.now_s += within_s / requests
            try:
                self.shedder.admit()
            except Overloaded:
                count += 1
        return count


def test_nothing_is_refused_while_the_loop_is_on_time() -> None:
    loop = _Loop()
    loop.lag_s = 0.049
    assert loop.refused(1_000, within_s=5.0) == 0
    assert (loop.shedder.share, loop.shedder.refused) == (0.0, 0)


def test_the_share_rises_while_the_loop_is_behind_and_falls_when_it_is_not() -> None:
    loop = _Loop()
    loop.lag_s = 0.2
    loop.refused(within_s=0.301)
    assert loop.shedder.share == pytest.approx(0.3)
    assert 25 <= loop.refused(within_s=0.09) <= 30
    loop.lag_s = 0.0
    loop.refused(within_s=0.1)
    assert loop.shedder.share == pytest.approx(0.15)
    loop.refused(within_s=2.0)
    assert (loop.shedder.share, loop.refused()) == (0.0, 0)


def test_refusals_are_spread_evenly() -> None:
    loop = _Loop()
    loop.lag_s = 1.0
    loop.refused(within_s=0.501)
    loop.now_s = 100.55
    outcomes = [loop.refused(1, within_s=0.0) for _ in range(20)]
    assert sum(outcomes) == 10
    assert max(sum(outcomes[start : start + 2]) for start in range(0, 20, 2)) == 1


def test_silence_is_no_overload() -> None:
    loop = _Loop()
    loop.refused(1, within_s=60.0)
    loop.lag_s = 1.0
    loop.refused(1, within_s=60.0)
    assert loop.shedder.share == pytest.approx(0.1)
    loop.lag_s = 0.0
    loop.refused(1, within_s=60.0)
    assert loop.shedder.share == 0.0
