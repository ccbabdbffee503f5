"""Rows of several parts as one table, and the join with the labels that won."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kilter.contracts.log import JoinedRows
from kilter.errors import StoreError
from kilter.stores.parquet._rows import INPUT, OUTPUT, RAW, SCHEMAS, prediction_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from kilter.contracts.arrays import Array

__all__ = ["BOOK", "LabelJoin", "in_time_order", "joined_rows", "last_observed_ns", "no_labels", "union_of"]

BOOK = ["id", "ts_ns", "entity_id"]  # what a label by entity needs of every row it could mean
_REACH_NS = 400 * 86_400 * 1_000_000_000

# `wanted` are the rows asked for, `book` all rows that an entity's label could mean, `label` the labels known.
# A label by request means its only row; the greatest (observed, received, feedback id) wins.
_JOIN = """
WITH said AS (
    SELECT w.n, l.label, l.observed_ns, l.ts_ns, l.feedback_id
    FROM wanted w JOIN label l ON l.target = w.target
    WHERE l.prediction_id <> '' AND (l.has_row OR w.rows = 1)
    UNION ALL
    SELECT w.n, e.label, e.observed_ns, e.ts_ns, e.feedback_id
    FROM (
        SELECT l.label, l.observed_ns, l.ts_ns, l.feedback_id, arg_max(b.id, (b.ts_ns, b.id)) AS id
        FROM label l JOIN book b ON b.entity_id = l.entity_id
            AND b.ts_ns <= l.observed_ns AND b.ts_ns >= l.observed_ns - $reach
        WHERE l.prediction_id = '' AND l.entity_id <> ''
        GROUP BY l.label, l.observed_ns, l.ts_ns, l.feedback_id
    ) e JOIN wanted w ON w.id = e.id
)
SELECT n, arg_max(label, (observed_ns, ts_ns, feedback_id)) AS label,
    arg_max(ts_ns, (observed_ns, ts_ns, feedback_id)) AS ts_ns
FROM said GROUP BY n
"""


class LabelJoin:
    """Finds the winning label of each row.

    Guarantees: safe from threads; DuckDB sees tables in memory only, no files and no extensions.
    """

    def __init__(self) -> None:
        self._local = threading.local()

    def winners(
        self, table: pa.Table, known: pa.Table, book: pa.Table, *, target: str
    ) -> tuple[NDArray[np.object_], NDArray[np.int64]]:
        """Return the winning label of each row, and when it arrived.

        Parameters
        ----------
        table : Table
            Rows wanted.
        known : Table
            Labels, as ``feedback_table`` makes them.
        book : Table
            Columns ``BOOK`` of every row that a label by entity could mean.
        target : str
            Column whose ids the labels name: ``id``, or ``parent_id`` for shadows.

        Returns
        -------
        pair of object (n,) and int64 (n,)
            Text or None; nanoseconds or 0.

        Raises
        ------
        StoreError
            If DuckDB cannot join them within its memory.
        """
        labels, label_ns = no_labels(table.num_rows)
        wanted = pa.table(
            {"n": np.arange(table.num_rows), "id": table["id"], "target": table[target], "rows": table["rows"]}
        )
        has_row = pc.match_substring(known["prediction_id"], ":")
        whole = pc.binary_join_element_wise(known["prediction_id"], "0", ":")
        known = known.append_column("has_row", has_row)
        known = known.append_column("target", pc.if_else(has_row, known["prediction_id"], whole))
        views = {"wanted": wanted, "book": book.select(BOOK), "label": known}
        connection = self._connection()
        try:
            for name, view in views.items():
                connection.register(name, view)
            won = connection.sql(_JOIN, params={"reach": _REACH_NS}).to_arrow_table()
        except duckdb.Error as cause:
            message = "cannot join labels to predictions"
            raise StoreError(message, why=str(cause), hint="ask for a shorter range") from cause
        finally:
            for name in views:
                connection.unregister(name)
        at = won["n"].to_numpy()
        labels[at] = won["label"].to_numpy()
        label_ns[at] = won["ts_ns"].to_numpy()
        return labels, label_ns

    def _connection(self) -> duckdb.DuckDBPyConnection:
        """Return this thread's connection."""
        found: duckdb.DuckDBPyConnection | None = getattr(self._local, "connection", None)
        if found is None:
            found = duckdb.connect(
                ":memory:",
                config={
                    "memory_limit": "1GB",
                    "enable_external_access": "false",
                    "autoinstall_known_extensions": "false",
                    "autoload_known_extensions": "false",
                    "lock_configuration": "true",
                },
            )
            self._local.connection = found
        return found


