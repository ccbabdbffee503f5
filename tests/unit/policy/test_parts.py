from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from kilter.contracts.log import LogPart
from kilter.policy.parts import live, merges

NOW = datetime(2026, 1, 3, tzinfo=UTC)
MIB = 1024**2


def part(number: int, *, date: str = "2026-01-01", kind: str = "prediction", mib: float = 0.1) -> LogPart:
    return LogPart(
        id=f"part_{number:04d}",
        deployment="ward",
        kind=kind,
        date=date,
        path=f"{number}.parquet",
        rows=1_000,
        size_bytes=int(mib * MIB),
        min_ts_ns=number,
        max_ts_ns=number,
        created_at=NOW,
        records=1_000,
    )


def numbers(groups: tuple[tuple[LogPart, ...], ...]) -> list[list[int]]:
    return [[part.min_ts_ns for part in group] for group in groups]


def test_superseded_parts_are_not_read() -> None:
    assert live([part(1), replace(part(2), superseded_at=NOW)]) == (part(1),)


def test_a_list_that_holds_a_part_twice_over_counts_it_once() -> None:
    made = replace(part(9), replaces=(part(1).id, part(2).id))
    assert live([part(1), part(2), part(3), made]) == (part(3), made)


def test_all_small_parts_of_a_day_that_is_over_become_one() -> None:
    parts = [part(2), part(1), part(3, mib=63), part(4, mib=64)]
    assert numbers(merges(parts, today="2026-01-02")) == [[1, 2, 3]]


def test_the_running_day_waits_for_enough_parts_of_one_size() -> None:
    today = [part(i, date="2026-01-02") for i in range(15)]
    larger = [part(20 + i, date="2026-01-02", mib=2) for i in range(15)]
    assert merges([*today, *larger], today="2026-01-02") == ()
    assert numbers(merges([*today, part(15, date="2026-01-02"), *larger], today="2026-01-02")) == [list(range(16))]
    ahead = [part(i, date="2026-01-03") for i in range(3)]
    assert merges(ahead, today="2026-01-02") == ()


def test_parts_of_different_kinds_and_days_are_kept_apart() -> None:
    parts = [part(1), part(2, kind="feedback"), part(3, date="2025-12-31"), part(4, kind="feedback")]
    assert numbers(merges(parts, today="2026-01-02")) == [[2, 4]]


def test_no_group_is_larger_than_what_fits_into_memory() -> None:
    by_size = merges([part(i, mib=60) for i in range(9)], today="2026-01-02")
    assert numbers(by_size) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    by_rows = merges([replace(part(i), rows=200_000) for i in range(5)], today="2026-01-02")
    assert numbers(by_rows) == [[0, 1], [2, 3]]
