"""The kit is itself tested: for each clause a store that breaks its promise is caught."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kilter.errors import KilterError
from kilter.stores.memory import MemoryBlobs
from kilter.testing import blobs as kit

if TYPE_CHECKING:
    from kilter.contracts.ids import Digest
    from kilter.testing.blobs import BlobClause


class StripsBlobs(MemoryBlobs):
    def get(self, digest: Digest) -> bytes:
        return super().get(digest).strip()


class SaltsBlobs(MemoryBlobs):
    count = 0

    def put(self, data: bytes) -> Digest:
        self.count += 1
        return super().put(data + str(self.count).encode())


class InventsBlobs(MemoryBlobs):
    def has(self, digest: Digest) -> bool:
        return digest is not None


@pytest.mark.parametrize(
    ("clause", "broken"),
    list(zip(kit.BLOBS, (StripsBlobs, SaltsBlobs, InventsBlobs), strict=True)),
    ids=lambda value: value.__name__,
)
def test_a_blob_store_that_breaks_the_clause_is_caught(clause: BlobClause, broken: type[MemoryBlobs]) -> None:
    with pytest.raises((AssertionError, KilterError)):
        clause(broken)
