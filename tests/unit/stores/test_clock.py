"""Clocks tell the time, ids sort by it."""

from __future__ import annotations

import os
import threading
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from kilter.errors import StoreError
from kilter.stores.clock import ReplayClock, ReplayFile, SystemClock, UuidSource, replay_file

if TYPE_CHECKING:
    from pathlib import Path


class Hand:
    """A clock that is set by hand."""

    def __init__(self, ns: int) -> None:
        self.ns = ns

    def now(self) -> datetime:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=self.ns // 1_000)

    def time_ns(self) -> int:
        return self.ns


def test_the_system_clock_is_aware_and_agrees_with_itself() -> None:
    clock = SystemClock()
    now = clock.now()
    assert now.tzinfo is UTC
    assert abs(now.timestamp() - clock.time_ns() / 1e9) < 5


def test_a_replayed_clock_tells_what_was_set(tmp_path: Path) -> None:
    path = str(tmp_path / "clock")
    with replay_file(path, 1_000) as writer:
        clock = ReplayClock(path)
        assert clock.time_ns() == 1_000
        writer.set(1_700_000_000_123_456_789)
        assert clock.time_ns() == 1_700_000_000_123_456_789
        assert clock.now() == datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=UTC)
        clock.close()
    assert (tmp_path / "clock").read_bytes() == (1_700_000_000_123_456_789).to_bytes(8, "little")


def test_a_replay_never_goes_backwards(tmp_path: Path) -> None:
    path = str(tmp_path / "clock")
    with replay_file(path, 100) as writer:
        clock = ReplayClock(path)
        assert clock.time_ns() == 100
        with pytest.raises(ValueError, match="cannot go back from 100 to 99"):
            writer.set(99)
        with (tmp_path / "clock").open("r+b") as file:
            file.write((5).to_bytes(8, "little"))
        assert clock.time_ns() == 100
        clock.close()


def test_a_replay_is_taken_up_where_it_stood(tmp_path: Path) -> None:
    path = str(tmp_path / "clock")
    replay_file(path, 100).close()
    with replay_file(path, 50):
        clock = ReplayClock(path)
        assert clock.time_ns() == 100
        clock.close()
    with replay_file(path, 500):
        clock = ReplayClock(path)
        assert clock.time_ns() == 500
        clock.close()


def test_a_missing_clock_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be read") as caught:
        ReplayClock(str(tmp_path / "none"))
    assert caught.value.hint
    assert caught.value.where


@pytest.mark.parametrize("size_bytes", [0, 7, 9])
def test_a_file_of_another_size_is_no_clock(tmp_path: Path, size_bytes: int) -> None:
    path = tmp_path / "clock"
    path.write_bytes(b"\0" * size_bytes)
    with pytest.raises(StoreError, match=f"this file has {size_bytes}"):
        ReplayFile(str(path))


def test_a_clock_cannot_be_made_where_there_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be made"):
        replay_file(str(tmp_path / "none" / "clock"))


def test_a_closed_clock_says_so(tmp_path: Path) -> None:
    path = str(tmp_path / "clock")
    replay_file(path).close()
    clock = ReplayClock(path)
    clock.close()
    with pytest.raises(StoreError, match="closed"):
        clock.time_ns()


def test_ids_are_uuids_of_version_7_with_the_time_in_front() -> None:
    name = UuidSource(Hand(1_700_000_000_123_000_000)).new("prd")
    prefix, _, text = name.partition("_")
    parsed = uuid.UUID(text)
    assert (prefix, parsed.version, parsed.variant) == ("prd", 7, uuid.RFC_4122)
    assert parsed.int >> 80 == 1_700_000_000_123
    assert str(parsed) == text


def test_without_prefix_the_id_is_the_bare_uuid() -> None:
    assert uuid.UUID(UuidSource(SystemClock()).new("")).version == 7


def test_ids_sort_by_their_making_while_the_clock_stands_still() -> None:
    source = UuidSource(Hand(1_000_000_000))
    made = [source.new("") for _ in range(10_000)]  # more than the counter holds
    assert made == sorted(set(made))


def test_ids_sort_by_their_making_when_the_clock_goes_back() -> None:
    clock = Hand(2_000_000_000)
    source = UuidSource(clock)
    first = source.new("")
    clock.ns = 1_000_000_000
    second = source.new("")
    clock.ns = 3_000_000_000
    assert first < second < source.new("")


def test_two_sources_at_one_time_make_different_ids() -> None:
    clock = Hand(1_000_000_000)
    first, second = UuidSource(clock), UuidSource(clock)
    assert not {first.new("") for _ in range(1_000)} & {second.new("") for _ in range(1_000)}


def test_threads_never_share_an_id() -> None:
    source = UuidSource(Hand(1_000_000_000))
    made: list[str] = []
    threads = [threading.Thread(target=lambda: made.extend([source.new("") for _ in range(2_000)])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 8_000


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_makes_other_ids() -> None:
    source = UuidSource(Hand(1_000_000_000))
    source.new("")
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writing, source.new("").encode())
        os._exit(0)
    os.waitpid(pid, 0)
    child = os.read(reading, 100).decode()
    os.close(reading)
    os.close(writing)
    assert len(child) == 36
    assert child[19:] != source.new("")[19:]
