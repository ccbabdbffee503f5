"""Conformance kit of metadata stores: what every ``MetadataStore`` must do, one clause a function.

A clause is given a function that opens the same store anew (empty at first), and raises AssertionError with the
promise that was broken. Run all of ``METADATA``; ``LASTING`` too, if the store outlives its process.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from kilter.contracts.decision import Decision, Lease, OutboxEvent
from kilter.contracts.deployment import Hold
from kilter.contracts.ids import DecisionId, Digest, ModelId
from kilter.contracts.metadata import MetadataStore, Record, WriteTx
from kilter.contracts.model import Model
from kilter.contracts.monitor import Signal, SignalState
from kilter.errors import Conflict, NotFound, StoreError
from kilter.testing.promise import raises, require

__all__ = ["LASTING", "METADATA", "MetadataClause"]

MetadataClause: TypeAlias = Callable[[Callable[[], MetadataStore]], None]

_AT = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
_THREADS = 4
_ROUNDS = 50


def _add(store: MetadataStore, *records: Record) -> None:
    """Store records in one transaction."""

    def add(tx: WriteTx) -> None:
        """Store each."""
        for record in records:
            tx.add(record)

    store.write(add)


def _ids(records: Iterable[Record]) -> list[str]:
    """List the ids of records."""
    return [record.id for record in records]


def _lease(name: str, holder: str = "h") -> Lease:
    """Make a small mutable record."""
    return Lease(id=name, holder=holder, token=0, expires_at=_AT)


def _model(model_id: str, name: str) -> Model:
    """Make a record with a unique field."""
    return Model(id=ModelId(model_id), name=name, created_at=_AT)


def _hold(name: str, released_at: datetime | None) -> Hold:
    """Make a record with a field that may be None."""
    return Hold(
        id=name,
        deployment="d",
        number=1,
        digest=Digest("sha256:x"),
        reason="",
        metric="error",
        evidence=(),
        created_at=_AT,
        created_by="policy",
        released_at=released_at,
    )


def _event(number: int) -> OutboxEvent:
    """Make a record with truths."""
    return OutboxEvent(
        id=f"e{number}",
        topic=f"t{number // 2}",
        subject="d",
        payload={"n": number},
        created_at=_AT,
        available_at=_AT + timedelta(seconds=number),
        is_done=number % 2 == 1,
    )


def records_come_back_equal(open_store: Callable[[], MetadataStore]) -> None:
    """Times keep their zone and microseconds, numbers their type and value, infinite ones too."""
    arguments: Mapping[str, str | int | float | bool | None] = {
        "a": 1,
        "b": 1.0,
        "c": True,
        "d": None,
        "e": "1",
        "f": "ü",
    }
    decision = Decision(
        id=DecisionId("dec_1"),
        key="k",
        deployment="d",
        kind="x",
        reason="r",
        command="",
        arguments=arguments,
        evidence=("a", "b"),
        at=_AT,
    )
    signal = Signal(
        id="d/1/f/n", deployment="d", number=1, family="f", name="n", state=SignalState(log_sum=1e-300), log_e=0.1
    )
    with closing(open_store()) as store:
        _add(store, decision, signal)
        found = store.read(lambda tx: (tx.get(Decision, "dec_1"), tx.get(Signal, "d/1/f/n")))
        require(found == (decision, signal), "a record comes back as it was stored")
        kinds = [type(value) for value in found[0].arguments.values()] if found[0] else []
        require(kinds == [type(value) for value in arguments.values()], "values keep their type")


def what_is_not_there_is_none(open_store: Callable[[], MetadataStore]) -> None:
    """An unknown id is None, an empty kind an empty tuple."""
    with closing(open_store()) as store:
        require(store.read(lambda tx: tx.get(Lease, "x")) is None, "get of an unknown id is None")
        require(store.read(lambda tx: tx.list(Lease)) == (), "list of nothing is empty")


def lists_are_in_order_of_id(open_store: Callable[[], MetadataStore]) -> None:
    """Pages follow one another in order of id, in both directions, whatever the order of insertion."""
    ids = ["b", "a2", "ab", "a10", "Z", "é"]
    with closing(open_store()) as store:
        _add(store, *(_lease(name) for name in ids))

        def ids_of(after: str | None, limit: int, *, newest_first: bool) -> list[str]:
            """List a page."""
            return _ids(store.read(lambda tx: tx.list(Lease, after=after, limit=limit, newest_first=newest_first)))

        for newest_first in (False, True):
            wanted = sorted(ids, reverse=newest_first)
            found = ids_of(None, 9, newest_first=newest_first)
            require(found == wanted, f"list is ordered by id (newest_first={newest_first})")
            page = ids_of(wanted[1], 2, newest_first=newest_first)
            require(page == wanted[2:4], f"a page follows the last id of the one before (newest_first={newest_first})")


def filters_are_equality(open_store: Callable[[], MetadataStore]) -> None:
    """All conditions hold at once; truths match truths."""
    with closing(open_store()) as store:
        _add(store, *(_event(number) for number in range(6)))

        def ids(where: Mapping[str, str | int | bool | None]) -> list[str]:
            """Filter."""
            return _ids(store.read(lambda tx: tx.list(OutboxEvent, where=where)))

        require(ids({"is_done": True}) == ["e1", "e3", "e5"], "a truth is matched")
        require(ids({"is_done": False, "topic": "t0"}) == ["e0"], "all conditions hold")
        require(ids({"topic": "t9"}) == [], "no match is no record")
        found = store.read(lambda tx: tx.list(OutboxEvent, where={"is_done": True}, after="e1", limit=1))
        require(_ids(found) == ["e3"], "filter, page and limit work together")


def none_matches_none(open_store: Callable[[], MetadataStore]) -> None:
    """A condition of None finds the records without a value, and only those."""
    with closing(open_store()) as store:
        _add(store, _hold("h1", None), _hold("h2", _AT))
        found = _ids(store.read(lambda tx: tx.list(Hold, where={"released_at": None})))
        require(found == ["h1"], "None finds what has no value")


def unknown_filters_are_refused(open_store: Callable[[], MetadataStore]) -> None:
    """A field that is not declared, or a limit out of range, is a ValueError, not an empty answer."""
    with closing(open_store()) as store:
        raises(ValueError, lambda: store.read(lambda tx: tx.list(Lease, where={"expires": 1})), "unknown field")
        raises(ValueError, lambda: store.read(lambda tx: tx.list(Lease, limit=0)), "a limit of 0")
        raises(ValueError, lambda: store.read(lambda tx: tx.list(Lease, limit=5_001)), "a limit of 5,001")


def a_second_of_its_id_is_a_conflict(open_store: Callable[[], MetadataStore]) -> None:
    """Adding never overwrites."""
    with closing(open_store()) as store:
        store.write(lambda tx: tx.add(_lease("a")))
        raises(Conflict, lambda: store.write(lambda tx: tx.add(_lease("a", holder="other"))), "the same id")
        kept = store.read(lambda tx: tx.get(Lease, "a"))
        require(kept == _lease("a"), "the first record stays")


def unique_fields_are_unique(open_store: Callable[[], MetadataStore]) -> None:
    """Two models cannot share a name, neither by adding nor by replacing."""
    with closing(open_store()) as store:
        _add(store, _model("m1", "a"), _model("m2", "b"))
        raises(Conflict, lambda: store.write(lambda tx: tx.add(_model("m3", "a"))), "the same name")
        taken = replace(_model("m2", "a"), version=2)
        raises(Conflict, lambda: store.write(lambda tx: tx.replace(taken)), "a name that is taken")


def a_conflict_can_be_survived(open_store: Callable[[], MetadataStore]) -> None:
    """A function that catches a Conflict goes on in the same transaction."""

    def add_both(tx: WriteTx) -> None:
        """Try the one that is there, then a new one."""
        raises(Conflict, lambda: tx.add(_lease("a")), "the same id")
        tx.add(_lease("b"))

    with closing(open_store()) as store:
        store.write(lambda tx: tx.add(_lease("a")))
        store.write(add_both)
        require(_ids(store.read(lambda tx: tx.list(Lease))) == ["a", "b"], "the transaction went on")


def a_replacement_needs_the_next_version(open_store: Callable[[], MetadataStore]) -> None:
    """Who was second is told, with the version that is there; an unknown record is NotFound."""
    with closing(open_store()) as store:
        store.write(lambda tx: tx.add(_lease("a")))
        second = replace(_lease("a", holder="b"), version=2)
        store.write(lambda tx: tx.replace(second))
        require(store.read(lambda tx: tx.get(Lease, "a")) == second, "the replacement is stored")
        require(len(store.read(lambda tx: tx.list(Lease, where={"holder": "b"}))) == 1, "and found by its new fields")
        late = raises(Conflict, lambda: store.write(lambda tx: tx.replace(second)), "a stale version")
        require(getattr(late, "details", {}).get("current_version") == 2, "the conflict names the current version")
        lost = replace(_lease("x"), version=2)
        raises(NotFound, lambda: store.write(lambda tx: tx.replace(lost)), "an unknown record")


def immutable_kinds_never_change(open_store: Callable[[], MetadataStore]) -> None:
    """A decision cannot be replaced."""
    decision = Decision(
        id=DecisionId("dec_1"), key="k", deployment="d", kind="x", reason="r", command="", by="policy", at=_AT
    )
    with closing(open_store()) as store:
        store.write(lambda tx: tx.add(decision))
        raises(
            Conflict, lambda: store.write(lambda tx: tx.replace(replace(decision, reason="other"))), "an immutable kind"
        )


def an_error_rolls_back(open_store: Callable[[], MetadataStore]) -> None:
    """All or nothing: the function's own error comes out, and nothing of what it did stays."""

    def fail(tx: WriteTx) -> None:
        """Change two things, then fail."""
        tx.add(_lease("b"))
        tx.replace(replace(_lease("a", holder="b"), version=2))
        raise ZeroDivisionError

    with closing(open_store()) as store:
        store.write(lambda tx: tx.add(_lease("a")))
        raises(ZeroDivisionError, lambda: store.write(fail), "the function's own error")
        require(store.read(lambda tx: tx.list(Lease)) == (_lease("a"),), "nothing of a failed transaction stays")


