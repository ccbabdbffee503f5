"""The kit is itself tested: for each clause a store that breaks its promise is caught."""

# ruff: noqa: ANN401 - the broken stores pass on what they are given
from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from kilter.contracts.decision import Decision
from kilter.errors import Conflict, KilterError, NotFound
from kilter.stores.memory import MemoryMetadata
from kilter.testing import stores as kit

if TYPE_CHECKING:
    from collections.abc import Callable


class Tx:
    """A view that passes everything on; the broken ones below change one thing."""

    def __init__(self, tx: Any) -> None:
        self.tx = tx

    def get(self, kind: Any, record_id: str) -> Any:
        return self.tx.get(kind, record_id)

    def list(self, kind: Any, **options: Any) -> Any:
        return self.tx.list(kind, **options)

    def add(self, record: Any) -> None:
        self.tx.add(record)

    def replace(self, record: Any) -> None:
        self.tx.replace(record)


class Store:
    """A store that hands out such views."""

    view: type[Tx] = Tx

    def __init__(self) -> None:
        self.inner = MemoryMetadata()

    def read(self, fn: Callable[[Any], Any]) -> Any:
        return self.inner.read(lambda tx: fn(self.view(tx)))

    def write(self, fn: Callable[[Any], Any]) -> Any:
        return self.inner.write(lambda tx: fn(self.view(tx)))

    def close(self) -> None:
        self.inner.close()


class RoundsNumbers(Tx):
    def get(self, kind: Any, record_id: str) -> Any:
        found = self.tx.get(kind, record_id)
        if isinstance(found, Decision):
            return replace(found, arguments={key: 1 if value == 1 else value for key, value in found.arguments.items()})
        return found


class RaisesForMissing(Tx):
    def get(self, kind: Any, record_id: str) -> Any:
        found = self.tx.get(kind, record_id)
        if found is None:
            message = record_id
            raise NotFound(message)
        return found


class IgnoresOrder(Tx):
    def list(self, kind: Any, **options: Any) -> Any:
        return self.tx.list(kind, **{**options, "newest_first": False})


class AnyCondition(Tx):
    def list(self, kind: Any, **options: Any) -> Any:
        return self.tx.list(kind, **{**options, "where": dict(list((options.get("where") or {}).items())[:1])})


class NoneIsAnything(Tx):
    def list(self, kind: Any, **options: Any) -> Any:
        where = {name: value for name, value in (options.get("where") or {}).items() if value is not None}
        return self.tx.list(kind, **{**options, "where": where})


class ForgivesFilters(Tx):
    def list(self, kind: Any, **options: Any) -> Any:
        try:
            return self.tx.list(kind, **options)
        except ValueError:
            return ()


class Overwrites(Tx):
    def add(self, record: Any) -> None:
        try:
            self.tx.add(record)
        except Conflict:
            present = self.tx.get(type(record), record.id)
            if present is not None:
                self.tx.replace(replace(record, version=present.version + 1))


class AllowsDoubles(Tx):
    def add(self, record: Any) -> None:
        try:
            self.tx.add(record)
        except Conflict:
            if self.tx.get(type(record), record.id) is not None:
                raise


class PoisonedByConflict(Tx):
    is_poisoned = False

    def add(self, record: Any) -> None:
        if self.is_poisoned:
            message = "the transaction is aborted"
            raise Conflict(message)
        try:
            self.tx.add(record)
        except Conflict:
            self.is_poisoned = True
            raise


class LastWriterWins(Tx):
    def replace(self, record: Any) -> None:
        present = self.tx.get(type(record), record.id)
        self.tx.replace(replace(record, version=present.version + 1) if present else record)


class ChangesDecisions(Tx):
    def replace(self, record: Any) -> None:
        if not isinstance(record, Decision):
            self.tx.replace(record)


class Immortal(Tx):
    def get(self, kind: Any, record_id: str) -> Any:
        try:
            return self.tx.get(kind, record_id)
        except KilterError:
            return None


