"""One part as a file: its name follows from what is in it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kilter.contracts.log import LogPart
from kilter.errors import StoreError
from kilter.stores._file import replace_file
from kilter.stores.parquet._rows import INPUT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path


__all__ = ["ROW_GROUP", "read_part", "unreadable", "write_part"]

ROW_GROUP = 131_072
_COMPACTOR = "2"  # part of every key: another way of writing makes other parts


def write_part(
    folder: Path, place: tuple[str, str, str], table: pa.Table, *, sources: Sequence[str], now: datetime
) -> LogPart:
    """Write one part of a deployment, kind and day, each row a record; the same sources give the same file.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    deployment, kind, date = place
    facts = [*sources, deployment, kind, date, str(table.schema), _COMPACTOR]
    digest = hashlib.sha256("\n".join(facts).encode()).hexdigest()[:24]
    room = f"{'feedback' if kind == 'feedback' else 'predictions'}/deployment={quote(deployment, safe='')}"
    path = f"{room}/date={date}/{digest}.parquet"
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", compression_level=3, row_group_size=ROW_GROUP, version="2.6")
    data = sink.getvalue().to_pybytes()
    try:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        replace_file(folder / path, data)
    except OSError as cause:
        message = f"cannot write a part of the prediction log for {deployment}"
        hint = "free space on the disk, or make the folder writable; see `kilter doctor`"
        raise StoreError(message, where=str(folder / path), why=cause.strerror, hint=hint) from cause
    span = pc.min_max(table["ts_ns"]).as_py()
    return LogPart(
        id=f"part_{max(span['min'], 0):016x}_{digest}",
        deployment=deployment,
        kind=kind,
        date=date,
        path=path,
        rows=table.num_rows,
        size_bytes=len(data),
        min_ts_ns=span["min"],
        max_ts_ns=span["max"],
        created_at=now,
        records=table.num_rows,
    )


def read_part(folder: Path, part: LogPart, *, has_inputs: bool = True) -> pa.Table:
    """Read one part, with or without the columns of the inputs.

    Raises
    ------
    StoreError
        If it is gone or damaged.
    """
    try:
        with pq.ParquetFile(folder / part.path, pre_buffer=False) as file:
            names = None if has_inputs else [name for name in file.schema_arrow.names if name[:2] != INPUT]
            return file.read(columns=names, use_threads=part.rows > ROW_GROUP)
    except (OSError, pa.ArrowException) as cause:
        raise unreadable(part, cause) from cause


def unreadable(part: LogPart, cause: Exception) -> StoreError:
    """Return the error of a part that is gone or damaged."""
    message = f"cannot read part {part.id} of the prediction log"
    return StoreError(
        message, where=part.path, why=str(cause).partition("\n")[0], hint="restore the file from a backup"
    )
