"""Who leads: one control loop at a time, and none that was overtaken can write."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from kilter.contracts.decision import Lease
from kilter.errors import WorldMoved

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from kilter.contracts.metadata import MetadataStore, ReadTx, WriteTx

__all__ = ["LEASE", "LIFETIME", "RENEW_AFTER", "Fence", "Leadership"]

T = TypeVar("T")

LEASE = "control"
LIFETIME = timedelta(seconds=15)
RENEW_AFTER = timedelta(seconds=5)


class Fence:
    """A metadata store in which a leader's transactions check first that it still leads.

    Parameters
    ----------
    metadata : MetadataStore
        The store behind the fence.

    Guarantees: outside ``held`` it changes nothing; inside, a transaction of this thread whose lease
    has gone to another holder is refused before it writes. Safe from threads.
    """

    def __init__(self, metadata: MetadataStore) -> None:
        self._metadata = metadata
        self._local = threading.local()

    @contextmanager
    def held(self, lease: Lease) -> Iterator[None]:
        """Fence every write of this thread by the lease, for the length of the block."""
        self._local.lease = lease
        try:
            yield
        finally:
            self._local.lease = None

    def read(self, fn: Callable[[ReadTx], T]) -> T:
        """Run ``fn`` on one consistent view.

        Raises
        ------
        StoreError
            If the store fails.
        """
        return self._metadata.read(fn)

    def write(self, fn: Callable[[WriteTx], T]) -> T:
        """Run ``fn`` in one transaction, behind the check of the lease.

        Raises
        ------
        WorldMoved
            If this thread holds a lease that is no longer its own.
        StoreError
            If the store fails.
        """
        lease: Lease | None = getattr(self._local, "lease", None)
        if lease is None:
            return self._metadata.write(fn)

        def fenced(tx: WriteTx) -> T:
            stored = tx.get(Lease, lease.id)
            if stored is None or (stored.holder, stored.token) != (lease.holder, lease.token):
                message = f"the lease `{lease.id}` is no longer held by `{lease.holder}`"
                raise WorldMoved(
                    message,
                    why="another control plane has taken over" if stored else "it was removed",
                    hint="stop this one, or let it follow",
                )
            return fn(tx)

        return self._metadata.write(fenced)

    def close(self) -> None:
        """Close the store behind the fence."""
        self._metadata.close()


def _nobody_is_gone(_: str) -> bool:
    """Know nothing of other holders: wait until their lease runs out."""
    return False


class Leadership:
    """Acquires, renews and gives back the lease of the control loop.

    Parameters
    ----------
    metadata : MetadataStore
        Where the lease is kept.
    holder : str
        This process, told apart from every other.
    is_gone : callable
        Says of a holder that it cannot be alive any more, so that its lease may be taken at once.

    Guarantees: at most one holder at a time while the machine's clock is right; the token grows with
    every change of hands. Times are the machine's, never a replayed clock's. One thread.
    """

    def __init__(
        self, *, metadata: MetadataStore, holder: str, is_gone: Callable[[str], bool] = _nobody_is_gone
    ) -> None:
        self._metadata = metadata
        self._holder = holder
        self._is_gone = is_gone
        self._lease: Lease | None = None

    def hold(self, now: datetime) -> Lease | None:
        """Return the lease, renewed where it is due, or None while somebody else leads.

        Raises
        ------
        StoreError
            If the store fails.
        """
        lease = self._lease
        if lease is not None and now < lease.expires_at - LIFETIME + RENEW_AFTER:
            return lease
        self._lease = self._metadata.write(lambda tx: self._take(tx, now))
        return self._lease

    def release(self, now: datetime) -> None:
        """Give the lease back, so that the next control plane need not wait.

        Raises
        ------
        StoreError
            If the store fails.
        """
        if self._lease is None:
            return
        token, self._lease = self._lease.token, None

        def give_back(tx: WriteTx) -> None:
            stored = tx.get(Lease, LEASE)
            if stored is not None and (stored.holder, stored.token) == (self._holder, token):
                tx.replace(replace(stored, expires_at=now, version=stored.version + 1))

        self._metadata.write(give_back)

    def _take(self, tx: WriteTx, now: datetime) -> Lease | None:
        """Insert, renew or take over the lease, or leave it to its holder."""
        stored = tx.get(Lease, LEASE)
        if stored is None:
            lease = Lease(id=LEASE, holder=self._holder, token=1, expires_at=now + LIFETIME)
            tx.add(lease)
            return lease
        is_mine = stored.holder == self._holder
        if not is_mine and now < stored.expires_at and not self._is_gone(stored.holder):
            return None
        lease = replace(
            stored,
            holder=self._holder,
            token=stored.token if is_mine else stored.token + 1,
            expires_at=now + LIFETIME,
            version=stored.version + 1,
        )
        tx.replace(lease)
        return lease
