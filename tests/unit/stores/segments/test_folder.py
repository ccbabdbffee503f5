from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from kilter.errors import StoreError
from kilter.stores.segments import SegmentFolder, SegmentLog, _frame
from kilter.testing.log import prediction

if TYPE_CHECKING:
    from pathlib import Path

    from kilter.contracts.log import SegmentInfo


def sealed_info(folder: Path) -> SegmentInfo:
    log = SegmentLog(folder, slot=0, clock_ns=lambda: 1)
    log.append((prediction(1),))
    info = log.seal()
    assert info is not None
    return info


def test_a_missing_folder_holds_nothing(tmp_path: Path) -> None:
    store = SegmentFolder(tmp_path / "none")
    assert (store.recover(), store.sealed()) == ((), ())


def test_a_segment_of_a_later_format_is_refused_and_kept(tmp_path: Path) -> None:
    later = _frame.Header(segment_id=bytes(16), created_ns=1, slot=0, pid=1, node=bytes(8), version=2)
    (tmp_path / "w0-later.open").write_bytes(_frame.encode_header(later))
    with pytest.raises(StoreError, match="format 2"):
        SegmentFolder(tmp_path).recover()
    assert (tmp_path / "w0-later.open").exists()


def test_a_writer_that_died_before_its_first_record_leaves_nothing(tmp_path: Path) -> None:
    header = _frame.Header(segment_id=bytes(16), created_ns=1, slot=0, pid=1, node=bytes(8))
    (tmp_path / "w0-empty.open").write_bytes(_frame.encode_header(header))
    (tmp_path / "w0-unborn.new").write_bytes(b"")
    os.utime(tmp_path / "w0-unborn.new", (0, 0))
    (tmp_path / "w0-fresh.new").write_bytes(b"")
    assert SegmentFolder(tmp_path).recover() == ()
    assert [path.name for path in tmp_path.glob("w*")] == ["w0-fresh.new"]


def test_a_writer_that_died_between_seal_and_name_loses_nothing(tmp_path: Path) -> None:
    info = sealed_info(tmp_path)
    path = tmp_path / f"w0-{info.id}.seg"
    path.rename(path.with_suffix(".open"))
    (found,) = SegmentFolder(tmp_path).recover()
    assert (found.id, found.records, found.damaged_bytes) == (info.id, 1, 0)


def test_the_beginning_of_a_seal_is_no_loss(tmp_path: Path) -> None:
    info = sealed_info(tmp_path)
    path = tmp_path / f"w0-{info.id}.seg"
    path.with_suffix(".open").write_bytes(path.read_bytes()[:-10])
    path.unlink()
    (found,) = SegmentFolder(tmp_path).recover()
    assert found.damaged_bytes == 0
    assert not [*tmp_path.glob("*.bad"), *tmp_path.glob("*.torn")]


def test_a_segment_that_is_nothing_but_damage_is_kept_as_bad(tmp_path: Path) -> None:
    info = sealed_info(tmp_path)
    path = tmp_path / f"w0-{info.id}.seg"
    path.write_bytes(path.read_bytes()[:80])
    assert SegmentFolder(tmp_path).recover() == ()
    assert [found.name for found in tmp_path.glob("w*")] == [path.with_suffix(".bad").name]


def test_an_unreadable_folder_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "w0-folder.seg").mkdir()
    with pytest.raises(StoreError):
        SegmentFolder(tmp_path).sealed()
