"""Claims about meters in files: nothing counted is lost or counted twice, whoever dies when."""

from __future__ import annotations

import errno
import json
import os
import signal
import struct
import subprocess
import sys
import zlib
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilter.contracts.meters import BOUNDS_NS, METRICS, MeterKind, Statistics, Total
from kilter.errors import StoreError
from kilter.stores.meters import MeterFiles
from kilter.stores.meters import _file as own_file
from kilter.stores.meters._layout import END_AT, HEADER_BYTES, SLAB_BYTES, read_head, read_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

_SERIES = ("churn", "7", "champion", "http")

_COUNTING = """
import sys
from kilter.stores.meters import MeterFiles
meters = MeterFiles(sys.argv[1], clock_ns=lambda: 5)
series = meters.series("churn", "7", "champion", "http")
lag = meters.slot("kilter_log_lag_bytes")
for _ in range(int(sys.argv[2])):
    series.answered(2, 1_000_000, 60_000, 10)
    series.failed("model.failed")
lag.set(500)
print("counted", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def meters(tmp_path: Path) -> Iterator[MeterFiles]:
    files = MeterFiles(tmp_path / "meters", clock_ns=lambda: 42)
    yield files
    files.close()


def _value(files: MeterFiles, name: str, *labels: str) -> int | None:
    return next((total.value for total in files.totals() if (total.name, total.labels) == (name, labels)), None)


def _killed(folder: Path, count: int) -> int:
    """Let a process count and end by ``kill -9``; return its number."""
    process = subprocess.Popen(
        [sys.executable, "-c", _COUNTING, str(folder), str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == b"counted\n"
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    process.stdin.close()
    process.stdout.close()
    return process.pid


def test_the_bounds_are_24_from_50_microseconds_to_10_seconds_in_even_steps() -> None:
    assert (len(BOUNDS_NS), BOUNDS_NS[0], BOUNDS_NS[-1]) == (24, 50_000, 10_000_000_000)
    assert all(1.6 < high / low < 1.8 for low, high in pairwise(BOUNDS_NS))


def test_an_answer_counts_in_every_metric_of_its_series(meters: MeterFiles) -> None:
    series = meters.series(*_SERIES)
    series.answered(3, 50_000, 49_999, 50_001)
    series.answered(1, 20_000_000_000, 0)
    found = {total.name: total for total in meters.totals() if total.labels[:4] == _SERIES}
    assert found["kilter_requests_total"] == Total(name="kilter_requests_total", labels=(*_SERIES, "ok"), value=2)
    assert found["kilter_rows_total"].value == 4
    requests = found["kilter_request_seconds"]
    assert (requests.value, requests.buckets) == (20_000_050_000, (1, *[0] * 23, 1))  # a bound belongs to its bucket
    assert found["kilter_queue_seconds"].buckets == (1, 1, *[0] * 23)
    assert found["kilter_compute_seconds"].buckets == (2, *[0] * 24)


@given(st.lists(st.tuples(st.integers(0, 2**45), st.integers(0, 2**45), st.integers(0, 2**45)), max_size=30))
def test_every_duration_is_counted_once_and_summed_exactly(
    tmp_path_factory: pytest.TempPathFactory, durations: list[tuple[int, int, int]]
) -> None:
    files = MeterFiles(tmp_path_factory.mktemp("meters"), clock_ns=lambda: 1)
    series = files.series(*_SERIES)
    for total, compute, queue in durations:
        series.answered(1, total, compute, queue)
    files.close()
    found = {one.name: one for one in files.totals() if one.buckets}
    for place, name in enumerate(("kilter_request_seconds", "kilter_compute_seconds", "kilter_queue_seconds")):
        if durations:
            expected = [0] * 25
            for one in durations:
                expected[sum(one[place] > bound for bound in BOUNDS_NS)] += 1
            assert list(found[name].buckets) == expected
            assert found[name].value == sum(one[place] for one in durations)
        else:
            assert name not in found


def test_a_failure_counts_under_its_code(meters: MeterFiles) -> None:
    series = meters.series(*_SERIES)
    for code in ("model.failed", "busy.deadline", "model.failed"):
        series.failed(code)
    assert _value(meters, "kilter_requests_total", *_SERIES, "model.failed") == 2
    assert _value(meters, "kilter_requests_total", *_SERIES, "busy.deadline") == 1
    assert _value(meters, "kilter_requests_total", *_SERIES, "ok") is None


def test_the_same_labels_give_the_same_counter(meters: MeterFiles) -> None:
    assert meters.series(*_SERIES) is meters.series(*_SERIES)
    assert meters.slot("kilter_shed_total", "churn", "http") is meters.slot("kilter_shed_total", "churn", "http")


def test_counters_and_gauges_without_labels_are_shown_before_they_are_touched(meters: MeterFiles) -> None:
    meters.slot("kilter_route_generation").set(41)
    shown = {total.name: total.value for total in meters.totals()}
    assert shown == {
        "kilter_log_lag_bytes": 0,
        "kilter_log_dropped_total": 0,
        "kilter_route_generation": 41,
        "kilter_fast_path": 0,
        "kilter_loop_lag_seconds": 0,
    }


def test_an_unknown_name_or_number_of_labels_is_refused(meters: MeterFiles) -> None:
    for name, labels in (("kilter_nothing", ()), ("kilter_request_seconds", _SERIES), ("kilter_shed_total", ("a",))):
        with pytest.raises(ValueError, match=name):
            meters.slot(name, *labels)


def test_statistics_are_by_version_or_for_a_whole_deployment(meters: MeterFiles) -> None:
    meters.series("churn", "7", "champion", "http").answered(2, 1_000, 500, 10)
    meters.series("churn", "7", "pinned", "oip").answered(1, 1_000, 500)
    meters.series("churn", "8", "challenger", "http").answered(5, 3_000, 700)
    meters.series("churn", "8", "challenger", "http").failed("model.failed")
    meters.series("other name", "8", "champion", "http").answered(1, 1, 1)
    meters.slot("kilter_requests_total", "churn", "", "", "http", "input.invalid").add(4)
    seventh = Statistics(requests=2, rows=3, total_ns=2_000, compute_ns=1_000, queue_ns=10, last_ns=42)
    assert meters.statistics("churn", "7") == seventh
    assert meters.statistics("churn") == Statistics(
        requests=3, failures=5, rows=8, total_ns=5_000, compute_ns=1_700, queue_ns=10, last_ns=42
    )
    assert meters.statistics("churn", "9") == Statistics()
    every = meters.all_statistics()
    assert every["churn", "7"] == seventh
    assert every["churn", ""].failures == 4


def test_what_a_killed_process_counted_stays_and_its_gauges_go(meters: MeterFiles, tmp_path: Path) -> None:
    folder = tmp_path / "meters"
    meters.series(*_SERIES).answered(1, 1, 1)
    meters.slot("kilter_log_lag_bytes").set(30)
    _killed(folder, 100)
    seen = []
    for _ in range(3):
        seen.append((_value(meters, "kilter_requests_total", *_SERIES, "ok"), meters.statistics("churn")))
        meters.fold()
    assert len(set(seen)) == 1
    assert seen[0][0] == 101
    assert (seen[0][1].failures, seen[0][1].rows, seen[0][1].last_ns) == (100, 201, 42)
    assert _value(meters, "kilter_log_lag_bytes") == 30
    assert [path.suffix for path in sorted(folder.iterdir())].count(".kmet") == 1


def test_gauges_of_live_processes_are_summed_or_the_largest_is_shown(tmp_path: Path) -> None:
    counting = _COUNTING.replace('print("counted"', 'meters.slot("kilter_fast_path").set(1); print("counted"')
    process = subprocess.Popen(
        [sys.executable, "-c", counting, str(tmp_path), "1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    meters = MeterFiles(tmp_path, clock_ns=lambda: 1)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"counted\n"
        meters.slot("kilter_log_lag_bytes").set(30)
        assert (_value(meters, "kilter_log_lag_bytes"), _value(meters, "kilter_fast_path")) == (530, 1)
    assert (_value(meters, "kilter_log_lag_bytes"), _value(meters, "kilter_fast_path")) == (30, 0)
    meters.close()


@pytest.mark.parametrize("step", ["before the rename", "after the rename"])
def test_a_fold_that_is_killed_neither_loses_nor_counts_twice(
    meters: MeterFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    folder = tmp_path / "meters"
    for _ in range(2):
        _killed(folder, 10)
    assert _value(meters, "kilter_requests_total", *_SERIES, "ok") == 20

    class KilledError(BaseException):
        pass

    def killed(self: Path, *_: object, **__: object) -> None:
        del self
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace" if step == "before the rename" else "unlink", killed)
        with pytest.raises(KilledError):
            meters.fold()
    assert _value(meters, "kilter_requests_total", *_SERIES, "ok") == 20
    _killed(folder, 5)
    fresh = MeterFiles(folder, clock_ns=lambda: 1)  # the supervisor is started again
    assert _value(fresh, "kilter_requests_total", *_SERIES, "ok") == 25
    fresh.fold()
    assert _value(fresh, "kilter_requests_total", *_SERIES, "ok") == 25
    assert _value(meters, "kilter_requests_total", *_SERIES, "ok") == 25
    assert not list(folder.glob("*.kmet"))


def test_a_read_in_the_middle_of_a_fold_is_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _killed(tmp_path, 10)
    reader, folder = MeterFiles(tmp_path, clock_ns=lambda: 1), MeterFiles(tmp_path, clock_ns=lambda: 1)
    glob = Path.glob
    folds: list[int] = []

    def folded_meanwhile(self: Path, pattern: str) -> Iterator[Path]:
        found = list(glob(self, pattern))
        if not folds:
            folds.append(1)
            folder.fold()
        return iter(found)

    monkeypatch.setattr(Path, "glob", folded_meanwhile)
    assert _value(reader, "kilter_requests_total", *_SERIES, "ok") == 10
    assert folds


def test_nothing_dead_is_nothing_to_fold(meters: MeterFiles, tmp_path: Path) -> None:
    meters.fold()
    assert meters.totals() == ()
    assert not (tmp_path / "meters" / "retired.json").exists()


def test_labels_beyond_the_limit_are_counted_under_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(own_file, "_MAX_ROWS", 20)
    meters = MeterFiles(tmp_path, clock_ns=lambda: 1)
    for version in range(30):
        series = meters.series("churn", str(version), "champion", "http")
        series.answered(1, 1, 1)
        series.failed("model.failed")
        meters.slot("kilter_quarantined_total", "churn", str(version)).add()
    requests = [total for total in meters.totals() if total.name == "kilter_requests_total"]
    assert sum(total.value for total in requests) == 60
    assert 0 < sum(total.value for total in requests if total.labels[0] == "other") < 60
    quarantined = [total for total in meters.totals() if total.name == "kilter_quarantined_total"]
    assert sum(total.value for total in quarantined) == 30
    assert quarantined[-1].labels == ("other", "other")
    assert caplog.text.count("no room") == 1
    meters.close()


def test_a_file_grows_and_what_was_handed_out_counts_on(tmp_path: Path) -> None:
    meters = MeterFiles(tmp_path, clock_ns=lambda: 1)
    every = [meters.series("churn", str(version), "champion", "http") for version in range(400)]
    for series in every:
        series.answered(1, 1, 1)
    assert sum(one.requests for one in meters.all_statistics().values()) == 400
    (path,) = tmp_path.glob("*.kmet")
    assert path.stat().st_size >= 4 * SLAB_BYTES
    meters.close()


def test_labels_too_long_for_a_row_are_counted_under_other(meters: MeterFiles) -> None:
    meters.slot("kilter_shed_total", "é" * 5_000, "http").add()
    assert _value(meters, "kilter_shed_total", "other", "other") == 1


def test_labels_may_hold_anything(meters: MeterFiles) -> None:
    meters.slot("kilter_shed_total", 'a"b\\c\nd,ü\udce9', "http").add()
    assert _value(meters, "kilter_shed_total", 'a"b\\c\nd,ü?', "http") == 1


def _full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_what_finds_the_disk_full_later_is_counted_under_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meters = MeterFiles(tmp_path, clock_ns=lambda: 1)
    meters.slot("kilter_fast_path").set(1)
    monkeypatch.setattr(os, "posix_fallocate", _full)
    for version in range(200):
        meters.series("churn", str(version), "champion", "http").answered(1, 1, 1)
    assert sum(one.requests for one in meters.all_statistics().values()) == 200
    meters.close()


def test_a_folder_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "retired.json").mkdir()
    with pytest.raises(StoreError, match="cannot read"):
        MeterFiles(tmp_path, clock_ns=lambda: 1).totals()
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        MeterFiles(tmp_path / "file", clock_ns=lambda: 1).fold()


def test_a_folder_that_never_stands_still_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meters = MeterFiles(tmp_path, clock_ns=lambda: 1)
    glob = Path.glob
    folds: list[int] = []

    def folded_meanwhile(self: Path, pattern: str) -> Iterator[Path]:
        folds.append(1)
        (tmp_path / "retired.json").write_text(json.dumps({"layout": len(folds), "rows": []}) + " " * len(folds))
        return iter(list(glob(self, pattern)))

    monkeypatch.setattr(Path, "glob", folded_meanwhile)
    with pytest.raises(StoreError, match="cannot read") as caught:
        meters.totals()
    assert "faster" in (caught.value.why or "")


@pytest.mark.parametrize("content", [b"", b"not json", b'{"layout": 12, "rows": []}'])
def test_retired_counts_that_cannot_be_added_to_are_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    (tmp_path / "retired.json").write_bytes(content)
    _killed(tmp_path, 10)
    meters = MeterFiles(tmp_path, clock_ns=lambda: 1)
    assert _value(meters, "kilter_requests_total", *_SERIES, "ok") == 10
    meters.fold()
    assert _value(meters, "kilter_requests_total", *_SERIES, "ok") == 10
    assert (tmp_path / "retired.json.bad").read_bytes() == content
    assert "retired.json" in caplog.text


@pytest.mark.parametrize("content", [b"", b"short", b"KMET" + bytes(80)])
def test_a_dead_file_of_another_version_is_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    _killed(tmp_path, 10)
    (tmp_path / "1-1.kmet").write_bytes(content)
    meters = MeterFiles(tmp_path, clock_ns=lambda: 1)
    for _ in range(2):
        assert _value(meters, "kilter_requests_total", *_SERIES, "ok") == 10
        meters.fold()
    assert (tmp_path / "1-1.kmet.bad").exists()
    assert "1-1.kmet" in caplog.text


def test_a_reader_never_sees_a_row_that_is_half_written(meters: MeterFiles, tmp_path: Path) -> None:
    meters.slot("kilter_shed_total", "churn", "http").add(7)
    (path,) = (tmp_path / "meters").glob("*.kmet")
    whole = path.read_bytes()
    head = read_head(whole)
    assert head is not None
    rows = list(read_rows(whole, head.end))
    last = rows[-1]
    assert last.key == ("kilter_shed_total", "churn", "http")
    key = b'["kilter_shed_total","churn","http"]'
    start = whole.index(key) - 16
    for byte in range(start, start + 16 + len(key)):
        torn = bytearray(whole)
        torn[byte] ^= 0xFF
        assert list(read_rows(bytes(torn), head.end)) == rows[:-1]
    for end in range(HEADER_BYTES, head.end, 8):
        assert all(row in rows for row in read_rows(whole, end))


def test_the_file_is_as_it_is_described(meters: MeterFiles, tmp_path: Path) -> None:
    meters.slot("kilter_shed_total", "churn", "http").add(7)
    (path,) = (tmp_path / "meters").glob("*.kmet")
    data = path.read_bytes()
    magic, version, _, pid, born, end = struct.unpack_from("<4sIQQQQ", data)
    assert (magic, version, pid, END_AT) == (b"KMET", 1, os.getpid(), 32)
    assert path.name == f"{pid}-{born}.kmet"
    key = b'["kilter_shed_total","churn","http"]'
    at = data.index(key) - 16
    size, kind, length, checksum, slots = struct.unpack_from("<IHHII", data, at)
    assert (kind, length, slots, at + size) == (2, len(key), 1, end)
    assert checksum == zlib.crc32(key, zlib.crc32(struct.pack("<IHI", size, kind, slots)))
    assert struct.unpack_from("<Q", data, end - 8) == (7,)


def test_every_metric_has_a_name_that_says_its_kind_and_unit() -> None:
    for spec in METRICS:
        assert spec.name.endswith("_total") == (spec.kind is MeterKind.COUNTER)
        assert not spec.unit or spec.name.endswith(f"_{spec.unit}")
        assert len(set(spec.labels)) == len(spec.labels)
        assert spec.about.endswith(".")
