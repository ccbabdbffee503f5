"""One transaction on a SQL store, as the services see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import sqlalchemy as sa

from kilter.errors import Conflict, NotFound, StoreError
from kilter.stores.sql.codec import decode, encode
from kilter.stores.sql.layout import check_limit, layout_of
from kilter.stores.sql.table import metadata

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kilter.contracts.metadata import Record
    from kilter.stores.sql.layout import KindLayout

    R = TypeVar("R", bound=Record)

__all__ = ["Work"]


class Work:
    """Both views of ``MetadataStore``: on a read-only connection the changes fail.

    Guarantees: every statement runs on the one connection given, inside the transaction that its owner began
    and ends; a refused ``add`` changes nothing, and the transaction can go on. Not safe from several threads.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        Open, with a transaction begun.
    """

    def __init__(self, connection: sa.Connection) -> None:
        self._open: sa.Connection | None = connection

    def get(self, kind: type[R], record_id: str) -> R | None:
        """Return one record, or None."""
        table = _table(layout_of(kind))
        body = self._connection.execute(sa.select(table.c.body).where(table.c.id == record_id)).scalar()
        return None if body is None else decode(kind, body.encode())

    def list(
        self,
        kind: type[R],
        *,
        where: Mapping[str, str | int | bool | None] | None = None,
        after: str | None = None,
        limit: int = 500,
        newest_first: bool = False,
    ) -> tuple[R, ...]:
        """Return records in order of id, filtered by equality; None is IS NULL.

        Raises
        ------
        ValueError
            If a field in ``where`` is not filterable, or the limit is not in 1 to 5,000.
        """
        check_limit(limit)
        layout = layout_of(kind)
        table = _table(layout)
        query = sa.select(table.c.body).limit(limit)
        for name, value in layout.conditions(where).items():
            query = query.where(table.c[name].is_(None) if value is None else table.c[name] == value)
        if after is not None:
            query = query.where(table.c.id < after if newest_first else table.c.id > after)
        query = query.order_by(table.c.id.desc() if newest_first else table.c.id)
        bodies = self._connection.execute(query).scalars().all()
        return tuple(decode(kind, body.encode()) for body in bodies)

    def add(self, record: Record) -> None:
        """Insert a new record.

        Raises
        ------
        Conflict
            If its id or a unique field exists already.
        """
        layout = layout_of(type(record))
        row = {**layout.row(record), "body": encode(record).decode()}
        try:
            self._connection.execute(sa.insert(_table(layout)), row)
        except sa.exc.IntegrityError as cause:
            raise _double(layout, record, cause) from cause

    def replace(self, record: Record) -> None:
        """Replace a mutable record whose stored version is one less.

        Raises
        ------
        Conflict
            If the stored version is another one, a unique field exists already, or the kind is immutable.
        NotFound
            If there is no such record.
        """
        layout = layout_of(type(record))
        name = f"{layout.kind.__name__} `{record.id}`"
        row = {**layout.row(record), "body": encode(record).decode()}
        if not layout.is_mutable:
            message = f"{name} cannot change: its kind is immutable"
            raise Conflict(message)
        table = _table(layout)
        given = int(row["version"] or 0)
        change = sa.update(table).where(table.c.id == record.id, table.c.version == given - 1).values(row)
        try:
            changed = self._connection.execute(change).rowcount
        except sa.exc.IntegrityError as cause:
            raise _double(layout, record, cause) from cause
        if changed:
            return
        current = self._connection.execute(sa.select(table.c.version).where(table.c.id == record.id)).scalar()
        if current is None:
            message = f"there is no {name}"
            raise NotFound(message)
        message = f"{name} is at version {current}, not the one before {given}"
        raise Conflict(message, hint="read it again and repeat the change", details={"current_version": current})

    def end(self) -> None:
        """Refuse all later calls: the transaction is over."""
        self._open = None

    @property
    def _connection(self) -> sa.Connection:
        """The connection, while the transaction lasts."""
        if self._open is None:
            message = "the transaction is over"
            raise StoreError(message, hint="use `tx` only inside the function it was given to")
        return self._open


def _table(layout: KindLayout) -> sa.Table:
    """Return the table of a kind."""
    return metadata().tables[layout.table]


def _double(layout: KindLayout, record: Record, cause: sa.exc.IntegrityError) -> Conflict:
    """Say which unique field exists already."""
    columns = [name for names in layout.unique for name in names if f"{layout.table}.{name}" in str(cause.orig)]
    shown = ", ".join(f"{name} {getattr(record, name)}" for name in columns) or f"id {record.id}"
    return Conflict(
        f"{layout.kind.__name__} with {shown} exists already", details={"field": columns[-1] if columns else "id"}
    )