def no_labels(n: int) -> tuple[NDArray[np.object_], NDArray[np.int64]]:
    """Return the labels of rows that have none."""
    return np.full(n, None, dtype=object), np.zeros(n, dtype=np.int64)


def last_observed_ns(known: pa.Table) -> int | None:
    """Return the latest observation among the labels by entity, None if there are none."""
    is_by_entity = pc.and_(pc.equal(known["prediction_id"], ""), pc.not_equal(known["entity_id"], ""))
    last: int | None = pc.max(known["observed_ns"].filter(is_by_entity)).as_py()
    return last


def union_of(tables: Sequence[pa.Table]) -> pa.Table:
    """Return all rows under the union of the columns; no table gives no rows of the known columns."""
    if not tables:
        return prediction_table((), {})
    kinds: dict[str, set[pa.DataType]] = {}
    told: dict[str, object] = {}
    for table in tables:
        told |= json.loads((table.schema.metadata or {}).get(SCHEMAS, b"{}"))
        for field in table.schema:
            kinds.setdefault(field.name, set()).add(field.type)
    mixed = [name for name, found in kinds.items() if len(found) > 1]  # a number became text between versions
    aligned = [_as_text(table, mixed).replace_schema_metadata(None) for table in tables]
    whole = pa.concat_tables(aligned, promote_options="default").unify_dictionaries()
    return whole.replace_schema_metadata({SCHEMAS: json.dumps(told)})


def _as_text(table: pa.Table, names: Sequence[str]) -> pa.Table:
    """Turn these columns, where present, into text."""
    for name in names:
        if name in table.column_names:
            at = table.column_names.index(name)
            column = table[name]
            if pa.types.is_floating(column.type):
                column = pc.if_else(pc.is_nan(column), None, column)
            table = table.set_column(at, name, column.cast(pa.string()))
    return table


def in_time_order(table: pa.Table) -> pa.Table:
    """Sort rows by time; rows of one time keep their order, which is by id inside a part."""
    ts_ns = table["ts_ns"].to_numpy()
    if np.all(ts_ns[1:] >= ts_ns[:-1]):
        return table
    return table.take(pa.array(np.argsort(ts_ns, kind="stable")))


def joined_rows(table: pa.Table, labels: NDArray[np.object_], label_ns: NDArray[np.int64]) -> JoinedRows:
    """Return a table's rows and their labels as arrays."""
    raw = _answers(table, RAW)
    inputs = [name for name in table.column_names if name.startswith(INPUT)]
    return JoinedRows(
        n=table.num_rows,
        ids=_texts(table, "id"),
        parent_ids=_texts(table, "parent_id", empty=""),
        ts_ns=_numbers(table, "ts_ns"),
        version=_numbers(table, "version"),
        arm=_texts(table, "arm"),
        key=_numbers(table, "key"),
        raw=raw,
        scores=_answers(table, OUTPUT),
        threshold=_numbers(table, "threshold"),
        labels=labels,
        label_ns=label_ns,
        total_us=_numbers(table, "total_us"),
        flags=_numbers(table, "flags"),
        columns={name.removeprefix(INPUT): _cells(table, name) for name in inputs},
    )


def _answers(table: pa.Table, prefix: str) -> Array:
    """Return the answers as (n, classes), in the order of the model's classes."""
    told = json.loads((table.schema.metadata or {}).get(SCHEMAS, b"{}"))
    names = list(dict.fromkeys(prefix + name for schema in told.values() for name in schema["classes"] or ["value"]))
    names = [name for name in names if name in table.column_names]
    names = names or [name for name in table.column_names if name.startswith(prefix)]
    found = [table[name].to_numpy().astype(np.float64) for name in names]
    return np.column_stack(found) if found else np.full((table.num_rows, 1), np.nan)


def _numbers(table: pa.Table, name: str) -> Array:
    """Return a column of numbers."""
    numbers: Array = table[name].to_numpy()
    return numbers


def _texts(table: pa.Table, name: str, *, empty: str | None = None) -> Array:
    """Return a column of texts as objects."""
    column = table[name].cast(pa.string())
    texts: NDArray[np.object_] = (column if empty is None else column.fill_null(empty)).to_numpy().astype(object)
    return texts


def _cells(table: pa.Table, name: str) -> Array:
    """Return an input column: float64 with NaN, or objects with None."""
    kind = table.schema.field(name).type
    if pa.types.is_floating(kind) or pa.types.is_null(kind):
        return np.asarray(table[name].to_numpy(), dtype=np.float64)
    return _texts(table, name)
