"""Conformance kit of blob stores: what every ``BlobStore`` must do, one clause a function.

A clause is given a function that opens the same store anew (empty at first), and raises AssertionError with the
promise that was broken.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from kilter.contracts.blob import BlobStore
from kilter.contracts.ids import Digest
from kilter.errors import NotFound
from kilter.testing.promise import raises, require

__all__ = ["BLOBS", "BlobClause"]

BlobClause: TypeAlias = Callable[[Callable[[], BlobStore]], None]


def blobs_come_back_equal(open_store: Callable[[], BlobStore]) -> None:
    """Any bytes, empty ones too, come back under the SHA-256 of their content."""
    store = open_store()
    empty = Digest("sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    require(store.put(b"") == empty, "the digest is sha256: and 64 hexadecimal digits")
    for data in (b"", b"\x00\xff\r\n", bytes(range(256)) * 1_000):
        require(store.get(store.put(data)) == data, "a blob comes back as it was put")


def the_same_bytes_are_one_blob(open_store: Callable[[], BlobStore]) -> None:
    """Putting twice is no error, and gives the same digest."""
    store = open_store()
    require(store.put(b"a") == store.put(b"a") != store.put(b"b"), "equal bytes, and only those, share a digest")


def unknown_blobs_are_not_found(open_store: Callable[[], BlobStore]) -> None:
    """``has`` says no, ``get`` raises; a malformed digest names no blob."""
    store = open_store()
    known = store.put(b"a")
    require(store.has(known), "has knows what was put")
    for digest in ("sha256:" + "0" * 64, "md5:00", "sha256:../../x", known.removeprefix("sha256:"), known.upper(), ""):
        require(not store.has(Digest(digest)), f"has does not know `{digest}`")
        raises(NotFound, partial(store.get, Digest(digest)), f"get of `{digest}`")


BLOBS: tuple[BlobClause, ...] = (blobs_come_back_equal, the_same_bytes_are_one_blob, unknown_blobs_are_not_found)
"""Clauses for every ``BlobStore``."""
