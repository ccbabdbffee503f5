"""Few and young files, every row once, whatever happens on the way."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest

from kilter.contracts.log import LogPart, LogSegment, Room, RowQuery, SegmentInfo
from kilter.errors import StoreError
from kilter.services.caretaker import Caretaker, Tended
from kilter.stores.clock import SystemClock
from kilter.stores.memory import MemoryMetadata
from kilter.stores.parquet import ParquetTable, PartFiles
from kilter.stores.segments import SegmentFolder
from kilter.testing.log import START_NS, feedback, prediction, request_id, schema

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from kilter.contracts.metadata import WriteTx
    from kilter.contracts.prediction import LogRecord

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)  # the records are of the first of January
END_NS = START_NS + 10**15


class MachineClock:
    def __init__(self) -> None:
        self.at = SystemClock().now()

    def now(self) -> datetime:
        return self.at

    def time_ns(self) -> int:
        return int(self.at.timestamp() * 1e9)


class Full(SegmentFolder):
    """A folder on a disk with little room."""

    free_bytes = 2**20

    def _room(self) -> Room:
        return Room(free_bytes=self.free_bytes, total_bytes=2**40)


class House:
    """Parts of one day, as many collections have left them."""

    def __init__(self, folder: Path, parts: PartFiles | None = None) -> None:
        self.folder = folder
        self.metadata = MemoryMetadata()
        self.table = ParquetTable(folder / "tables")
        self.clock = MachineClock()
        self.segments = SegmentFolder(folder / "log")
        self.parts = parts or PartFiles(folder / "tables")
        self.caretaker = self.made()

    def made(self) -> Caretaker:
        return Caretaker(metadata=self.metadata, parts=self.parts, segments=self.segments, machine=self.clock)

    def collect(self, *numbers: int) -> None:
        name = f"s{numbers}"
        info = SegmentInfo(id=name, path="", digest=name, size_bytes=1, records=0, min_ts_ns=0, max_ts_ns=0)
        records: list[LogRecord] = [schema()]
        records += [prediction(i, rows=2) for i in numbers]
        records += [feedback(i) for i in numbers]
        made = self.table.write([info], iter(records), NOW)
        segment = LogSegment(id=name, digest=name, records=2 * len(numbers), compacted_at=NOW)

        def commit(tx: WriteTx) -> None:
            tx.add(segment)
            for part in made:
                tx.add(part)

        self.metadata.write(commit)

    def rows(self) -> list[LogPart]:
        return list(self.metadata.read(lambda tx: tx.list(LogPart, limit=5_000)))

    def read(self, parts: Sequence[LogPart] | None = None) -> tuple[list[str], list[object]]:
        query = RowQuery(deployment="ward", start_ns=START_NS, end_ns=END_NS)
        found = self.table.rows(self.rows() if parts is None else parts, query)
        return np.asarray(found.ids).tolist(), np.asarray(found.labels).tolist()

    def files(self) -> int:
        return len(list((self.folder / "tables").rglob("*.parquet")))

    def later(self, **span: float) -> Tended:
        self.clock.at += timedelta(**span)
        return self.caretaker.tend(NOW)


@pytest.fixture
def house(tmp_path: Path) -> House:
    house = House(tmp_path)
    for i in range(1, 6):
        house.collect(i, i + 10)
    return house


def test_small_parts_become_one_and_nothing_else_changes(house: House) -> None:
    before = house.read()
    old = house.rows()
    assert house.caretaker.tend(NOW) == Tended(merged=10, made=2, deleted=0)
    live = [part for part in house.rows() if part.superseded_at is None]
    assert sorted((part.kind, part.rows, part.records) for part in live) == [
        ("feedback", 10, 10),
        ("prediction", 20, 10),
    ]
    assert house.read() == before
    assert house.read(old) == before  # who listed them before goes on reading
    assert house.read([*old, *live]) == before  # who listed them meanwhile counts nothing twice
    assert len(before[0]) == 20
    record = house.table.find(house.rows(), request_id(3))
    assert record is not None
    assert record._replace(prediction_id="") == prediction(3, rows=2)._replace(prediction_id="")


def test_superseded_files_go_after_an_hour(house: House) -> None:
    house.caretaker.tend(NOW)
    assert house.files() == 12
    assert house.later(minutes=30).deleted == 0
    assert house.later(minutes=31).deleted == 10
    assert house.files() == 2
    assert all((part.deleted_at is None) == (part.superseded_at is None) for part in house.rows())
    assert house.later(hours=25) == Tended()
    assert len(house.read()[0]) == 20


def test_files_without_a_row_go_after_a_day(house: House) -> None:
    (path,) = {path.parent for path in (house.folder / "tables").rglob("*.parquet") if "predictions" in str(path)}
    for name in ("0123.parquet", ".0123.parquet.77.abcd"):
        (path / name).write_bytes(b"half of it")
    house.caretaker.tend(NOW)
    assert (path / "0123.parquet").exists()
    yesterday = house.clock.at.timestamp() - 90_000
    for name in ("0123.parquet", ".0123.parquet.77.abcd"):
        os.utime(path / name, (yesterday, yesterday))
    assert house.later(minutes=11).deleted == 2
    assert len(house.read()[0]) == 20


def test_the_files_are_looked_at_every_ten_minutes_only(house: House) -> None:
    house.caretaker.tend(NOW)
    house.collect(21)
    house.collect(22)
    assert house.later(minutes=9) == Tended()
    assert house.later(minutes=2).made == 2


def test_the_running_day_is_left_alone_until_it_has_many_parts(house: House) -> None:
    assert house.caretaker.tend(NOW - timedelta(days=1)) == Tended()


def test_many_merges_are_spread_over_several_turns(tmp_path: Path) -> None:
    house = House(tmp_path)
    for i in range(1, 4):
        house.collect(*(i + day * 86_400 for day in range(3)))
    turns = [house.caretaker.tend(NOW + timedelta(days=9)).made for _ in range(3)]
    assert turns == [4, 2, 0]


def test_the_account_is_even_before_and_after(house: House) -> None:
    first = house.caretaker.ledger()
    assert (first.segments, first.logged, first.parts, first.kept, first.doubles) == (5, 20, 10, 20, 0)
    assert first.is_even
    house.caretaker.tend(NOW)
    house.later(hours=2)
    second = house.caretaker.ledger()
    assert (second.parts, second.logged, second.kept) == (2, 20, 20)
    assert not replace(second, kept=19).is_even


class Killed(BaseException):
    """The process ends here."""


class Fragile(PartFiles):
    """Part files under a process that ends at a certain call."""

    left = 0

    def _burn(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed

    def merge(self, parts: Sequence[LogPart], now: datetime) -> LogPart:
        self._burn()
        made = super().merge(parts, now)
        self._burn()
        return made

    def remove(self, part: LogPart) -> None:
        self._burn()
        super().remove(part)
        self._burn()


def test_killed_at_any_step_every_row_is_read_once(tmp_path: Path) -> None:
    for step in range(1, 40):
        parts = Fragile(tmp_path / str(step) / "tables")
        house = House(tmp_path / str(step), parts)
        for i in range(1, 4):
            house.collect(i)
        before = house.read()
        parts.left = step
        is_over = False
        try:
            house.caretaker.tend(NOW)
            house.later(hours=2)
            is_over = True
        except Killed:
            house.caretaker = house.made()
        assert house.read() == before
        parts.left = -1
        house.later(hours=2)
        house.later(hours=30)
        assert house.read() == before
        assert house.files() == 2
        if is_over:
            assert step > 10
            return
    pytest.fail("it never came to its end")


class Overtaken(PartFiles):
    """Part files under a process that is slower than another one."""

    meanwhile: Callable[[], object] | None = None

    def merge(self, parts: Sequence[LogPart], now: datetime) -> LogPart:
        made = super().merge(parts, now)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return made


def test_two_at_a_time_do_no_harm(tmp_path: Path) -> None:
    parts = Overtaken(tmp_path / "tables")
    house = House(tmp_path, parts)
    for i in range(1, 4):
        house.collect(i)
    before = house.read()
    parts.meanwhile = lambda: house.made().tend(NOW)
    assert house.caretaker.tend(NOW) == Tended()
    assert house.read() == before
    assert len([part for part in house.rows() if part.superseded_at is None]) == 2


def test_little_room_is_an_error_after_everything_is_done_and_takes_retired_segments(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.segments = Full(tmp_path / "log")
    house.caretaker = house.made()
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "w0-x.done").write_bytes(b"retired a moment ago")
    house.collect(1)
    house.collect(2)
    with pytest.raises(StoreError, match=r"nearly full: 1\.0 MiB are free"):
        house.caretaker.tend(NOW)
    assert house.caretaker.ledger().parts == 2
    assert not (tmp_path / "log" / "w0-x.done").exists()
    Full.free_bytes = 2**40
    assert house.caretaker.tend(NOW) == Tended()
