from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from struct import pack
from typing import TYPE_CHECKING

import numpy as np
import pytest

from kilter.contracts.log import FailureCount, JoinedRows, LogPart, RowQuery, SegmentInfo
from kilter.contracts.prediction import Arm, EventRecord, FeedbackRecord, RecordKind, SchemaRecord
from kilter.errors import StoreError
from kilter.stores.parquet import ParquetTable
from kilter.testing.log import START_NS, feedback, prediction, request_id, schema

if TYPE_CHECKING:
    from pathlib import Path

    from kilter.contracts.prediction import LogRecord

NOW = datetime(2026, 2, 1, tzinfo=UTC)
SECOND = 1_000_000_000
DAY = 86_400 * SECOND


def segment(name: str = "a") -> SegmentInfo:
    return SegmentInfo(id=name, path="", digest=f"sha256:{name}", size_bytes=1, records=1, min_ts_ns=0, max_ts_ns=0)


@pytest.fixture
def table(tmp_path: Path) -> ParquetTable:
    return ParquetTable(tmp_path / "tables")


def write(table: ParquetTable, *records: LogRecord, name: str = "a") -> tuple[LogPart, ...]:
    return table.write([segment(name)], iter([schema(), *records]), NOW)


def query(**changes: object) -> RowQuery:
    options = {"deployment": "ward", "start_ns": START_NS, "end_ns": START_NS + 400 * DAY} | changes
    return RowQuery(**options)  # type: ignore[arg-type]


def labels(rows: JoinedRows) -> list[object]:
    return list(np.asarray(rows.labels))


def test_requests_become_rows_in_order_of_time(table: ParquetTable) -> None:
    rows = table.rows(write(table, prediction(2, rows=2), prediction(1)), query())
    assert list(np.asarray(rows.ids)) == [f"{request_id(1)}:0", f"{request_id(2)}:0", f"{request_id(2)}:1"]
    assert np.asarray(rows.columns["age"]).tolist() == [1.0, 2.0, 4.0]
    assert np.asarray(rows.columns["dose"]).tolist() == [2.0, 3.0, 5.0]
    assert np.asarray(rows.columns["site"]).tolist() == ["north", "north", None]
    assert np.asarray(rows.raw).tolist() == [[0.25, 0.75], [0.25, 0.75], [0.26, 0.74]]
    assert np.array_equal(np.asarray(rows.scores), np.asarray(rows.raw))
    assert np.asarray(rows.key).dtype == np.uint64
    assert np.asarray(rows.ts_ns).tolist() == [START_NS + SECOND, *[START_NS + 2 * SECOND] * 2]
    assert labels(rows) == [None, None, None]
    assert np.asarray(rows.label_ns).tolist() == [0, 0, 0]


def test_calibrated_answers_are_kept_beside_the_raw(table: ParquetTable) -> None:
    rows = table.rows(write(table, prediction(1)._replace(outputs=pack("<2d", 0.4, 0.6))), query())
    assert np.asarray(rows.scores).tolist() == [[0.4, 0.6]]
    assert np.asarray(rows.raw).tolist() == [[0.25, 0.75]]


def test_a_regression_has_one_answer(table: ParquetTable) -> None:
    told = SchemaRecord(digest="d", numeric=("age", "dose"), text=(), classes=(), target="cost")
    parts = table.write(
        [segment()], iter([told, prediction(1)._replace(digest="d", text=(), raw=pack("<d", 7.5))]), NOW
    )
    assert np.asarray(table.rows(parts, query()).raw).tolist() == [[7.5]]


def test_the_same_segments_give_the_same_keys_and_bytes(table: ParquetTable, tmp_path: Path) -> None:
    records: list[LogRecord] = [prediction(1), prediction(2), feedback(1)]
    first = write(table, *records)
    before = [(tmp_path / "tables" / part.path).read_bytes() for part in first]
    again = write(table, *records)
    assert again == first
    assert [(tmp_path / "tables" / part.path).read_bytes() for part in again] == before
    assert write(table, *records, name="b")[0].path != first[0].path


def test_parts_are_cut_by_deployment_kind_and_day(table: ParquetTable) -> None:
    later = prediction(3)._replace(ts_ns=START_NS + DAY)
    other = prediction(4)._replace(deployment="a/b")
    event = EventRecord(ts_ns=START_NS, name="swap", detail="d")
    parts = write(table, prediction(1), later, other, feedback(1), event)
    assert {(part.deployment, part.kind, part.date) for part in parts} == {
        ("ward", "prediction", "2026-01-01"),
        ("ward", "prediction", "2026-01-02"),
        ("a/b", "prediction", "2026-01-01"),
        ("ward", "feedback", "2026-01-01"),
        ("", "event", "2026-01-01"),
    }
    assert [part.id for part in parts] == sorted(part.id for part in parts)
    assert all(part.path.count("/") == 3 for part in parts)