def a_write_sees_itself_and_nobody_else_does(open_store: Callable[[], MetadataStore]) -> None:
    """Inside, changes are visible at once; outside, only after the end."""

    def look(tx: WriteTx) -> tuple[int, int]:
        """Count inside and outside."""
        tx.add(_lease("a"))
        return len(tx.list(Lease)), len(store.read(lambda view: view.list(Lease)))

    with closing(open_store()) as store:
        require(store.write(look) == (1, 0), "an unfinished write is seen inside and not outside")
        require(len(store.read(lambda tx: tx.list(Lease))) == 1, "a finished write is seen")


def a_read_cannot_write(open_store: Callable[[], MetadataStore]) -> None:
    """The view of a read refuses changes."""
    with closing(open_store()) as store:
        raises(StoreError, lambda: store.read(lambda tx: getattr(tx, "add")(_lease("a"))), "a change in a read")  # noqa: B009
        require(store.read(lambda tx: tx.list(Lease)) == (), "nothing was stored")


def a_transaction_ends_with_its_function(open_store: Callable[[], MetadataStore]) -> None:
    """A view that escaped is dead."""
    with closing(open_store()) as store:
        escaped = store.write(lambda tx: tx)
        raises(StoreError, lambda: escaped.get(Lease, "a"), "a view that escaped")


