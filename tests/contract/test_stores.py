"""Every store keeps the promises of its port."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kilter.stores import sqlite
from kilter.stores.files import FileBlobs
from kilter.stores.memory import MemoryBlobs, MemoryMetadata
from kilter.testing.blobs import BLOBS
from kilter.testing.stores import LASTING, METADATA

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kilter.contracts.blob import BlobStore
    from kilter.contracts.metadata import MetadataStore
    from kilter.testing.blobs import BlobClause
    from kilter.testing.stores import MetadataClause


@pytest.fixture(params=["memory", "sqlite"])
def open_metadata(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], MetadataStore]:
    if request.param == "memory":
        return MemoryMetadata
    return lambda: sqlite.open(str(tmp_path / "meta.db"))


@pytest.fixture(params=["memory", "files"])
def open_blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], BlobStore]:
    if request.param == "memory":
        return MemoryBlobs
    return lambda: FileBlobs(str(tmp_path))


@pytest.mark.parametrize("clause", METADATA, ids=lambda clause: clause.__name__)
def test_metadata_store_keeps(clause: MetadataClause, open_metadata: Callable[[], MetadataStore]) -> None:
    clause(open_metadata)


@pytest.mark.parametrize("clause", LASTING, ids=lambda clause: clause.__name__)
def test_lasting_metadata_store_keeps(clause: MetadataClause, tmp_path: Path) -> None:
    clause(lambda: sqlite.open(str(tmp_path / "meta.db")))


@pytest.mark.parametrize("clause", BLOBS, ids=lambda clause: clause.__name__)
def test_blob_store_keeps(clause: BlobClause, open_blobs: Callable[[], BlobStore]) -> None:
    clause(open_blobs)