def test_the_first_of_two_equal_records_is_kept(table: ParquetTable) -> None:
    parts = write(table, prediction(1), prediction(1)._replace(total_us=9_999), feedback(1), feedback(1))
    assert [part.rows for part in parts] == [1, 1]
    assert np.asarray(table.rows(parts, query()).total_us).tolist() == [41]


def test_the_latest_observation_wins(table: ParquetTable) -> None:
    late = replace(feedback(1, "no"), observed_ns=START_NS + 90 * SECOND)
    tied = replace(feedback(1, "no", delay_ns=12 * SECOND), observed_ns=feedback(1).observed_ns)
    assert labels(table.rows(write(table, prediction(1), feedback(1), late), query())) == ["no"]
    rows = table.rows(write(table, prediction(1), feedback(1), tied, name="b"), query())
    assert (labels(rows), np.asarray(rows.label_ns).tolist()) == (["no"], [tied.ts_ns])


def test_a_replay_sees_the_labels_of_its_time(table: ParquetTable) -> None:
    parts = write(table, prediction(1), feedback(1), feedback(1, "no", delay_ns=60 * SECOND))
    assert labels(table.rows(parts, query())) == ["no"]
    assert labels(table.rows(parts, query(labelled_until_ns=START_NS + 30 * SECOND))) == ["yes"]
    assert labels(table.rows(parts, query(labelled_until_ns=START_NS))) == [None]


def test_a_label_without_row_means_the_only_row(table: ParquetTable) -> None:
    by_row = replace(feedback(2), prediction_id=f"{request_id(2)}:1")
    parts = write(table, prediction(1, rows=2), prediction(2, rows=2), feedback(1), by_row, feedback(9))
    assert labels(table.rows(parts, query())) == [None, None, None, "yes"]


def by_entity(observed_s: int, label: str = "yes") -> FeedbackRecord:
    at_ns = START_NS + observed_s * SECOND
    return replace(
        feedback(0, label), feedback_id=f"e{observed_s}", prediction_id="", entity_id="bed 7", observed_ns=at_ns
    )


def test_a_label_by_entity_means_its_latest_row_at_the_time(table: ParquetTable) -> None:
    seen = [prediction(i)._replace(entity_id="bed 7") for i in (10, 20, 30)]
    parts = write(table, *seen, prediction(25), by_entity(5), by_entity(29), by_entity(35, "no"))
    assert labels(table.rows(parts, query())) == [None, "yes", None, "no"]
    # A later row outside the range still takes the label away from the earlier one.
    assert labels(table.rows(parts, query(end_ns=START_NS + 15 * SECOND))) == [None]
    assert labels(table.rows(parts, query(start_ns=START_NS + 15 * SECOND))) == ["yes", None, "no"]


def test_a_shadow_is_labelled_through_its_parent(table: ParquetTable) -> None:
    shadow = prediction(3)._replace(kind=RecordKind.SHADOW, arm=Arm.SHADOW, version=2, parent_id=request_id(1))
    parts = write(table, prediction(1), shadow, feedback(1))
    rows = table.rows(parts, query(kind="shadow"))
    assert labels(rows) == ["yes"]
    assert np.asarray(rows.parent_ids).tolist() == np.asarray(table.rows(parts, query()).ids).tolist()


def test_a_query_restricts_version_arm_rollout_and_time(table: ParquetTable) -> None:
    records = [
        prediction(1),
        prediction(2)._replace(version=2, arm=Arm.CHALLENGER, rollout_id="r1"),
        prediction(3)._replace(arm=Arm.CONTROL, rollout_id="r1"),
    ]
    parts = write(table, *records)

    def versions(**changes: object) -> list[int]:
        return [int(i) for i in np.asarray(table.rows(parts, query(**changes)).version)]

    assert versions(versions=(2,)) == [2]
    assert versions(arms=("control", "challenger")) == [2, 1]
    assert versions(rollout_id="r1", versions=(1,)) == [1]
    assert versions(start_ns=START_NS + 2 * SECOND, end_ns=START_NS + 3 * SECOND) == [2]
    assert versions(limit=2) == [1, 2]
    assert versions(deployment="other") == []
    assert not table.rows(parts, query(with_columns=False)).columns


