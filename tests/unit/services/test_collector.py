"""Every acknowledged record ends up in committed parts exactly once, whatever happens on the way."""

# ruff: noqa: ANN401 - stand-ins pass calls on, whatever they are

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from kilter.contracts.log import LogPart, LogSegment, RowQuery
from kilter.contracts.route import AcceptorStatus
from kilter.errors import ChecksumMismatch, JournalUnavailable
from kilter.services.collector import Collector
from kilter.stores.board import Board
from kilter.stores.memory import MemoryMetadata
from kilter.stores.parquet import ParquetTable
from kilter.stores.segments import OsDisk, SegmentFolder, SegmentLog
from kilter.testing.log import START_NS, feedback, prediction, schema

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOW = datetime(2026, 2, 1, tzinfo=UTC)
END_NS = START_NS + 10**15


class Killed(BaseException):
    """The process ends here."""


class Fuse:
    """Passes every call on, and ends the process before or after the k-th of them."""

    def __init__(self, inner: Any, left: list[int]) -> None:
        self._inner = inner
        self._left = left

    def __getattr__(self, name: str) -> Any:
        target = getattr(self._inner, name)

        def call(*args: Any, **options: Any) -> Any:
            self._burn()
            result = target(*args, **options)
            self._burn()
            return result

        return call

    def _burn(self) -> None:
        self._left[0] -= 1
        if self._left[0] == 0:
            raise Killed


class TickingClock:
    def __init__(self) -> None:
        self.ticks = count(START_NS + 10**12, 1_000_000)

    def now(self) -> datetime:
        return NOW

    def time_ns(self) -> int:
        return next(self.ticks)


class House:
    """The stores of one node."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.metadata = MemoryMetadata()
        self.table = ParquetTable(folder / "tables")
        self.board = Board(folder / "run")
        self.clock = TickingClock()
        self.segments = SegmentFolder(folder / "log")

    def collector(
        self,
        wait: Callable[[float], None] = lambda _: None,
        *,
        fuse: list[int] | None = None,
        segments: Any = None,
        table: Any = None,
    ) -> Collector:
        left = fuse or [0]
        return Collector(
            metadata=Fuse(self.metadata, left),
            segments=Fuse(segments or SegmentFolder(self.folder / "log"), left),
            table=Fuse(table or self.table, left),
            board=self.board,
            clock=self.clock,
            wait=wait,
            patience_s=0.05,
        )

    def log(self, disk: OsDisk | None = None) -> SegmentLog:
        log = SegmentLog(self.folder / "log", slot=0, clock_ns=self.clock.time_ns, disk=disk)
        log.describe(schema())
        return log

    def stored_ids(self) -> list[str]:
        parts = self.metadata.read(lambda tx: tx.list(LogPart, limit=5000))
        rows = self.table.rows(parts, RowQuery(deployment="ward", start_ns=START_NS, end_ns=END_NS))
        return [str(i) for i in np.asarray(rows.ids)]


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def write(house: House, *numbers: int) -> None:
    log = house.log()
    log.append([prediction(i) for i in numbers])
    log.close()


def ids(*numbers: int) -> list[str]:
    return [f"{prediction(i).prediction_id}:0" for i in numbers]


def test_sealed_segments_become_parts_and_are_put_away(house: House) -> None:
    write(house, 1, 2)
    write(house, 3)
    done = house.collector().collect(NOW)
    assert (done.records, done.segments, done.parts) == (3, 2, 1)
    assert done.until_ns > START_NS
    assert house.stored_ids() == ids(1, 2, 3)
    assert house.segments.sealed() == ()
    assert len(house.metadata.read(lambda tx: tx.list(LogSegment))) == 2
    assert len(list((house.folder / "log").glob("*.done"))) == 2


def test_a_second_round_has_nothing_to_do(house: House) -> None:
    write(house, 1)
    collector = house.collector()
    first = collector.collect(NOW)
    second = collector.collect(NOW)
    assert (second.records, second.segments, second.parts) == (0, 0, 0)
    assert second.until_ns > first.until_ns


def test_the_records_of_a_dead_writer_are_taken_over(house: House) -> None:
    log = house.log()
    log.append([prediction(1)])
    log._forget()  # noqa: SLF001 - a writer that died
    assert house.collector().collect(NOW).records == 1
    assert house.stored_ids() == ids(1)


def status(epoch: int) -> AcceptorStatus:
    return AcceptorStatus(
        slot=0,
        pid=os.getpid(),
        generation=1,
        prepared=1,
        refused="",
        sealed_epoch=epoch,
        requests=0,
        failures=0,
        started_ns=0,
        heartbeat_ns=0,
    )


def test_a_live_acceptor_is_waited_for(house: House) -> None:
    log = house.log()
    log.append([prediction(1)])
    house.board.report(status(0))

    def acceptor(_: float) -> None:
        log.seal()
        house.board.report(status(house.board.seal_epoch()))

    done = house.collector(acceptor).collect(NOW)
    assert done.records == 1
    assert done.until_ns > START_NS


def test_the_watermark_waits_for_an_acceptor_that_does_not_seal(house: House) -> None:
    write(house, 1)
    house.board.report(status(0))
    pauses: list[float] = []
    done = house.collector(pauses.append).collect(NOW)
    assert (done.records, done.until_ns) == (1, 0)
    assert 0 < sum(pauses) <= 0.1


def test_killed_at_any_step_every_record_is_stored_once(tmp_path: Path) -> None:
    for step in range(1, 40):
        house = House(tmp_path / str(step))
        write(house, 1, 2)
        write(house, 3)
        try:
            house.collector(fuse=[step]).collect(NOW)
        except Killed:
            write(house, 4)
            house.collector().collect(NOW)
            assert house.stored_ids() == ids(1, 2, 3, 4)
            assert house.segments.sealed() == ()
        else:
            assert step > 10
            return
    pytest.fail("the collector never came to its end")


class Meanwhile:
    """Two collectors at once: the other one commits between this one's parts and rows."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.is_first = True

    def write(self, *args: Any, **options: Any) -> Any:
        parts = self.house.table.write(*args, **options)
        if self.is_first:
            self.is_first = False
            self.house.collector().collect(NOW)
        return parts


