"""The reader of users' tables, and the writer of kilter's own."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kilter.contracts.signature import ColumnType
from kilter.contracts.table import Table
from kilter.errors import KilterError, NotFound, SchemaMismatch, StoreError, TooLarge, UnsupportedMedia
from kilter.stores.sheets import source

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kilter.contracts.arrays import Array, Columns
    from kilter.stores.sheets.column import Typed

    Parser: TypeAlias = Callable[[bytes], dict[str, Typed]]

__all__ = ["Sheets"]

_ARROW = {ColumnType.BOOLEAN: pa.bool_(), ColumnType.INTEGER: pa.int64(), ColumnType.FLOAT: pa.float64()}


class Sheets:
    """A ``TableReader`` for ``.csv``, ``.tsv``, ``.parquet``, ``.arrow``, ``.jsonl``, ``.xlsx``; text also ``.gz``.

    Guarantees: as the port. Text files keep the cells of text columns as written; the usual spellings of a
    missing value (empty, ``NA``, ``null`` ...) are missing. Holds no state; safe from threads.
    """

    def read(self, path: str) -> Table:
        """Read a whole table.

        Parameters
        ----------
        path : str
            The file; its suffix says what it is.

        Returns
        -------
        Table

        Raises
        ------
        NotFound
            If there is no such file.
        SchemaMismatch
            If it is empty, ragged, has duplicate column names, or is no table.
        UnsupportedMedia
            If the suffix is of no known kind.
        TooLarge
            If it has more than 2,000 columns or 2 GiB.
        StoreError
            If the file cannot be read.
        """
        file = Path(path)
        parse, is_packed = _parser(file)
        data = _bytes(file)
        try:
            columns = parse(source.unpacked(data) if is_packed else data)
            rows = len(next(iter(columns.values()))[1])
            if rows == 0:
                message = "the table has a header, but no rows"
                raise SchemaMismatch(message, hint="give a table with at least one row")
        except KilterError as error:
            error.where = f"{path}: {error.where}" if error.where else path
            raise
        return Table(
            name=file.name,
            rows=rows,
            types={name: kind for name, (kind, _) in columns.items()},
            columns={name: cells for name, (_, cells) in columns.items()},
            digest="sha256:" + hashlib.sha256(data).hexdigest(),
        )

    def to_arrow(self, table: Table) -> bytes:
        """Return the table as an Arrow IPC stream, with the types of its columns and nulls for missing cells.

        Parameters
        ----------
        table : Table
            As ``read`` gives it.

        Returns
        -------
        bytes

        Raises
        ------
        StoreError
            If it cannot be encoded.
        """
        sink = pa.BufferOutputStream()
        try:
            encoded = pa.table({name: _encoded(table.columns[name], kind) for name, kind in table.types.items()})
            with pa.ipc.new_stream(sink, encoded.schema) as writer:
                writer.write_table(encoded)
        except (pa.ArrowException, KeyError, OverflowError) as cause:
            message = f"the table `{table.name}` cannot be encoded"
            raise StoreError(message, why=str(cause), hint="check that its columns hold what its types say") from cause
        return bytes(sink.getvalue().to_pybytes())

    def to_parquet(self, columns: Columns, path: str, types: Mapping[str, ColumnType] | None = None) -> None:
        """Write columns as one Parquet file, whole or not at all.

        Parameters
        ----------
        columns : mapping of name to array
            float64 (NaN becomes null) or text.
        path : str
            The file; an older one is replaced.
        types : mapping of name to ColumnType or None
            Integers and booleans among the columns; others become what their cells are.

        Raises
        ------
        StoreError
            If the file cannot be written.
        """
        target = Path(path)
        spool = target.with_name(f"{target.name}.{os.getpid()}.tmp")
        try:
            table = pa.table({name: _encoded(cells, (types or {}).get(name)) for name, cells in columns.items()})
            with spool.open("wb") as file:
                pq.write_table(table, file, compression="zstd")
                file.flush()
                os.fsync(file.fileno())
            spool.replace(target)
        except (pa.ArrowException, OSError) as cause:
            message = "the table cannot be written"
            raise StoreError(
                message, where=path, why=str(cause), hint="check the free space and the owner of the folder"
            ) from cause
        finally:
            spool.unlink(missing_ok=True)


def _parser(file: Path) -> tuple[Parser, bool]:
    """Choose by suffix how a file is read, and whether it is packed."""
    parsers: dict[str, Parser] = {
        ".csv": source.csv_columns,
        ".tsv": source.csv_columns,
        ".parquet": source.parquet_columns,
        ".pq": source.parquet_columns,
        ".arrow": source.arrow_columns,
        ".feather": source.arrow_columns,
        ".ipc": source.arrow_columns,
        ".jsonl": source.json_columns,
        ".ndjson": source.json_columns,
        ".xlsx": source.xlsx_columns,
    }
    name = file.name.lower()
    is_packed = name.endswith(".gz")
    suffix = Path(name.removesuffix(".gz")).suffix
    if suffix not in parsers or (is_packed and suffix not in {".csv", ".tsv", ".jsonl", ".ndjson"}):
        message = f"`{file.name}` is of no kind of table that is read"
        raise UnsupportedMedia(
            message, where=str(file), hint="use `.csv`, `.csv.gz`, `.tsv`, `.parquet`, `.arrow`, `.jsonl` or `.xlsx`"
        )
    return parsers[suffix], is_packed


def _bytes(file: Path) -> bytes:
    """Read a file that is not too large."""
    try:
        size_bytes = file.stat().st_size
        if size_bytes > source.MAX_BYTES:
            message = f"the file has {size_bytes / 1024**3:.1f} GiB; at most 2 GiB are read"
            raise TooLarge(message, where=str(file), hint="give a sample of the rows, or Parquet")
        return file.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as cause:
        message = f"there is no file `{file.name}`"
        raise NotFound(message, where=str(file), hint="check the path") from cause
    except OSError as cause:
        message = f"the file `{file.name}` cannot be read"
        raise StoreError(
            message, where=str(file), why=cause.strerror, hint="check what it is, and its owner"
        ) from cause


def _encoded(cells: Array, kind: ColumnType | None) -> pa.Array:
    """Return a column as Arrow: NaN and None are null; without a type, numbers are floats."""
    array = np.asarray(cells)
    if array.dtype == object:
        return pa.array(array, type=pa.string())
    numbers = pa.array(np.asarray(array, dtype=np.float64), from_pandas=True)
    return numbers.cast(_ARROW.get(kind or ColumnType.FLOAT, pa.float64()))
