"""Metadata in one SQLite file."""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import sqlalchemy as sa

from kilter.contracts.store import StoreSpec
from kilter.errors import StoreError
from kilter.stores.sql.schema import HEAD, create, require_known, revision, upgrade
from kilter.stores.sql.work import Work

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilter.contracts.metadata import MetadataStore, ReadTx, WriteTx

__all__ = ["STORE", "open"]

STORE = StoreSpec(name="sqlite", keeps=("metadata",))

T = TypeVar("T")

_BUSY_S = 5.0
_TRIES = 5
_JITTER_S = 0.010
_OLDEST = (3, 35, 0)
_NETWORK = frozenset({"afs", "ceph", "cifs", "fuse.sshfs", "lustre", "nfs", "nfs4", "smb3", "smbfs"})

# primary result code: (what failed, hint)
_FAULTS = {
    sqlite3.SQLITE_BUSY: ("the store is busy", "look for a process that keeps it locked, then try again"),
    sqlite3.SQLITE_CANTOPEN: ("the store cannot be opened", "check that the folder exists and can be written"),
    sqlite3.SQLITE_CORRUPT: ("the store is damaged", "restore it from a backup; `kilter doctor` shows where they are"),
    sqlite3.SQLITE_FULL: ("the store cannot grow: the disk is full", "free some space, then try again"),
    sqlite3.SQLITE_IOERR: ("the store's disk fails", "check the disk; `kilter doctor` measures it"),
    sqlite3.SQLITE_NOTADB: ("the store is not a database", "move the file away, or restore it from a backup"),
    sqlite3.SQLITE_READONLY: (
        "the store cannot be written: it is read-only",
        "check the owner of the file and its disk",
    ),
}


def open(path: str) -> MetadataStore:  # noqa: A001 - every store module is opened by this name
    """Open a store, making or migrating its schema first.

    Parameters
    ----------
    path : str
        The database file; its folder exists.

    Returns
    -------
    MetadataStore

    Raises
    ------
    StoreError
        If the file cannot be opened, is no store of kilter, is from a newer kilter, or cannot be migrated.
    """
    _require_possible(path)
    store = _SqliteMetadata(path)
    try:
        store.prepare()
    except BaseException:
        store.close()
        raise
    return store


class _SqliteMetadata:
    """A ``MetadataStore`` on SQLite: WAL, full synchronisation, one writer at a time.

    Guarantees: as the port. Every write begins IMMEDIATE, so what a transaction has read cannot have been
    changed by another; reads see one snapshot and cannot write. Safe from threads and processes.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._writing = threading.local()
        self._is_closed = False
        self._writer = _engine(path, begin="BEGIN IMMEDIATE", is_reader=False)
        self._reader = _engine(path, begin="BEGIN", is_reader=True)

    def read(self, fn: Callable[[ReadTx], T]) -> T:
        """Run ``fn`` on one consistent view.

        Raises
        ------
        StoreError
            If the store fails.
        """
        return self._retry(lambda: _run(self._reader, fn))

    def write(self, fn: Callable[[WriteTx], T]) -> T:
        """Run ``fn`` in one transaction; an exception in ``fn`` rolls back and is raised.

        Raises
        ------
        StoreError
            If the store fails, or this thread is inside ``write`` already.
        """
        if getattr(self._writing, "is_on", False):
            message = "a write was started inside a write"
            raise StoreError(message, where=self._path, hint="pass the open `tx` on instead")
        self._writing.is_on = True
        try:
            return self._retry(lambda: _run(self._writer, fn))
        finally:
            self._writing.is_on = False

    def close(self) -> None:
        """Release connections; later calls raise."""
        self._is_closed = True
        self._reader.dispose()
        self._writer.dispose()

    def prepare(self) -> None:
        """Make or migrate the schema, unless it is up to date.

        Raises
        ------
        StoreError
            If that fails; the store is unchanged then.
        """
        if self._retry(self._revision) != HEAD:
            self._retry(self._migrate)

    def _revision(self) -> str | None:
        """Read the schema's revision, refusing a newer one."""
        with self._reader.connect() as connection:
            found = revision(connection)
            if found is not None:
                require_known(found)
            return found

    def _migrate(self) -> None:
        """Bring the schema up to date in one transaction; a second process waits, then finds it done."""
        with self._writer.begin() as connection:
            if revision(connection) is None:
                create(connection)
            else:
                upgrade(connection, lambda name: _copy(self._path, f"{self._path}.{name}.bak"))

    def _retry(self, step: Callable[[], T]) -> T:
        """Run a step again while another process is in the way; name every other fault."""
        if self._is_closed:
            message = "the store is closed"
            raise StoreError(message, where=self._path, hint="open it again")
        for tries_left in reversed(range(_TRIES)):
            try:
                return step()
            except (sa.exc.DBAPIError, sqlite3.Error) as cause:
                if not (_code(cause) == sqlite3.SQLITE_BUSY and tries_left):
                    raise _fault(cause, self._path) from cause
            except sa.exc.TimeoutError as cause:
                message = "the store is busy"
                raise StoreError(
                    message, where=self._path, why=str(cause), hint="look for a transaction that does not end"
                ) from cause
            time.sleep(random.uniform(0, _JITTER_S * 2 ** (_TRIES - tries_left)))  # noqa: S311 - jitter, not secrecy
        raise AssertionError  # pragma: no cover - the last try returns or raises