def test_two_collectors_at_once_store_each_record_once(house: House) -> None:
    write(house, 1, 2)
    assert house.collector(table=Meanwhile(house)).collect(NOW).records == 0
    assert house.stored_ids() == ids(1, 2)


def test_a_damaged_segment_is_collected_once_it_is_rescued(house: House) -> None:
    write(house, *range(10))
    (path,) = (house.folder / "log").glob("*.seg")
    body = bytearray(path.read_bytes())
    body[-300] ^= 1
    path.write_bytes(body)
    assert house.collector().collect(NOW).records == 9
    assert path.with_suffix(".bad").exists()


class Fickle:
    """Segments that prove damaged when they are read, after they looked whole."""

    def __init__(self, segments: SegmentFolder, *, is_rescued: bool) -> None:
        self._segments, self._is_rescued, self._recoveries = segments, is_rescued, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._segments, name)

    def recover(self) -> Any:
        self._recoveries += 1
        found = self._segments.recover()
        return self._segments.sealed() if self._is_rescued and self._recoveries == 2 else found

    def records(self, _: object) -> Any:
        message = "damaged"
        raise ChecksumMismatch(message)


def test_damage_found_while_reading_waits_for_the_next_round(house: House) -> None:
    write(house, 1)
    assert house.collector(segments=Fickle(house.segments, is_rescued=True)).collect(NOW).until_ns == 0
    with pytest.raises(ChecksumMismatch):
        house.collector(segments=Fickle(house.segments, is_rescued=False)).collect(NOW)
    assert house.collector().collect(NOW).records == 1


class Refusing(OsDisk):
    """A disk that refuses one sync."""

    def __init__(self) -> None:
        self.is_refusing = False

    def sync(self, fd: int) -> None:
        if self.is_refusing:
            self.is_refusing = False
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().sync(fd)


@pytest.mark.parametrize("is_at_once", [True, False])
def test_what_a_writer_wrote_again_is_stored_once(house: House, *, is_at_once: bool) -> None:
    disk = Refusing()
    log = house.log(disk)
    log.append([prediction(1), prediction(2), feedback(1)])
    disk.is_refusing = True
    with pytest.raises(JournalUnavailable):
        log.sync()
    log.append(())  # into a second segment, all three
    if not is_at_once:
        assert house.collector().collect(NOW).records == 3
        assert house.stored_ids() == ids(1, 2)
    log.append([prediction(3)])
    log.close()
    house.collector().collect(NOW)
    assert house.stored_ids() == ids(1, 2, 3)
    parts = house.metadata.read(lambda tx: tx.list(LogPart))
    segments = house.metadata.read(lambda tx: tx.list(LogSegment))
    assert sum(part.doubles for part in parts) == 3
    assert sum(part.records + part.doubles for part in parts) == sum(segment.records for segment in segments)
    assert [part.records for part in parts if part.kind == "feedback"] == [1]


def test_segments_of_several_days_are_compared_with_the_parts_of_all_of_them(house: House) -> None:
    disk = Refusing()
    log = house.log(disk)
    log.append([prediction(1), prediction(86_400), feedback(1)])
    disk.is_refusing = True
    with pytest.raises(JournalUnavailable):
        log.sync()
    log.append(())
    house.collector().collect(NOW)
    log.close()
    house.collector().collect(NOW)
    assert house.stored_ids() == ids(1, 86_400)
