"""The port to content-addressed bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from kilter.contracts.ids import Digest

__all__ = ["BlobStore"]


class BlobStore(Protocol):
    """Keeps immutable bytes under the SHA-256 of their content.

    Guarantees: a blob is never changed; ``put`` of the same bytes twice is one blob; what ``put``
    returned survives a crash; ``get`` never returns bytes that do not match their digest. Safe
    from several processes.
    """

    def put(self, data: bytes) -> Digest:
        """Store bytes and return their digest.

        Raises
        ------
        StoreError
            If the bytes cannot be written (full or read-only disk); nothing half-written stays.
        """
        ...

    def get(self, digest: Digest) -> bytes:
        """Return the bytes of a digest.

        Raises
        ------
        NotFound
            If there is no such blob.
        ChecksumMismatch
            If the stored bytes are damaged.
        """
        ...

    def has(self, digest: Digest) -> bool:
        """Say whether the blob is there.

        Raises
        ------
        StoreError
            If the store cannot be reached.
        """
        ...