def _run(engine: sa.Engine, fn: Callable[[Work], T]) -> T:
    """Run a function in one transaction of its own."""
    with engine.begin() as connection:
        work = Work(connection)
        try:
            return fn(work)
        finally:
            work.end()


def _engine(path: str, *, begin: str, is_reader: bool) -> sa.Engine:
    """Build an engine whose connections start transactions only as told."""
    size = 4 if is_reader else 1
    engine = sa.create_engine(
        "sqlite+pysqlite://",
        creator=lambda: _connect(path, is_reader=is_reader),
        poolclass=sa.QueuePool,
        pool_size=size,
        max_overflow=28 if is_reader else 0,
        pool_timeout=60.0,
        pool_reset_on_return="rollback",
    )
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


def _connect(path: str, *, is_reader: bool) -> sqlite3.Connection:
    """Open one connection in the driver's autocommit mode, so that only kilter begins transactions."""
    connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        for pragma in (
            "PRAGMA journal_mode = WAL",
            "PRAGMA synchronous = FULL",
            "PRAGMA foreign_keys = ON",
            "PRAGMA trusted_schema = OFF",
            *(("PRAGMA query_only = ON",) if is_reader else ()),
        ):
            connection.execute(pragma)
    except BaseException:
        connection.close()
        raise
    return connection


def _copy(path: str, target: str) -> None:
    """Copy the committed state of the database into a file of its own, whole or not at all."""
    spool = Path(f"{target}.tmp")
    spool.unlink(missing_ok=True)
    with closing(sqlite3.connect(path, timeout=_BUSY_S)) as source, closing(sqlite3.connect(spool)) as copy:
        source.backup(copy)
    spool.replace(target)


def _require_possible(path: str) -> None:
    """Refuse what SQLite would fail at later, or silently."""
    if sqlite3.sqlite_version_info < _OLDEST:  # pragma: no cover - depends on the machine
        message = f"SQLite {sqlite3.sqlite_version} is too old: kilter needs 3.35"
        raise StoreError(message, hint="use a Python that is linked to a newer SQLite")
    kind = _file_system(Path(path).resolve(), _mounts())
    if kind in _NETWORK:
        message = f"the store lies on a network file system ({kind}), where SQLite loses data"
        raise StoreError(message, where=path, hint="set `home` to a folder on a local disk")


def _mounts() -> str:
    """Read the table of mounted file systems; empty where there is none."""
    table = Path("/proc/self/mounts")
    return table.read_text(encoding="utf-8", errors="replace") if table.exists() else ""


def _file_system(path: Path, mounts: str) -> str:
    """Name the kind of file system that a path lies on: that of the longest mount point above it."""
    found = [(Path(line.split(" ")[1].replace("\\040", " ")), line.split(" ")[2]) for line in mounts.splitlines()]
    above = [(len(point.parts), kind) for point, kind in found if path.is_relative_to(point)]
    return max(above, key=lambda pair: pair[0])[1] if above else ""


def _code(error: BaseException) -> int:
    """Return SQLite's primary result code of an error; 255 where it gave none."""
    raw = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    return int(getattr(raw, "sqlite_errorcode", -1)) & 0xFF


def _fault(error: sa.exc.DBAPIError | sqlite3.Error, path: str) -> StoreError:
    """Say what an error of the driver means."""
    raw = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    message, hint = _FAULTS.get(_code(error), ("the store failed", "run `kilter doctor`"))
    return StoreError(message, where=path, why=str(raw), hint=hint)
