"""What a version is made from, and the rows that prove it answers as it did."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from kilter.contracts.format import ReferenceTable
from kilter.contracts.golden import GoldenRows
from kilter.contracts.signature import ColumnType
from kilter.measures.rows import batch_of

if TYPE_CHECKING:
    from kilter.contracts.arrays import Array, Columns
    from kilter.contracts.ids import Digest
    from kilter.contracts.signature import Signature
    from kilter.contracts.spec import DataSpec, ModelSpec
    from kilter.contracts.table import Table, TableReader
    from kilter.measures.rows import FloatArray

__all__ = ["acceptable", "golden", "request_for", "sampled", "source_of"]

_GOLDEN_ROWS: Final = 100
_REFERENCE_ROWS: Final = 50_000


def source_of(model: ModelSpec, data: DataSpec, fingerprint: Digest, table: Table) -> bytes:
    """Describe what a version is made from, as canonical JSON."""
    facts = {
        "model": fingerprint,
        "reference": table.digest,
        "target": model.target,
        "task": model.task,
        "positive": model.positive,
        "ignored": list(_ignored(data)),
    }
    return msgspec.json.encode(facts, order="sorted")


def _ignored(data: DataSpec) -> tuple[str, ...]:
    """Name the columns that are for joining and checking only."""
    return tuple(dict.fromkeys(name for name in (data.id, data.time, *data.protected) if name))


def request_for(tables: TableReader, table: Table, model: ModelSpec, data: DataSpec) -> ReferenceTable:
    """Put the importer's request together."""
    return ReferenceTable(
        arrow_ipc=tables.to_arrow(table),
        target=model.target,
        positive=model.positive,
        task=model.task,
        ignored=_ignored(data),
    )


def sampled(table: Table) -> Table:
    """Take at most 50,000 rows in their order, drawn by the table's own digest."""
    if table.rows <= _REFERENCE_ROWS:
        return table
    seed = int(table.digest.rpartition(":")[2][:16], 16)
    rows = np.sort(np.random.default_rng(seed).choice(table.rows, _REFERENCE_ROWS, replace=False))
    return replace(
        table, rows=_REFERENCE_ROWS, columns={name: np.asarray(values)[rows] for name, values in table.columns.items()}
    )


def acceptable(signature: Signature, table: Table) -> dict[str, Array]:
    """Return the rows that have no gap where the model takes none."""
    keep = np.ones(table.rows, dtype=np.bool_)
    for column in signature.columns:
        if column.nullable or column.name not in table.columns:
            continue
        values = np.asarray(table.columns[column.name])
        if values.dtype == np.object_:
            keep &= np.array([value is not None for value in values.tolist()], dtype=np.bool_)
        elif column.type is not ColumnType.TEXT:
            keep &= ~np.isnan(values)
    return {name: np.asarray(values)[keep] for name, values in table.columns.items()}


def golden(signature: Signature, columns: Columns, raw: FloatArray) -> bytes:
    """Choose rows evenly, with the answers they got."""
    batch = batch_of(signature, columns)
    rows = np.unique(np.linspace(0, batch.rows - 1, min(batch.rows, _GOLDEN_ROWS)).astype(np.int64))
    numeric = np.asarray(batch.numeric)[rows].tolist()
    answers = raw.reshape(raw.shape[0], -1)[rows].tolist()
    rows_kept = GoldenRows(
        numeric=tuple(tuple(None if value != value else value for value in row) for row in numeric),  # noqa: PLR0124 - NaN
        text=tuple(tuple(row) for row in np.asarray(batch.text)[rows].tolist()),
        raw=tuple(tuple(row) for row in answers),
    )
    return msgspec.json.encode(rows_kept)
