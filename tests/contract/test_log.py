"""The segment log keeps the promises of its ports, under damage, full disks and kill -9 too."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time
from itertools import count
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kilter.contracts.prediction import EventRecord, PredictionRecord
from kilter.errors import ChecksumMismatch, JournalUnavailable
from kilter.stores.segments import OsDisk, SegmentFolder, SegmentLog
from kilter.testing.log import LOG, START_NS, prediction, read_all, schema

if TYPE_CHECKING:
    from pathlib import Path

    from kilter.testing.log import LogClause


TICKS = count(START_NS, 1_000_000)


def open_log(folder: Path, *, slot: int = 0, **options: object) -> SegmentLog:
    return SegmentLog(folder, slot=slot, clock_ns=lambda: next(TICKS), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("clause", LOG, ids=lambda clause: clause.__name__)
def test_the_segment_log_keeps(clause: LogClause, tmp_path: Path) -> None:
    slots = count()
    clause(lambda: open_log(tmp_path, slot=next(slots)), SegmentFolder(tmp_path))


# ── Damage ───────────────────────────────────────────────────────────────────────────────────────


def once(records: list[object]) -> list[PredictionRecord]:
    """Return each prediction once, by time: what compaction makes of records that were written twice."""
    found = {record.prediction_id: record for record in records if isinstance(record, PredictionRecord)}
    return [found[name] for name in sorted(found)]


def rescued(folder: Path) -> list[object]:
    """Recover twice (it is idempotent) and read all that is left."""
    store = SegmentFolder(folder)
    store.recover()
    assert store.recover() == ()
    return list(read_all(store))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_never_crashes_and_never_invents_a_record(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("log")
    log = open_log(folder)
    log.describe(schema())
    records = [prediction(i, rows=1 + i % 3) for i in range(12)]
    for record in records:
        log.append((record,))
    is_sealed = data.draw(st.booleans())
    log.seal() if is_sealed else log._forget()  # noqa: SLF001 - a writer that died
    (path,) = [path for path in folder.iterdir() if path.suffix in {".seg", ".open"}]
    body = bytearray(path.read_bytes())
    kind = data.draw(st.sampled_from(["flip", "cut", "insert", "tail"]))
    at = data.draw(st.integers(0, len(body) - 1))
    junk = data.draw(st.binary(min_size=1, max_size=40))
    if kind == "flip":
        body[at] ^= data.draw(st.integers(1, 255))
    elif kind == "cut":
        del body[at : at + len(junk)]
    elif kind == "insert":
        body[at:at] = junk
    else:
        del body[at:]
    path.write_bytes(body)
    found = rescued(folder)
    assert all(record in records for record in found)
    if kind != "tail" and at >= 64:
        assert len(found) >= len(records) - 2
    assert [record for record in records if record in found] == found


def test_a_damaged_segment_is_refused_then_rescued_beside_the_original(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    for i in range(10):
        log.append((prediction(i),))
    info = log.seal()
    assert info is not None
    path = tmp_path / f"w0-{info.id}.seg"
    body = bytearray(path.read_bytes())
    body[1000] ^= 1
    path.write_bytes(body)
    store = SegmentFolder(tmp_path)
    (damaged,) = store.sealed()
    assert damaged.damaged_bytes
    with pytest.raises(ChecksumMismatch):
        list(store.records(damaged))
    (found,) = store.recover()
    assert (found.records, found.id) == (9, info.id)
    assert found.damaged_bytes > 100
    assert path.with_suffix(".bad").read_bytes() == body


def test_a_torn_tail_is_set_aside(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    log.append([prediction(1), prediction(2)])
    log._forget()  # noqa: SLF001 - a writer that died
    (path,) = tmp_path.glob("*.open")
    path.write_bytes(path.read_bytes()[:-5])
    (info,) = SegmentFolder(tmp_path).recover()
    assert info.records == 1
    assert info.damaged_bytes == path.with_suffix(".torn").stat().st_size
    assert rescued(tmp_path) == [prediction(1)]


def test_a_foreign_header_makes_the_file_bad(tmp_path: Path) -> None:
    (tmp_path / "w0-x.open").write_bytes(b"nonsense")
    (tmp_path / "w1-y.seg").write_bytes(b"n" * 100)
    assert rescued(tmp_path) == []
    assert sorted(path.name for path in tmp_path.glob("w*")) == ["w0-x.bad", "w1-y.bad"]


def test_recovery_may_stop_after_any_step(tmp_path: Path) -> None:
    # A rescue that was killed between its new file and the deletion of the old one.
    log = open_log(tmp_path)
    log.append([prediction(i) for i in range(5)])
    log._forget()  # noqa: SLF001 - a writer that died
    (path,) = tmp_path.glob("*.open")
    body = bytearray(path.read_bytes())
    body[200] ^= 1
    path.write_bytes(body)
    assert len(rescued(tmp_path)) == 4
    path.write_bytes(body)  # as if the deletion had not happened
    assert len(rescued(tmp_path)) == 4
    assert not path.exists()


# ── Disks that fail ──────────────────────────────────────────────────────────────────────────────


class Faulty(OsDisk):
    """A disk with faults: short writes, or an error at a chosen call."""

    def __init__(self, *, fail_at: int = -1, step: int = 1 << 30, is_stuck: bool = False) -> None:
        self.calls, self.fail_at, self.step, self.is_stuck = 0, fail_at, step, is_stuck
        self.is_dead = False

    def write(self, fd: int, data: bytes | memoryview) -> int:
        self.calls += 1
        if self.calls >= self.fail_at >= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return os.write(fd, memoryview(data)[: self.step])

    def truncate(self, fd: int, size_bytes: int) -> None:
        if self.is_stuck:
            raise OSError(errno.EIO, "Input/output error")
        os.ftruncate(fd, size_bytes)

    def sync(self, fd: int) -> None:
        if self.is_dead:
            raise OSError(errno.EIO, "Input/output error")
        os.fdatasync(fd)


def test_short_writes_are_continued(tmp_path: Path) -> None:
    log = open_log(tmp_path, disk=Faulty(step=7))
    log.append([prediction(1), prediction(2)])
    log.close()
    assert rescued(tmp_path) == [prediction(1), prediction(2)]


@pytest.mark.parametrize("is_stuck", [False, True])
def test_a_full_disk_at_any_write_leaves_acknowledged_records_only(tmp_path: Path, *, is_stuck: bool) -> None:
    for fail_at in range(1, 40, 3):
        folder = tmp_path / str(fail_at)
        disk = Faulty(fail_at=fail_at, step=150, is_stuck=is_stuck)
        log = open_log(folder, disk=disk)
        stored = []
        for i in range(6):
            try:
                log.append((prediction(i),))
                stored.append(prediction(i))
            except JournalUnavailable:
                disk.fail_at = -1  # space is back
        log.close()
        assert once(rescued(folder)) == stored


def test_a_failed_sync_gives_the_file_up_and_the_next_append_goes_on(tmp_path: Path) -> None:
    disk = Faulty()
    log = open_log(tmp_path, disk=disk)
    log.append((prediction(1),))
    disk.is_dead = True
    with pytest.raises(JournalUnavailable):
        log.sync()
    log.append([prediction(2)])
    with pytest.raises(JournalUnavailable):
        log.seal()
    disk.is_dead = False
    log.append((prediction(3),))
    log.close()
    assert once(rescued(tmp_path)) == [prediction(i) for i in (1, 2, 3)]


def test_what_a_failed_sync_left_is_written_anew_and_says_so(tmp_path: Path) -> None:
    disk = Faulty()
    log = open_log(tmp_path, disk=disk)
    log.append([prediction(1), prediction(2)])
    log.sync()
    log.append([schema(), prediction(3)])
    disk.is_dead = True
    with pytest.raises(JournalUnavailable):
        log.sync()
    disk.is_dead = False
    with pytest.raises(JournalUnavailable, match="waits to be written anew"):
        log.sync()
    log.append(())
    log.sync()
    log.close()
    assert len(list(tmp_path.glob("*.seg"))) == 1
    store = SegmentFolder(tmp_path)
    first, event, *rest = list(store.records(store.sealed()[0]))
    assert first == schema()
    assert isinstance(event, EventRecord)
    assert event.name == "log.carried"
    assert event.detail.startswith("1 records ")
    assert rest[-1:] == [prediction(3)]
    assert once(rescued(tmp_path)) == [prediction(i) for i in (1, 2, 3)]


def test_an_append_waits_for_a_sync_where_too_much_is_not_on_the_device(tmp_path: Path) -> None:
    disk = Faulty()
    log = open_log(tmp_path, disk=disk, keep_bytes=1_000)
    for i in range(12):
        log.append((prediction(i),))
        assert log.room().unsynced_bytes < 1_500
    log.append([prediction(i) for i in range(12, 20)])
    disk.is_dead = True
    with pytest.raises(JournalUnavailable, match="force the prediction log"):
        log.append((prediction(20),))
    disk.is_dead = False
    log.append((prediction(50),))
    log.close()
    assert once(rescued(tmp_path))[-1] == prediction(50)


FULL = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))
from kilter.errors import JournalUnavailable
from kilter.stores.segments import SegmentLog
from kilter.testing.log import prediction
log = SegmentLog(sys.argv[1], slot=0, clock_ns=lambda: 1)
stored = 0
try:
    for i in range(1000):
        log.append((prediction(i),))
        stored += 1
except JournalUnavailable:
    print(stored)
"""


