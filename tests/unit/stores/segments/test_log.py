from __future__ import annotations

import errno
import os
from dataclasses import fields
from itertools import count
from typing import TYPE_CHECKING

import pytest

from kilter.contracts.prediction import EventRecord, PredictionRecord, SchemaRecord
from kilter.errors import InvalidRequest, JournalUnavailable, TooLarge
from kilter.stores.segments import OsDisk, SegmentFolder, SegmentLog, _frame
from kilter.testing.log import prediction, read_all, schema

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def open_log(folder: Path, *, roll_bytes: int = 1 << 26) -> SegmentLog:
    ticks = count(1_000_000_000)
    return SegmentLog(folder, slot=3, clock_ns=lambda: next(ticks), roll_bytes=roll_bytes)


def test_frames_hold_the_fields_of_the_contracts_in_their_order() -> None:
    for made, shape in _frame._SHAPES.values():  # noqa: SLF001 - guards the private shapes
        names = PredictionRecord._fields[1:] if issubclass(made, tuple) else [field.name for field in fields(made)]
        assert shape.__struct_fields__ == tuple(names)


def test_a_segment_rolls_at_its_size_and_tells_the_schema_again(tmp_path: Path) -> None:
    log = open_log(tmp_path, roll_bytes=1_000)
    log.describe(schema())
    for i in range(20):
        log.append((prediction(i),))
    log.close()
    store = SegmentFolder(tmp_path)
    segments = store.sealed()
    assert len(segments) > 3
    assert all(isinstance(next(iter(store.records(segment))), SchemaRecord) for segment in segments)
    assert read_all(store) == [prediction(i) for i in range(20)]


def test_the_file_has_the_documented_header_and_frames(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    log.append((EventRecord(ts_ns=5, name="swap", detail="d"),))
    info = log.seal()
    assert info is not None
    (path,) = tmp_path.glob("w3-*.seg")
    data = path.read_bytes()
    assert data[:8] == b"KILTSEG1"
    assert path.stat().st_mode & 0o777 == 0o600
    header = _frame.decode_header(data)
    assert header is not None
    assert (header.slot, header.version, header.flags) == (3, 1, 0)
    assert info.digest == ""
    assert (info.size_bytes, info.records) == (len(data), 1)


def test_a_record_that_cannot_be_encoded_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    for record in (prediction(1)._replace(key=2**70), prediction(1)._replace(text=("\ud800",))):
        with pytest.raises(InvalidRequest, match="does not fit"):
            log.append((record,))
    log.append((prediction(2),))
    log.close()
    assert read_all(SegmentFolder(tmp_path)) == [prediction(2)]


def test_a_record_above_64_mib_is_refused(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    with pytest.raises(TooLarge):
        log.append((prediction(1)._replace(numeric=bytes(65 * 1024 * 1024)),))
    log.close()


def test_a_folder_that_cannot_be_made_is_an_error_that_says_where(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("a file")
    with pytest.raises(JournalUnavailable) as caught:
        open_log(tmp_path / "log").append((prediction(1),))
    assert caught.value.where == str(tmp_path / "log")
    assert caught.value.hint


class Overtaken(OsDisk):
    """A disk whose first sync takes so long that the writer ends the segment meanwhile."""

    def __init__(self, *, is_refusing: bool) -> None:
        self.meanwhile: Callable[[], object] | None = None
        self.is_refusing = is_refusing

    def sync(self, fd: int) -> None:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
            if self.is_refusing:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().sync(fd)


@pytest.mark.parametrize("is_refusing", [False, True])
def test_a_sync_beside_the_writer_does_not_touch_the_next_segment(tmp_path: Path, *, is_refusing: bool) -> None:
    disk = Overtaken(is_refusing=is_refusing)
    log = SegmentLog(tmp_path, slot=3, clock_ns=lambda: 1, disk=disk)
    log.append((prediction(1),))

    def end_and_go_on() -> None:
        log.end()
        log.append((prediction(2),))

    disk.meanwhile = end_and_go_on
    if is_refusing:
        with pytest.raises(JournalUnavailable, match="force the prediction log"):
            log.sync()
    else:
        log.sync()
    log.append((prediction(3),))
    log.close()
    assert len(list(tmp_path.glob("*.seg"))) == 2
    store = SegmentFolder(tmp_path)
    assert len(store.recover()) == is_refusing
    found = {record.prediction_id: record for record in read_all(store) if isinstance(record, PredictionRecord)}
    assert sorted(found.values()) == [prediction(i) for i in (1, 2, 3)]


def test_a_segment_that_ended_gets_its_name_with_the_next_sync(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    assert log.end() is None
    log.append((prediction(1),))
    assert log.end(older_than_s=3_600.0) is None
    info = log.end()
    assert info is not None
    assert not list(tmp_path.glob("*.seg"))
    log.sync()
    assert [str(path) for path in tmp_path.glob("*")] == [info.path]


def test_room_is_that_of_the_disk(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log")
    room = log.room()
    assert 0 < room.free_bytes < room.total_bytes
    assert room.unsynced_bytes == 0
    log.append((prediction(1),))
    assert log.room().unsynced_bytes > 200
    log.sync()
    assert log.room().unsynced_bytes == 0
    log.close()
    (tmp_path / "file").write_text("a file")
    with pytest.raises(JournalUnavailable, match="look at the disk"):
        open_log(tmp_path / "file").room()
