from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest

from kilter.contracts.log import LogPart, RowQuery, SegmentInfo
from kilter.contracts.prediction import SchemaRecord
from kilter.errors import StoreError
from kilter.stores.clock import SystemClock
from kilter.stores.parquet import ParquetTable, PartFiles
from kilter.testing.log import START_NS, feedback, prediction, schema

if TYPE_CHECKING:
    from pathlib import Path

    from kilter.contracts.prediction import LogRecord

NOW = datetime(2026, 2, 1, tzinfo=UTC)


def written(folder: Path, name: str, *records: LogRecord) -> LogPart:
    info = SegmentInfo(id=name, path="", digest=name, size_bytes=1, records=1, min_ts_ns=0, max_ts_ns=0)
    (part,) = ParquetTable(folder).write([info], iter(records), NOW)
    return part


def test_a_merged_part_holds_the_rows_of_all_in_order_of_time(tmp_path: Path) -> None:
    late = written(tmp_path, "a", schema(), prediction(2), prediction(9, rows=3))
    early = written(tmp_path, "b", schema(), prediction(1), prediction(5), prediction(5))
    merged = PartFiles(tmp_path).merge([late, early], NOW)
    assert (merged.rows, merged.records, merged.doubles) == (6, 4, 1)
    assert merged.replaces == (early.id, late.id)
    assert (merged.deployment, merged.kind, merged.date) == (late.deployment, late.kind, late.date)
    assert (merged.min_ts_ns, merged.max_ts_ns) == (early.min_ts_ns, late.max_ts_ns)
    query = RowQuery(deployment="ward", start_ns=START_NS, end_ns=START_NS + 10**15)
    table = ParquetTable(tmp_path)
    one, two = table.rows([merged], query), table.rows([late, early], query)
    assert np.asarray(one.ids).tolist() == np.asarray(two.ids).tolist()
    assert np.asarray(one.columns["dose"]).tolist() == np.asarray(two.columns["dose"]).tolist()
    assert np.array_equal(np.asarray(one.raw), np.asarray(two.raw))


def test_merging_again_gives_the_same_file(tmp_path: Path) -> None:
    parts = [written(tmp_path, name, feedback(i)) for i, name in enumerate("ab")]
    first = PartFiles(tmp_path).merge(parts, NOW)
    data = (tmp_path / first.path).read_bytes()
    assert PartFiles(tmp_path).merge(parts[::-1], NOW + timedelta(days=1)).path == first.path
    assert (tmp_path / first.path).read_bytes() == data


def test_versions_with_other_columns_are_merged_under_their_union(tmp_path: Path) -> None:
    other = SchemaRecord(digest="d2", numeric=("weight", "site"), text=(), classes=("no", "yes"), target="ill")
    parts = [
        written(tmp_path, "a", schema(), prediction(1)),
        written(tmp_path, "b", other, prediction(2)._replace(digest="d2", text=())),
    ]
    merged = PartFiles(tmp_path).merge(parts, NOW)
    rows = ParquetTable(tmp_path).rows(
        [merged], RowQuery(deployment="ward", start_ns=START_NS, end_ns=START_NS + 10**15)
    )
    assert np.isnan(np.asarray(rows.columns["weight"])[0])
    assert np.asarray(rows.columns["weight"])[1] == 2.0
    assert np.asarray(rows.columns["site"]).tolist() == ["north", "3"]
    found = ParquetTable(tmp_path).find([merged], prediction(1).prediction_id)
    assert found == prediction(1)


def test_a_part_that_is_gone_cannot_be_merged(tmp_path: Path) -> None:
    parts = [written(tmp_path, name, feedback(i)) for i, name in enumerate("ab")]
    files = PartFiles(tmp_path)
    files.remove(parts[0])
    files.remove(parts[0])
    with pytest.raises(StoreError, match="cannot read part"):
        files.merge(parts, NOW)


def test_files_are_found_by_their_age(tmp_path: Path) -> None:
    part = written(tmp_path, "a", feedback(1))
    files, now = PartFiles(tmp_path), SystemClock().now()
    assert files.strays(now - timedelta(hours=1)) == ()
    assert files.strays(now + timedelta(hours=1)) == (part.path,)
    assert PartFiles(tmp_path / "none").strays(now) == ()


def test_a_folder_in_the_place_of_a_file_is_an_error_that_says_where(tmp_path: Path) -> None:
    (tmp_path / "odd").mkdir()
    with pytest.raises(StoreError, match="cannot delete parts") as caught:
        PartFiles(tmp_path).discard("odd")
    assert caught.value.where == str(tmp_path / "odd")
