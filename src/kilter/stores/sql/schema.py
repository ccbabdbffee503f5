"""The schema's revision: created, checked, brought up to date."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from kilter.errors import StoreError
from kilter.stores.sql.table import REVISION_TABLE, metadata, triggers

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["HEAD", "MIGRATIONS", "create", "require_known", "revision", "upgrade"]

HEAD = "0002"
"""The revision that this kilter writes. Revisions are numbers of four digits, in one line."""

MIGRATIONS = Path(__file__).parent / "migrations"
"""Alembic's folder."""


def revision(connection: sa.Connection) -> str | None:
    """Return the revision that the schema is at, or None for a database without tables.

    Raises
    ------
    StoreError
        If the database belongs to something else than kilter.
    """
    names = sa.inspect(connection).get_table_names()
    if not names:
        return None
    stamp = metadata().tables[REVISION_TABLE].c.version_num
    found = connection.execute(sa.select(stamp)).scalar() if REVISION_TABLE in names else None
    if found is None:
        message = "the database is not a store of kilter: it has tables, but no revision"
        raise StoreError(message, why=f"found {', '.join(names[:3])}", hint="give kilter a home folder of its own")
    return str(found)


def require_known(found: str, head: str = HEAD) -> None:
    """Refuse a schema that is newer than this kilter.

    Raises
    ------
    StoreError
        If the revision is unknown here; both are named.
    """
    if not (found.isdigit() and found <= head):
        message = f"the store is at revision {found}, newer than the {head} that this kilter knows"
        raise StoreError(
            message, hint="run `pip install --upgrade kilter`, or give this version a home folder of its own"
        )


def create(connection: sa.Connection) -> None:
    """Make all tables at the newest revision, in the caller's transaction; spares a new store all of Alembic."""
    metadata().create_all(connection, checkfirst=False)
    for statement in triggers():
        connection.execute(sa.text(statement))
    connection.execute(sa.insert(metadata().tables[REVISION_TABLE]), {"version_num": HEAD})


def upgrade(
    connection: sa.Connection, backup: Callable[[str], None], *, head: str = HEAD, folder: Path = MIGRATIONS
) -> None:
    """Run the missing revisions in the caller's transaction, after a backup named for the present revision.

    Raises
    ------
    StoreError
        If the schema is newer than ``head``, or a revision fails; the caller rolls back.
    """
    present = revision(connection)
    if present is not None:
        require_known(present, head)
        if present == head:
            return
        backup(present)
    from alembic import command  # noqa: PLC0415 - slow to import, and an up-to-date store does not need it
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(folder))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, head)
    except (CommandError, sa.exc.SQLAlchemyError) as cause:
        message = f"the store cannot be brought from revision {present or 'none'} to {head}"
        raise StoreError(
            message,
            why=str(cause).splitlines()[0],
            hint="run `kilter doctor`; the store is unchanged, and its backup lies beside it",
        ) from cause