def test_parts_that_overlap_in_time_are_put_in_order(table: ParquetTable) -> None:
    parts = (*write(table, prediction(1), prediction(3), name="b"), *write(table, prediction(2), name="c"))
    assert np.asarray(table.rows(parts, query()).total_us).tolist() == [41, 42, 43]


def test_no_rows_give_empty_arrays_of_the_right_shape(table: ParquetTable) -> None:
    parts = write(table, prediction(1), feedback(1))
    for rows, k in ((table.rows(parts, query(end_ns=START_NS)), 2), (table.rows((), query()), 1)):
        assert (rows.n, np.asarray(rows.raw).shape, np.asarray(rows.scores).shape) == (0, (0, k), (0, k))
        assert np.asarray(rows.labels).dtype == object
        assert np.asarray(rows.ts_ns).dtype == np.int64
        assert np.asarray(rows.ids).shape == (0,)


def test_versions_with_other_columns_share_the_union(table: ParquetTable) -> None:
    told = SchemaRecord(digest="d2", numeric=("dose",), text=("age",), classes=("no", "yes"), target="ill")
    second = prediction(2)._replace(digest="d2", numeric=pack("<d", 5.0), text=("old",))
    one_part = write(table, prediction(1), told, second)
    two_parts = (*write(table, prediction(1), name="b"), *write(table, told, second, name="c"))
    for parts in (one_part, two_parts):
        rows = table.rows(parts, query())
        assert np.asarray(rows.columns["dose"]).tolist() == [2.0, 5.0]
        assert np.asarray(rows.columns["age"]).tolist() == ["1", "old"]
        assert np.asarray(rows.columns["site"]).tolist() == ["north", None]


def test_a_record_whose_schema_was_lost_is_kept_by_place(table: ParquetTable) -> None:
    rows = table.rows(table.write([segment()], iter([prediction(1)]), NOW), query())
    assert np.asarray(rows.raw).tolist() == [[0.25, 0.75]]
    assert set(rows.columns) == {"#0", "#1", "#t0"}


def failure(i: int) -> LogRecord:
    return prediction(i)._replace(
        kind=RecordKind.FAILURE, rows=0, numeric=b"", text=(), raw=b"", error_code="model.failed"
    )


def test_failures_are_counted_per_request(table: ParquetTable) -> None:
    parts = write(table, prediction(1, rows=5), prediction(2), failure(3), feedback(1))
    assert table.failures(parts, query()) == (FailureCount(version=1, arm="champion", requests=3, failures=1),)
    assert table.failures(parts, query(versions=(2,))) == ()
    assert table.failures(parts, query(end_ns=START_NS)) == ()


def test_a_failure_keeps_its_inputs_and_counts_once(table: ParquetTable) -> None:
    failed = prediction(3, rows=2)._replace(kind=RecordKind.FAILURE, raw=b"", outputs=b"", error_code="busy.deadline")
    parts = write(table, prediction(1, rows=5), failed)
    assert table.failures(parts, query()) == (FailureCount(version=1, arm="champion", requests=2, failures=1),)
    assert table.find(parts, failed.prediction_id) == failed
    assert len(np.asarray(table.rows(parts, query()).raw)) == 5


def test_a_request_is_found_by_its_id(table: ParquetTable) -> None:
    shadow = prediction(3)._replace(kind=RecordKind.SHADOW, parent_id=request_id(1), entity_id="bed 7")
    wanted = [prediction(1), prediction(2, rows=3)._replace(outputs=pack("<6d", *range(6))), shadow, failure(4)]
    parts = write(table, *wanted, feedback(1))
    for record in wanted[:3]:
        assert table.find(parts, record.prediction_id) == record  # type: ignore[union-attr]
    found = table.find(parts, request_id(4))
    assert found is not None
    assert (found.kind, found.error_code, found.raw) == (RecordKind.FAILURE, "model.failed", b"")
    row = table.find(parts, f"{request_id(2)}:1")
    assert row is not None
    assert (row.prediction_id, row.rows, row.text) == (f"{request_id(2)}:1", 1, (None,))
    assert table.find(parts, request_id(9)) is None
    assert table.find(parts, "no uuid") is None


def test_a_lost_part_is_a_store_error(table: ParquetTable, tmp_path: Path) -> None:
    parts = write(table, prediction(1))
    (tmp_path / "tables" / parts[0].path).unlink()
    for call in (table.rows, table.failures):
        with pytest.raises(StoreError, match="cannot read part"):
            call(parts, query())
    with pytest.raises(StoreError):
        table.find(parts, request_id(1))


def test_an_unwritable_folder_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "tables").write_text("a file")
    with pytest.raises(StoreError, match="cannot write"):
        write(ParquetTable(tmp_path / "tables"), prediction(1))
