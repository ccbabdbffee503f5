"""The port that reads a user's table from a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from kilter.contracts.arrays import Columns
from kilter.contracts.signature import ColumnType

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Table", "TableReader"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table in memory: float64 columns for numbers (NaN = missing), object columns for text (None = missing).

    ``types`` gives each column's declared or inferred type in file order; ``digest`` is SHA-256 of
    the file's bytes; ``arrow_ipc`` the same table as an Arrow IPC stream, for child processes.
    """

    name: str
    rows: int
    types: dict[str, ColumnType]
    columns: Columns
    digest: str


class TableReader(Protocol):
    """Reads CSV (also gzip), Parquet, Arrow IPC, JSON lines and XLSX by suffix.

    Guarantees: the file is not changed; types are inferred from whole columns.
    """

    def read(self, path: str) -> Table:
        """Read a whole table.

        Raises
        ------
        NotFound
            If there is no such file.
        SchemaMismatch
            If it is empty, ragged, has duplicate column names, or is no table (row and column named).
        UnsupportedMedia
            If the suffix is of no known kind.
        TooLarge
            If it has more than 2,000 columns or 2 GiB.
        """
        ...

    def to_arrow(self, table: Table) -> bytes:
        """Return the table as an Arrow IPC stream.

        Raises
        ------
        StoreError
            If it cannot be encoded.
        """
        ...

    def to_parquet(self, columns: Columns, path: str, types: Mapping[str, ColumnType] | None = None) -> None:
        """Write columns as one Parquet file, whole or not at all; ``types`` keeps integers and booleans what they are.

        Raises
        ------
        StoreError
            If the file cannot be written.
        """
        ...
