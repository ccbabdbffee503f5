"""Log records as Arrow tables: requests exploded to rows, versions aligned by the union of their columns."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from kilter.contracts.prediction import Arm, EventRecord, FeedbackRecord, PredictionRecord, RecordKind, SchemaRecord
from kilter.measures.rows import label_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["INPUT", "OUTPUT", "RAW", "SCHEMAS", "event_table", "feedback_table", "prediction_table", "record_of"]

INPUT, RAW, OUTPUT = "x.", "r.", "y."  # prefixes of the columns of inputs, raw and calibrated answers
SCHEMAS = b"kilter.schemas"  # key of the table's metadata: JSON, schema by digest

_TEXT = pa.dictionary(pa.int32(), pa.string())
_FIELDS: tuple[tuple[str, pa.DataType], ...] = (
    ("ts_ns", pa.int64()),
    ("deployment", _TEXT),
    ("version", pa.int64()),
    ("digest", _TEXT),
    ("generation", pa.int64()),
    ("arm", _TEXT),
    ("propensity", pa.float64()),
    ("face", _TEXT),
    ("rows", pa.int32()),
    ("threshold", pa.float64()),
    ("key", pa.uint64()),
    ("compute_us", pa.int64()),
    ("total_us", pa.int64()),
    ("flags", pa.int64()),
    ("request_id", pa.string()),
    ("rollout_id", _TEXT),
    ("error_code", _TEXT),
    ("queue_us", pa.int64()),
    ("trace_id", pa.string()),
)


def prediction_table(records: Sequence[PredictionRecord], schemas: Mapping[str, SchemaRecord]) -> pa.Table:
    """Return one row per input row (one for a failure without rows), by time, id, then row."""
    records = sorted(records, key=lambda record: (record.ts_ns, record.prediction_id))
    counts = np.array([max(record.rows, 1) for record in records], dtype=np.int64)
    owner = np.repeat(np.arange(len(records)), counts)
    row = np.arange(owner.size) - np.repeat(np.cumsum(counts) - counts, counts)
    columns: dict[str, pa.Array] = {
        "id": pa.array([f"{records[i].prediction_id}:{r}" for i, r in zip(owner, row, strict=True)], pa.string()),
        "row": pa.array(row, pa.int32()),
    }
    for name, kind in _FIELDS:
        values = [getattr(record, name) for record in records]
        columns[name] = pa.array(values, kind).take(pa.array(owner))
    columns["parent_id"] = pa.array(
        [f"{records[i].parent_id}:{r}" if records[i].parent_id else None for i, r in zip(owner, row, strict=True)],
        pa.string(),
    )
    columns["entity_id"] = pa.array(  # the entity of a request is that of its first row
        [None if r else records[i].entity_id for i, r in zip(owner, row, strict=True)], pa.string()
    )
    used = _schemas_of(records, schemas)
    columns |= _cells(records, counts, used)
    told = json.dumps({digest: asdict(used[digest]) for digest in sorted(used)}, sort_keys=True).encode()
    return pa.table(columns).replace_schema_metadata({SCHEMAS: told})


def feedback_table(records: Sequence[FeedbackRecord]) -> pa.Table:
    """Return one row per label, by time, then id."""
    records = sorted(records, key=lambda record: (record.ts_ns, record.feedback_id))
    text, number = pa.string(), pa.int64()
    kinds = {"ts_ns": number, "observed_ns": number, "weight": pa.float64()}
    names = ("feedback_id", "ts_ns", "deployment", "label", "observed_ns", "prediction_id", "entity_id")
    return pa.table(
        {
            name: pa.array([getattr(record, name) for record in records], kinds.get(name, text))
            for name in (*names, "name", "source", "weight")
        }
    )


def event_table(records: Sequence[EventRecord]) -> pa.Table:
    """Return one row per event, by time."""
    records = sorted(records, key=lambda record: (record.ts_ns, record.name, record.detail))
    kinds = {"ts_ns": pa.int64()}
    return pa.table(
        {
            name: pa.array([getattr(record, name) for record in records], kinds.get(name, pa.string()))
            for name in ("ts_ns", "name", "detail", "deployment")
        }
    )


def record_of(table: pa.Table, kind: RecordKind) -> PredictionRecord:
    """Put the rows of one request together again; its id is that of the first row where it is one of several."""
    first = table.slice(0, 1).to_pylist()[0]
    told = json.loads((table.schema.metadata or {}).get(SCHEMAS, b"{}"))
    schema = told.get(first["digest"], {"numeric": [], "text": [], "classes": []})
    identity, _, row = first["id"].rpartition(":")
    parent = (first["parent_id"] or "").rpartition(":")[0]
    names = schema["classes"] or ["value"]
    raw, outputs = _matrix(table, RAW, names), _matrix(table, OUTPUT, names)
    numeric = _matrix(table, INPUT, schema["numeric"])
    is_part = first["rows"] > table.num_rows
    known = {name: first.get(name) for name, _ in _FIELDS}  # an older part lacks columns that came later
    values = {name: value for name, value in known.items() if value is not None} | {"arm": Arm(first["arm"])}
    return PredictionRecord(
        kind=kind,
        prediction_id=f"{identity}:{row}" if is_part else identity,
        parent_id=parent,
        entity_id=first["entity_id"],
        numeric=numeric,
        text=() if schema["numeric"] and not numeric else _texts(table, schema["text"]),
        raw=raw,
        outputs=b"" if outputs == raw else outputs,
        **values | ({"rows": table.num_rows} if is_part else {}),
    )


def _texts(table: pa.Table, names: Sequence[str]) -> tuple[str | None, ...]:
    """Return text columns row by row, nothing where one is wholly absent."""
    if any(INPUT + name not in table.column_names for name in names):
        return ()
    columns = [table[INPUT + name].to_pylist() for name in names]
    return tuple(cell for cells in zip(*columns, strict=True) for cell in cells)


def _matrix(table: pa.Table, prefix: str, names: Sequence[str]) -> bytes:
    """Return columns as row-major float64, nothing where a column is wholly absent."""
    found = [table[prefix + name] for name in names if prefix + name in table.column_names]
    if len(found) < len(names) or not found or any(column.null_count for column in found):
        return b""
    return np.column_stack([column.to_numpy() for column in found]).astype("<f8").tobytes()


# ── Cells ────────────────────────────────────────────────────────────────────────────────────────


def _schemas_of(records: Sequence[PredictionRecord], schemas: Mapping[str, SchemaRecord]) -> dict[str, SchemaRecord]:
    """Return the schema of every digest; columns whose names were lost get their place as a name."""
    used: dict[str, SchemaRecord] = {}
    for record in records:
        if record.digest not in used:
            used[record.digest] = schemas.get(record.digest) or _nameless(record)
    return used


def _nameless(record: PredictionRecord) -> SchemaRecord:
    """Name a record's columns by their places."""
    rows = max(record.rows, 1)
    k = len(record.raw) // (8 * rows)
    return SchemaRecord(
        digest=record.digest,
        numeric=tuple(f"#{i}" for i in range(len(record.numeric) // (8 * rows))),
        text=tuple(f"#t{i}" for i in range(len(record.text) // rows)),
        classes=tuple(f"#{i}" for i in range(k)) if k > 1 else (),
        target="",
    )


def _cells(
    records: Sequence[PredictionRecord], counts: NDArray[np.int64], schemas: Mapping[str, SchemaRecord]
) -> dict[str, pa.Array]:
    """Return the columns of inputs and answers over all rows, null where a version does not have them."""
    starts = np.cumsum(counts) - counts
    total = int(counts.sum())
    numbers: dict[str, tuple[NDArray[np.float64], NDArray[np.bool_]]] = {}
    texts: dict[str, list[str | None]] = {}
    for digest, schema in schemas.items():
        mine = [i for i, record in enumerate(records) if record.digest == digest]
        answers = schema.classes or ("value",)
        for prefix, names, field in (
            (INPUT, schema.numeric, "numeric"),
            (RAW, answers, "raw"),
            (OUTPUT, answers, "outputs"),
        ):
            whole = [i for i in mine if len(_bytes_of(records[i], field)) == 8 * len(names) * counts[i]]
            if not names or not mine:
                continue
            matrix = np.frombuffer(b"".join(_bytes_of(records[i], field) for i in whole), "<f8").reshape(-1, len(names))
            at = _rows_of(starts, counts, whole)
            for j, name in enumerate(names):
                values, is_there = numbers.setdefault(prefix + name, (np.full(total, np.nan), np.zeros(total, bool)))
                values[at], is_there[at] = matrix[:, j], True
        d = len(schema.text)
        for i in mine:
            if d and len(records[i].text) == d * counts[i]:
                for j, name in enumerate(schema.text):
                    column = texts.setdefault(INPUT + name, [None] * total)
                    column[starts[i] : starts[i] + counts[i]] = records[i].text[j::d]
    for name in numbers.keys() & texts.keys():  # a number became text between versions
        values, is_there = numbers.pop(name)
        for i in np.flatnonzero(is_there).tolist():
            texts[name][i] = None if np.isnan(values[i]) else label_text(float(values[i]))
    columns = {name: pa.array(values, mask=~is_there) for name, (values, is_there) in numbers.items()}
    return columns | {name: pa.array(cells, _TEXT) for name, cells in texts.items()}


def _bytes_of(record: PredictionRecord, field: str) -> bytes:
    """Return a record's tensor; calibrated answers left out are the raw ones."""
    value: bytes = getattr(record, field)
    return record.raw if field == "outputs" and not value else value


def _rows_of(starts: NDArray[np.int64], counts: NDArray[np.int64], chosen: Sequence[int]) -> NDArray[np.int64]:
    """Return the row numbers of the chosen records."""
    if not chosen:
        return np.empty(0, dtype=np.int64)
    n = counts[list(chosen)]
    return np.repeat(starts[list(chosen)] - (np.cumsum(n) - n), n) + np.arange(int(n.sum()))
