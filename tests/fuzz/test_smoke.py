"""Claims about hostile input, made on a real node; ``make fuzz`` makes the same with many more requests."""

from __future__ import annotations

from tests.fuzz.__main__ import fuzz
from tests.fuzz.mutation import Cases

_SEED = 7
_GROWTH_BYTES = 64 * 2**20  # a sample ends before the node is warm


def test_hostile_bytes_are_answered_and_leave_no_trace() -> None:
    outcome, faults = fuzz(seed=_SEED, cases=range(2_000), growth_bytes=_GROWTH_BYTES)
    assert faults == []
    assert outcome.cases == 2_000
    assert outcome.statuses["200"] > 500  # most of what is sent is understood, or nothing was tried
    assert outcome.statuses["400"] > 200
    assert outcome.statuses["raw 400"] > 50
    assert outcome.statuses["grpc OK"] > 10
    assert outcome.statuses["grpc INVALID_ARGUMENT"] > 10


def test_both_paths_through_the_server_answer_alike() -> None:
    outcome, faults = fuzz(seed=_SEED, cases=range(600), is_differential=True, growth_bytes=_GROWTH_BYTES)
    assert faults == []
    assert outcome.compared > 400


def test_a_case_can_be_made_again() -> None:
    assert [Cases(_SEED).case(number) for number in range(200, 300)] == [
        Cases(_SEED).case(number) for number in range(200, 300)
    ]
    assert Cases(_SEED).case(250) != Cases(_SEED + 1).case(250)
