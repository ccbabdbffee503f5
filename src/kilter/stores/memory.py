"""Stores that live as long as their process: for tests, notebooks and trials."""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING, TypeVar

from kilter.contracts.ids import Digest
from kilter.errors import Conflict, NotFound, StoreError
from kilter.stores.sql.codec import decode, encode
from kilter.stores.sql.layout import check_limit, layout_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kilter.contracts.metadata import ReadTx, Record, WriteTx
    from kilter.stores.sql.layout import KindLayout

    R = TypeVar("R", bound=Record)
    _Row = tuple[dict[str, str | int | None], bytes]
    _Tables = dict[str, dict[str, _Row]]

T = TypeVar("T")

__all__ = ["MemoryBlobs", "MemoryMetadata"]


class MemoryMetadata:
    """A ``MetadataStore`` in memory, with the meaning of the SQL stores: records are encoded, so a copy comes back.

    Guarantees: as the port, but for durability: everything is gone with the process. Safe from threads.
    """

    def __init__(self) -> None:
        self._tables: _Tables = {}
        self._writing = threading.Lock()
        self._writer: int | None = None
        self._is_closed = False

    def read(self, fn: Callable[[ReadTx], T]) -> T:
        """Run ``fn`` on one consistent view.

        Raises
        ------
        StoreError
            If the store is closed.
        """
        return self._run(fn, _Tx(self._tables, is_reader=True))

    def write(self, fn: Callable[[WriteTx], T]) -> T:
        """Run ``fn`` in one transaction; an exception in ``fn`` rolls back and is raised.

        Raises
        ------
        StoreError
            If the store is closed, or this thread is inside ``write`` already.
        """
        if self._writer == threading.get_ident():
            message = "a write was started inside a write"
            raise StoreError(message, hint="pass the open `tx` on instead")
        with self._writing:
            self._writer = threading.get_ident()
            try:
                tx = _Tx(dict(self._tables), is_reader=False)
                outcome = self._run(fn, tx)
                self._tables = tx.tables
            finally:
                self._writer = None
        return outcome

    def close(self) -> None:
        """Refuse all later calls."""
        self._is_closed = True

    def _run(self, fn: Callable[[_Tx], T], tx: _Tx) -> T:
        """Run a function on a view that dies with it."""
        if self._is_closed:
            message = "the store is closed"
            raise StoreError(message, hint="open it again")
        try:
            return fn(tx)
        finally:
            tx.is_over = True


class _Tx:
    """One view of the tables; a table is copied before its first change."""

    def __init__(self, tables: _Tables, *, is_reader: bool) -> None:
        self.tables = tables
        self._is_reader = is_reader
        self.is_over = False
        self._own: set[str] = set()

    def get(self, kind: type[R], record_id: str) -> R | None:
        """Return one record, or None."""
        row = self._table(layout_of(kind)).get(record_id)
        return None if row is None else decode(kind, row[1])

    def list(
        self,
        kind: type[R],
        *,
        where: Mapping[str, str | int | bool | None] | None = None,
        after: str | None = None,
        limit: int = 500,
        newest_first: bool = False,
    ) -> tuple[R, ...]:
        """Return records in order of id."""
        check_limit(limit)
        layout = layout_of(kind)
        wanted = layout.conditions(where)
        table = self._table(layout)
        ids = [
            key
            for key, (columns, _) in table.items()
            if (after is None or (key < after if newest_first else key > after))
            and all(columns[name] == value for name, value in wanted.items())
        ]
        ids.sort(reverse=newest_first)
        return tuple(decode(kind, table[key][1]) for key in ids[:limit])

    def add(self, record: Record) -> None:
        """Insert a new record."""
        layout = layout_of(type(record))
        body = encode(record)
        table = self._table(layout)
        if record.id in table:
            message = f"{layout.kind.__name__} `{record.id}` exists already"
            raise Conflict(message, details={"field": "id"})
        row = layout.row(record)
        self._refuse_double(layout, row)
        self._own_table(layout)[record.id] = (row, body)

    def replace(self, record: Record) -> None:
        """Replace a mutable record whose stored version is one less."""
        layout = layout_of(type(record))
        body = encode(record)
        if not layout.is_mutable:
            message = f"{layout.kind.__name__} `{record.id}` cannot change: its kind is immutable"
            raise Conflict(message)
        stored = self._table(layout).get(record.id)
        if stored is None:
            message = f"there is no {layout.kind.__name__} `{record.id}`"
            raise NotFound(message)
        row = layout.row(record)
        current, given = stored[0]["version"], row["version"]
        if not isinstance(given, int) or current != given - 1:
            message = f"{layout.kind.__name__} `{record.id}` is at version {current}, not the one before {given}"
            raise Conflict(
                message,
                hint="read it again and repeat the change",
                details={"current_version": current},
            )
        self._refuse_double(layout, row)
        self._own_table(layout)[record.id] = (row, body)

    def _refuse_double(self, layout: KindLayout, row: dict[str, str | int | None]) -> None:
        """Refuse a second record with the same unique fields; unknown (None) is equal to nothing."""
        for names in layout.unique:
            values = [row[name] for name in names]
            for key, (other, _) in self._table(layout).items():
                if key != row["id"] and None not in values and values == [other[name] for name in names]:
                    shown = ", ".join(f"{name} {value}" for name, value in zip(names, values, strict=True))
                    message = f"{layout.kind.__name__} with {shown} exists already"
                    raise Conflict(message, details={"field": names[-1]})

    def _table(self, layout: KindLayout) -> dict[str, _Row]:
        """Return a kind's rows as this view sees them."""
        if self.is_over:
            message = "the transaction is over"
            raise StoreError(message, hint="use `tx` only inside the function it was given to")
        return self.tables.get(layout.table, {})

    def _own_table(self, layout: KindLayout) -> dict[str, _Row]:
        """Return a kind's rows for changing."""
        if self._is_reader:
            message = "a read cannot change the store"
            raise StoreError(message, hint="use `write`")
        if layout.table not in self._own:
            self.tables[layout.table] = dict(self.tables.get(layout.table, {}))
            self._own.add(layout.table)
        return self.tables[layout.table]


class MemoryBlobs:
    """A ``BlobStore`` in memory.

    Guarantees: as the port, but for durability: everything is gone with the process. Safe from threads.
    """

    def __init__(self) -> None:
        self._blobs: dict[Digest, bytes] = {}

    def put(self, data: bytes) -> Digest:
        """Store bytes and return their digest."""
        digest = Digest("sha256:" + hashlib.sha256(data).hexdigest())
        self._blobs[digest] = bytes(data)
        return digest

    def get(self, digest: Digest) -> bytes:
        """Return the bytes of a digest.

        Raises
        ------
        NotFound
            If there is no such blob.
        """
        try:
            return self._blobs[digest]
        except KeyError as cause:
            message = f"there is no blob `{digest}`"
            raise NotFound(message) from cause

    def has(self, digest: Digest) -> bool:
        """Say whether the blob is there."""
        return digest in self._blobs
