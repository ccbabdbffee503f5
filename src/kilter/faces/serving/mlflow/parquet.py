"""A Parquet body to columns: refused by what it claims before it is unpacked.

The only file of the data plane that meets Arrow, which some damaged files make end its process: only
``parquet_child`` imports it, never an acceptor.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kilter.contracts.signature import ColumnType
from kilter.errors import KilterError, TooLarge
from kilter.faces.serving.limits import BODY_BYTES
from kilter.faces.serving.mlflow._pages import Claims, claims
from kilter.faces.serving.mlflow._parquet_words import unreadable
from kilter.faces.serving.mlflow.frame import Frame
from kilter.faces.serving.own.strict import refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilter.contracts.batch import Batch
    from kilter.faces.serving.mlflow.frame import FrameReader

__all__ = ["read_parquet"]

_FORM = "parquet"
_UNPACKED_BYTES = 4 * BODY_BYTES
_MAX_CHUNKS = 65_536
_THRIFT_BYTES = 2**20
_INDEX = re.compile(r"__index_level_\d+__")


def read_parquet(reader: FrameReader, body: bytes) -> Batch:
    """Return the batch of a Parquet body.

    Null and NaN are missing. Index columns that frame libraries add are left out.

    Parameters
    ----------
    reader : FrameReader
        Reads columns for the asked deployment.
    body : bytes
        One file of flat columns: numbers, booleans, text, or dictionaries of them.

    Returns
    -------
    Batch
        Rows in signature order.

    Raises
    ------
    InvalidRequest
        If the file cannot be read, has too many rows, or a value is wrong.
    SchemaMismatch
        If the columns are not the model's.
    TooLarge
        If it unpacks to more than is taken.
    """
    try:
        return reader.batch(_frame(reader, body))
    except KilterError:
        raise
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise unreadable() from error


def _frame(reader: FrameReader, body: bytes) -> Frame:
    """Check what the file claims, then unpack the model's columns."""
    with _opened(body, None, []) as file:
        schema, metadata = file.schema_arrow, file.metadata
    reader.check_size(_FORM, max(0, metadata.num_rows), max(1, metadata.num_columns))
    names = [name for name in schema.names if not _INDEX.fullmatch(name)]
    reader.check_names(_FORM, names)
    for name in names:
        _check_type(name, schema.field(name).type)
    prefixed = _check_claims(metadata, body)
    texts = {column.name for column in reader.signature.columns if column.type is ColumnType.TEXT}
    with _opened(body, metadata, [name for name in names if name in texts - prefixed]) as file:
        table = file.read(columns=names, use_threads=False)
    reader.check_size(_FORM, table.num_rows, len(names))
    return Frame(_FORM, {name: _cells(name, table.column(name)) for name in names}, table.num_rows)


def _opened(body: bytes, metadata: pq.FileMetaData | None, texts: list[str]) -> pq.ParquetFile:
    """Open the file; equal texts of the columns named are then unpacked once."""
    return pq.ParquetFile(
        pa.BufferReader(body),
        metadata=metadata,
        read_dictionary=texts,
        pre_buffer=False,
        thrift_string_size_limit=_THRIFT_BYTES,
        thrift_container_size_limit=_THRIFT_BYTES,
    )


def _check_type(name: str, kind: pa.DataType) -> None:
    """Refuse types that no column of a model has."""
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    tests = (pa.types.is_floating, pa.types.is_integer, pa.types.is_boolean, pa.types.is_null)
    texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    if not any(test(plain) for test in (*tests, *texts)):
        hint = "cast it to a number, a boolean or text before writing the file"
        field = f"{_FORM}.{name[:80]}"
        raise refusal(field, "numbers, booleans or text", str(plain)[:40], hint)


def _check_claims(metadata: pq.FileMetaData, body: bytes) -> set[str]:
    """Refuse a file whose pages say that they unpack to more than is taken; return columns with shared prefixes.

    Those cannot be unpacked text by text, so all that they may come to counts.
    """
    groups, width = metadata.num_row_groups, metadata.num_columns
    if groups * width > _MAX_CHUNKS:
        raise refusal(_FORM, f"at most {_MAX_CHUNKS} column chunks", f"{groups} x {width}", "write one row group")
    told: dict[str, list[Claims]] = {}
    for group in range(groups):
        row_group = metadata.row_group(group)
        for place in range(width):
            chunk = row_group.column(place)
            starts = [chunk.data_page_offset]
            if chunk.has_dictionary_page and chunk.dictionary_page_offset:
                starts.append(chunk.dictionary_page_offset)
            claimed = claims(body, min(starts), min(starts) + chunk.total_compressed_size)
            told.setdefault(chunk.path_in_schema, []).append(claimed)
    prefixed = {name for name, chunks in told.items() if any(claimed.is_prefixed for claimed in chunks)}
    _check_unpacked(
        sum(
            claimed.alone if name in prefixed else claimed.unpacked
            for name, chunks in told.items()
            for claimed in chunks
        )
    )
    return prefixed


def _check_unpacked(size_bytes: int) -> None:
    """Refuse more bytes than are taken."""
    if size_bytes > _UNPACKED_BYTES:
        message = f"the Parquet file unpacks to more than {_UNPACKED_BYTES} bytes"
        raise TooLarge(message, hint="send fewer rows, or score files with `kilter predict --in FILE`")


def _cells(name: str, column: pa.ChunkedArray) -> Sequence[Any]:
    """Return a column's cells; equal texts are one object, and together they are no longer than is taken."""
    if not pa.types.is_dictionary(column.type):
        plain: list[Any] = column.to_pylist()
        return plain
    cells: list[Any] = []
    size_bytes = 0
    for chunk in column.chunks:
        values: list[Any] = chunk.dictionary.to_pylist()
        lengths = np.array([len(value) if isinstance(value, str) else 8 for value in values], dtype=np.int64)
        places: list[int | None] = chunk.indices.to_pylist()
        if any(place is not None and not 0 <= place < len(values) for place in places):
            field = f"{_FORM}.{name[:80]}"
            raise refusal(field, "places in its dictionary", "one outside", "write the file anew")
        size_bytes += int(lengths[[place for place in places if place is not None]].sum()) if len(values) else 0
        _check_unpacked(size_bytes)
        cells += [None if place is None else values[place] for place in places]
    return cells
