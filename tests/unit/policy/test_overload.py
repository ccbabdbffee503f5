"""Claims about refusing work at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilter.errors import Overloaded
from kilter.policy.overload import (
    QUEUE_BYTES,
    QUEUE_ROWS,
    Waiting,
    best_goodput,
    next_share,
    refusal,
    remainder_s,
    retry_after_s,
    spread,
    wait_s,
)


def _judged(ahead: Waiting, *, rows: int = 1, size_bytes: int = 8, cost_s: float = 0.01, slack_s: float = 1.0) -> int:
    """Return the seconds of ``Retry-After``, 0 if the request may wait."""
    error = refusal(ahead, rows=rows, size_bytes=size_bytes, cost_s=cost_s, slack_s=slack_s)
    if error is None:
        return 0
    assert isinstance(error, Overloaded)
    assert error.hint is not None
    return int(error.retry_after_s)


def test_the_wait_is_queued_cost_over_workers_and_the_rest_of_what_runs() -> None:
    assert wait_s(Waiting(rows=9, work_s=3.0, running_s=0.5, workers=2)) == 2.0


def test_what_is_overdue_is_not_believed_to_end_soon() -> None:
    assert remainder_s(1.0, 0.25) == 0.75
    assert remainder_s(1.0, 7.0) == 6.0


def test_a_wait_beyond_the_deadline_is_refused_with_the_wait() -> None:
    assert _judged(Waiting(rows=5, work_s=0.9)) == 0
    assert _judged(Waiting(rows=5, work_s=0.995)) == 1
    assert _judged(Waiting(rows=5, work_s=6.4)) == 7
    assert _judged(Waiting(rows=5, work_s=0.0), slack_s=-0.5) == 1


def test_an_idle_version_always_takes_a_request() -> None:
    assert _judged(Waiting(), cost_s=50.0) == 0


def test_what_hangs_is_something_ahead() -> None:
    assert _judged(Waiting(running_s=4.0)) == 4


def test_the_queue_is_bounded_in_rows_and_bytes() -> None:
    assert _judged(Waiting(rows=QUEUE_ROWS - 1)) == 0
    assert _judged(Waiting(rows=QUEUE_ROWS)) == 1
    assert _judged(Waiting(rows=1, size_bytes=QUEUE_BYTES), size_bytes=1) == 1


def test_the_wait_is_rounded_up_to_a_whole_second() -> None:
    assert [retry_after_s(seconds) for seconds in (0.0, 0.9, 1.0, 1.2)] == [1, 1, 1, 2]


def test_the_share_rises_by_steps_and_falls_by_halves() -> None:
    share, seen = 0.0, []
    for lag_s in (0.06, 0.06, 0.06, 0.04, 0.024, 0.0):
        share = next_share(share, lag_s)
        seen.append(round(share, 3))
    assert seen == [0.1, 0.2, 0.3, 0.3, 0.15, 0.075]
    assert next_share(0.95, 1.0) == 1.0
    assert next_share(0.0, 0.0) == 0.0


@given(st.floats(0.0, 1.0), st.integers(1, 500))
def test_exactly_the_share_is_refused(share: float, n: int) -> None:
    credit, refused = 0.0, 0
    for _ in range(n):
        is_refused, credit = spread(credit, share)
        refused += is_refused
        assert 0.0 <= credit < 1.0
    assert abs(refused - n * share) < 1.0 + 1e-6


def test_the_best_goodput_is_what_refusing_leaves() -> None:
    assert best_goodput(1.0, 0.2) == 1.0
    assert best_goodput(3.0, 0.2) == pytest.approx(0.5)
    assert best_goodput(3.0, 0.0) == 1.0
    assert best_goodput(10.0, 0.2) == 0.0