def with_view(view: type[Tx]) -> type[Store]:
    """Build the store of a broken view."""
    return type(view.__name__, (Store,), {"view": view})


class CommitsAlways(Store):
    """Keeps what a failed function did."""

    def write(self, fn: Callable[[Any], Any]) -> Any:
        failed: list[BaseException] = []

        def run(tx: Any) -> Any:
            try:
                return fn(tx)
            except ZeroDivisionError as error:
                failed.append(error)
                return None

        outcome = self.inner.write(run)
        if failed:
            raise failed[0]
        return outcome


class ReadsTheFuture(Store):
    """Shows others what is not finished."""

    def __init__(self) -> None:
        super().__init__()
        self.open_tx: Any = None

    def read(self, fn: Callable[[Any], Any]) -> Any:
        return fn(self.open_tx) if self.open_tx else self.inner.read(fn)

    def write(self, fn: Callable[[Any], Any]) -> Any:
        def run(tx: Any) -> Any:
            self.open_tx = tx
            try:
                return fn(tx)
            finally:
                self.open_tx = None

        return self.inner.write(run)


class ReadsWrite(Store):
    """Lets a read change things."""

    def read(self, fn: Callable[[Any], Any]) -> Any:
        return self.inner.write(fn)


class Nests(Store):
    """Runs a write inside a write, on its own."""

    depth = 0

    def write(self, fn: Callable[[Any], Any]) -> Any:
        self.depth += 1
        try:
            return None if self.depth > 1 else self.inner.write(fn)
        finally:
            self.depth -= 1


class LosesUpdates(Store):
    """Reads outside of the transaction that it writes in: every second writer is lost."""

    lock = threading.Lock()
    calls = 0

    def write(self, fn: Callable[[Any], Any]) -> Any:
        with self.lock:
            self.calls += 1
            return None if self.calls % 7 == 0 else self.inner.write(fn)


class StaysOpen(Store):
    """Does not mind being closed."""

    def close(self) -> None:
        return None


BROKEN: dict[str, type[Store]] = {
    "records_come_back_equal": with_view(RoundsNumbers),
    "what_is_not_there_is_none": with_view(RaisesForMissing),
    "lists_are_in_order_of_id": with_view(IgnoresOrder),
    "filters_are_equality": with_view(AnyCondition),
    "none_matches_none": with_view(NoneIsAnything),
    "unknown_filters_are_refused": with_view(ForgivesFilters),
    "a_second_of_its_id_is_a_conflict": with_view(Overwrites),
    "unique_fields_are_unique": with_view(AllowsDoubles),
    "a_conflict_can_be_survived": with_view(PoisonedByConflict),
    "a_replacement_needs_the_next_version": with_view(LastWriterWins),
    "immutable_kinds_never_change": with_view(ChangesDecisions),
    "an_error_rolls_back": CommitsAlways,
    "a_write_sees_itself_and_nobody_else_does": ReadsTheFuture,
    "a_read_cannot_write": ReadsWrite,
    "a_transaction_ends_with_its_function": with_view(Immortal),
    "writes_do_not_nest": Nests,
    "no_update_is_lost": LosesUpdates,
    "a_closed_store_refuses": StaysOpen,
    "what_was_written_lasts": Store,  # in memory: each opening is a new one
}


@pytest.mark.parametrize("clause", [*kit.METADATA, *kit.LASTING], ids=lambda clause: clause.__name__)
def test_a_store_that_breaks_the_clause_is_caught(clause: kit.MetadataClause) -> None:
    with pytest.raises((AssertionError, KilterError)):
        clause(BROKEN[clause.__name__])


@pytest.mark.parametrize("clause", kit.METADATA, ids=lambda clause: clause.__name__)
def test_a_store_that_passes_everything_on_is_not_caught(clause: kit.MetadataClause) -> None:
    opened: type[Store] = Store
    clause(opened)
