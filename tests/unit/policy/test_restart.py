"""Claims about starting a process again."""

from __future__ import annotations

from kilter.policy.restart import delay_s, is_broken, patience_s


def test_the_delay_doubles_up_to_half_a_minute() -> None:
    assert [delay_s(falls, 0.0) for falls in (0, 1, 2, 8, 9, 10_000)] == [0.1, 0.2, 0.4, 25.6, 30.0, 30.0]


def test_the_jitter_moves_the_delay_by_a_fifth() -> None:
    assert (round(delay_s(0, 1.0), 9), round(delay_s(0, -1.0), 9)) == (0.12, 0.08)


def test_five_falls_within_a_minute_are_broken() -> None:
    assert not is_broken([0.0, 1.0, 2.0, 3.0], 4.0, was_broken=False)
    assert is_broken([0.0, 1.0, 2.0, 3.0, 4.0], 5.0, was_broken=False)
    assert not is_broken([0.0, 1.0, 2.0, 3.0, 61.0], 62.0, was_broken=False)


def test_broken_ends_a_minute_after_the_last_fall() -> None:
    falls = [0.0, 1.0, 2.0, 3.0, 30.0]
    assert is_broken(falls, 89.0, was_broken=True)
    assert not is_broken(falls, 90.0, was_broken=True)
    assert not is_broken([], 90.0, was_broken=True)


def test_patience_is_twice_the_deadline_and_five_seconds_at_least() -> None:
    assert (patience_s(0.2), patience_s(30.0)) == (5.0, 60.0)