def writes_do_not_nest(open_store: Callable[[], MetadataStore]) -> None:
    """A write inside a write is refused, not a deadlock; the store works on."""
    with closing(open_store()) as store:
        raises(StoreError, lambda: store.write(lambda _: store.write(lambda tx: tx.add(_lease("a")))), "a nested write")
        store.write(lambda tx: tx.add(_lease("a")))


def no_update_is_lost(open_store: Callable[[], MetadataStore]) -> None:
    """Threads that read, add one and replace count to the right number without a conflict."""
    failures: list[BaseException] = []

    def count(tx: WriteTx) -> None:
        """Add one."""
        lease = tx.get(Lease, "a")
        if lease is not None:
            tx.replace(replace(lease, token=lease.token + 1, version=lease.version + 1))

    with closing(open_store()) as store:

        def work() -> None:
            """Count to fifty."""
            try:
                for _ in range(_ROUNDS):
                    store.write(count)
            except (StoreError, Conflict) as error:
                failures.append(error)

        store.write(lambda tx: tx.add(_lease("a")))
        threads = [threading.Thread(target=work) for _ in range(_THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        lease = store.read(lambda tx: tx.get(Lease, "a"))
        require(not failures, f"contended writes do not fail: {failures[:1]}")
        require(lease is not None and lease.token == _THREADS * _ROUNDS, "no update is lost")


def a_closed_store_refuses(open_store: Callable[[], MetadataStore]) -> None:
    """Calls after close raise; a second close does not."""
    store = open_store()
    store.close()
    store.close()
    raises(StoreError, lambda: store.read(lambda tx: tx.get(Lease, "a")), "a read after close")
    raises(StoreError, lambda: store.write(lambda tx: tx.add(_lease("a"))), "a write after close")


def what_was_written_lasts(open_store: Callable[[], MetadataStore]) -> None:
    """A store opened again holds what was written; two at once see one another's."""
    with closing(open_store()) as store:
        store.write(lambda tx: tx.add(_lease("a")))
    with closing(open_store()) as store, closing(open_store()) as other:
        require(_ids(store.read(lambda tx: tx.list(Lease))) == ["a"], "a store opened again holds its records")
        other.write(lambda tx: tx.add(_lease("b")))
        require(_ids(store.read(lambda tx: tx.list(Lease))) == ["a", "b"], "two openers share one store")


METADATA: tuple[MetadataClause, ...] = (
    records_come_back_equal,
    what_is_not_there_is_none,
    lists_are_in_order_of_id,
    filters_are_equality,
    none_matches_none,
    unknown_filters_are_refused,
    a_second_of_its_id_is_a_conflict,
    unique_fields_are_unique,
    a_conflict_can_be_survived,
    a_replacement_needs_the_next_version,
    immutable_kinds_never_change,
    an_error_rolls_back,
    a_write_sees_itself_and_nobody_else_does,
    a_read_cannot_write,
    a_transaction_ends_with_its_function,
    writes_do_not_nest,
    no_update_is_lost,
    a_closed_store_refuses,
)
"""Clauses for every ``MetadataStore``."""

LASTING: tuple[MetadataClause, ...] = (what_was_written_lasts,)
"""Clauses for a ``MetadataStore`` that outlives its process."""
