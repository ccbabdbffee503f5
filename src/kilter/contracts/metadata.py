"""The port to transactional metadata: records by type and id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["MetadataStore", "ReadTx", "Record", "WriteTx"]

R = TypeVar("R", bound="Record")
T = TypeVar("T")


@runtime_checkable
class Record(Protocol):
    """A frozen dataclass with a text ``id``; mutable kinds also carry an integer ``version``."""

    @property
    def id(self) -> str:
        """The record's key within its kind.

        Raises
        ------
        Nothing
        """
        ...


class ReadTx(Protocol):
    """One consistent view of the store, inside ``MetadataStore.read`` or ``write``."""

    def get(self, kind: type[R], record_id: str) -> R | None:
        """Return one record, or None.

        Raises
        ------
        StoreError
            If the store fails.
        """
        ...

    def list(
        self,
        kind: type[R],
        *,
        where: Mapping[str, str | int | bool | None] | None = None,
        after: str | None = None,
        limit: int = 500,
        newest_first: bool = False,
    ) -> tuple[R, ...]:
        """Return records in order of id (ids are time-ordered), filtered by equality on declared fields.

        ``after`` is the last id of the page before; ``limit`` is at most 5,000.

        Raises
        ------
        ValueError
            If a field in ``where`` is not declared as filterable for this kind.
        StoreError
            If the store fails.
        """
        ...


class WriteTx(ReadTx, Protocol):
    """A read view that can also change things; all or nothing."""

    def add(self, record: Record) -> None:
        """Insert a new record.

        Raises
        ------
        Conflict
            If its id or a unique field exists already.
        StoreError
            If the store fails.
        """
        ...

    def replace(self, record: Record) -> None:
        """Replace a mutable record whose stored ``version`` is ``record.version - 1``.

        Raises
        ------
        Conflict
            If the stored version is another one (somebody else was first) or the kind is immutable.
        NotFound
            If there is no such record.
        StoreError
            If the store fails.
        """
        ...


class MetadataStore(Protocol):
    """Transactions over records.

    Guarantees: ``write`` is atomic, isolated and durable when it returns; writers are serialised;
    ``fn`` may be called again after a transient conflict, so it has no side effect outside ``tx``.
    Safe from threads and processes.
    """

    def read(self, fn: Callable[[ReadTx], T]) -> T:
        """Run ``fn`` on one consistent view.

        Raises
        ------
        StoreError
            If the store fails or is from a newer kilter.
        """
        ...

    def write(self, fn: Callable[[WriteTx], T]) -> T:
        """Run ``fn`` in one transaction; an exception in ``fn`` rolls back and is raised.

        Raises
        ------
        StoreError
            If the store fails (full or read-only disk); nothing half-written stays.
        """
        ...

    def close(self) -> None:
        """Release connections; later calls raise.

        Raises
        ------
        Nothing
        """
        ...
