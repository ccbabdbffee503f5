"""Claims about meters where the disk has no room, and where files are cut off under those who use them."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from kilter.errors import StoreError
from kilter.stores import _file as whole_file
from kilter.stores.meters import MeterFiles, files

if TYPE_CHECKING:
    from pathlib import Path

_SERIES = ("churn", "7", "champion", "http")


def _full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def _count(meters: MeterFiles, versions: int = 1) -> None:
    for version in range(versions):
        series = meters.series("churn", str(version), "champion", "http")
        series.answered(2, 1_000, 500)
        series.failed("model.failed")
    meters.slot("kilter_log_lag_bytes").set(30)
    meters.slot("kilter_quarantined_total", "churn", "7").add()


def test_without_room_for_its_file_a_process_counts_in_memory_and_moves_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "meters"
    meters, others = MeterFiles(folder, clock_ns=lambda: 42), MeterFiles(folder, clock_ns=lambda: 1)
    monkeypatch.setattr(files, "_RETRY_S", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", _full)
        _count(meters, versions=200)  # several slabs
        before = meters.totals()
        meters.tend()
        meters.tend()
        assert not list(folder.iterdir())
    assert sum(one.requests for one in meters.all_statistics().values()) == 200
    assert (others.totals(), meters.totals()) == ((), before)
    assert caplog.text.count("No space left on device") == 1

    meters.tend()
    assert caplog.text.count("have a file now") == 1
    assert others.totals() == meters.totals() == before  # once, not twice
    (path,) = folder.iterdir()
    assert path.suffix == ".kmet"
    _count(meters, versions=200)  # those handed out before the move, too
    assert sum(one.requests for one in others.all_statistics().values()) == 400
    assert sum(one.failures for one in others.all_statistics().values()) == 400
    meters.tend()
    assert others.totals() == meters.totals()
    meters.close()


def test_a_move_that_finds_the_disk_full_halfway_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meters = MeterFiles(tmp_path, clock_ns=lambda: 42)
    monkeypatch.setattr(files, "_RETRY_S", 0.0)
    reserve = os.posix_fallocate
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", _full)
        _count(meters, versions=200)
        before = meters.totals()
        patch.setattr(os, "posix_fallocate", lambda fd, at, size: reserve(fd, at, size) if at == 0 else _full())
        meters.tend()
    assert not list(tmp_path.iterdir())
    _count(meters)
    assert meters.statistics("churn", "0").requests == 2
    meters.tend()
    assert len(list(tmp_path.iterdir())) == 1
    assert meters.totals() != before
    assert meters.statistics("churn", "0").requests == 2
    meters.close()


def test_a_process_tries_for_a_file_only_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meters = MeterFiles(tmp_path, clock_ns=lambda: 42)
    meters.tend()
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", _full)
        _count(meters)
    meters.tend()
    assert not list(tmp_path.iterdir())


def test_a_process_that_maps_nothing_shows_its_counts_with_the_next_fold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor = MeterFiles(tmp_path, clock_ns=lambda: 1, is_mapped=False)
    reader = MeterFiles(tmp_path, clock_ns=lambda: 1)
    restarts = supervisor.slot("kilter_worker_restarts_total", "", "")
    supervisor.fold()
    for expected in (1, 2):
        restarts.add()
        for path in tmp_path.glob("*.kmet"):
            os.truncate(path, 0)
        restarts.add(0)
        supervisor.tend()
        supervisor.fold()
        total = next(one for one in reader.totals() if one.name == "kilter_worker_restarts_total")
        assert total.value == expected
        assert reader.totals() == supervisor.totals()
    monkeypatch.setattr(whole_file, "write_whole", _full)
    restarts.add()
    with pytest.raises(StoreError, match="cannot write"):
        supervisor.fold()


@pytest.mark.parametrize("size", [0, 10, 64, 200, 1_000])
def test_a_live_file_that_was_cut_off_is_passed_over(tmp_path: Path, size: int) -> None:
    meters = MeterFiles(tmp_path, clock_ns=lambda: 1)
    meters.series(*_SERIES).answered(1, 1, 1)
    (path,) = tmp_path.iterdir()
    reader = MeterFiles(tmp_path, clock_ns=lambda: 1)
    assert reader.statistics("churn").requests == 1
    os.truncate(path, size)
    assert reader.totals() == ()
    reader.fold()
    assert path.exists()  # its process lives
    dead = path.rename(tmp_path / "1-1.kmet")
    reader.fold()
    assert not dead.exists() or size >= 64  # whole heads say themselves whose they are
    meters.close()