def test_a_file_size_limit_is_a_full_disk(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, check=True)
    stored = int(done.stdout)
    assert 5 < stored < 100
    assert rescued(tmp_path) == [prediction(i) for i in range(stored)]


# ── kill -9 ──────────────────────────────────────────────────────────────────────────────────────

WRITER = """
import os, sys, time
from kilter.stores.segments import SegmentLog
from kilter.testing.log import prediction, schema
log = SegmentLog(sys.argv[1], slot=0, clock_ns=time.time_ns, roll_bytes=40_000)
log.describe(schema())
for i in range(1_000_000):
    log.append((prediction(i),))
    os.write(1, b"%d\\n" % i)
"""


def test_no_acknowledged_record_is_lost_by_kill_9(tmp_path: Path) -> None:
    chance = random.Random(7)  # noqa: S311 - moments, not secrets
    for run in range(6):
        folder = tmp_path / str(run)
        child = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        acknowledged = [child.stdout.readline()]
        deadline = time.monotonic() + chance.uniform(0.0, 0.05)
        while time.monotonic() < deadline:
            acknowledged.append(child.stdout.readline())
        os.kill(child.pid, signal.SIGKILL)
        acknowledged += child.stdout.readlines()
        child.wait(10)
        child.stdout.close()
        n = len([line for line in acknowledged if line.endswith(b"\n")])
        found = rescued(folder)
        assert n > 0
        assert found[:n] == [prediction(i) for i in range(n)]
        assert len(found) <= n + 1
