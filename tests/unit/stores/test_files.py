"""Blobs lie under their digest, whole or not at all; damage is seen. The rest is in the conformance kit."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from kilter.contracts.ids import Digest
from kilter.errors import ChecksumMismatch, NotFound, StoreError
from kilter.stores.clock import SystemClock
from kilter.stores.files import FileBlobs

if TYPE_CHECKING:
    from pathlib import Path

DATA = b"some bytes"
HEX = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def blobs(tmp_path: Path) -> FileBlobs:
    return FileBlobs(str(tmp_path))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "objects" / "sha256" / HEX[:2] / HEX[2:]


def test_a_blob_lies_under_its_digest_and_cannot_be_written(blobs: FileBlobs, path: Path) -> None:
    assert blobs.put(DATA) == f"sha256:{HEX}"
    assert path.read_bytes() == DATA
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_damaged_blob_is_never_returned(blobs: FileBlobs, path: Path) -> None:
    digest = blobs.put(DATA)
    path.chmod(0o600)
    path.write_bytes(b"other bytes")
    for read in (blobs.get, lambda name: blobs.local_path(name, "model.onnx")):
        with pytest.raises(ChecksumMismatch, match="damaged") as caught:
            read(digest)
        assert caught.value.where == str(path)


def test_putting_the_bytes_again_heals_a_damaged_blob(blobs: FileBlobs, path: Path) -> None:
    digest = blobs.put(DATA)
    path.chmod(0o600)
    path.write_bytes(b"")
    assert blobs.put(DATA) == digest
    assert blobs.get(digest) == DATA


def test_a_local_path_has_the_name_asked_for_and_the_bytes(blobs: FileBlobs, tmp_path: Path) -> None:
    digest = blobs.put(DATA)
    first = blobs.local_path(digest, "runtime/model.onnx")
    assert first == blobs.local_path(digest, "model.onnx") == str(tmp_path / "cache" / "blobs" / HEX / "model.onnx")
    with open(first, "rb") as file:  # noqa: PTH123 - as a loader of models would
        assert file.read() == DATA


def test_a_local_path_follows_a_healed_blob(blobs: FileBlobs, path: Path) -> None:
    digest = blobs.put(DATA)
    local = blobs.local_path(digest, "a")
    path.chmod(0o600)
    path.write_bytes(b"")
    blobs.put(DATA)
    assert blobs.local_path(digest, "a") == local
    assert os.path.samefile(local, path)  # noqa: PTH121 - a str comes back


def test_a_name_cannot_leave_the_cache(blobs: FileBlobs, tmp_path: Path) -> None:
    digest = blobs.put(DATA)
    for name in ("../../../x", "/etc/x", "x"):
        assert blobs.local_path(digest, name) == str(tmp_path / "cache" / "blobs" / HEX / "x")
    for name in ("", "..", "/", "."):
        assert blobs.local_path(digest, name).startswith(str(tmp_path / "cache" / "blobs" / HEX) + "/")


def test_a_missing_blob_has_no_local_path(blobs: FileBlobs) -> None:
    for digest in ("sha256:" + "0" * 64, "sha256:../../../etc/passwd"):
        with pytest.raises(NotFound):
            blobs.local_path(Digest(digest), "a")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "objects").write_text("a file in the way")
    with pytest.raises(StoreError, match="cannot be written") as caught:
        FileBlobs(str(tmp_path)).put(DATA)
    assert caught.value.where
    assert caught.value.why
    assert caught.value.hint


def test_a_blob_that_is_a_folder_cannot_be_read(blobs: FileBlobs, path: Path) -> None:
    path.mkdir(parents=True)
    for read in (blobs.get, lambda name: blobs.local_path(name, "a")):
        with pytest.raises(StoreError, match="cannot be read"):
            read(Digest(f"sha256:{HEX}"))
    assert not blobs.has(Digest(f"sha256:{HEX}"))


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    script = """
import resource, signal, sys
from kilter.errors import StoreError
from kilter.stores.clock import SystemClock
from kilter.stores.files import FileBlobs
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    FileBlobs(sys.argv[1]).put(bytes(100_000))
except StoreError as error:
    print(error.code, error.why)
"""
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.split(maxsplit=1) == ["backend.store", os.strerror(errno.EFBIG) + "\n"]
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


def test_what_a_killed_put_has_left_is_swept_once_it_is_old(blobs: FileBlobs, path: Path) -> None:
    blobs.put(DATA)
    (path.parent / ".put-abc").write_bytes(b"half")
    now = SystemClock().now()
    assert blobs.sweep(now - timedelta(hours=1)) == 0
    assert blobs.sweep(now + timedelta(hours=1)) == 1
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    (path.parent / ".put-odd").mkdir()
    with pytest.raises(StoreError, match="cleaned up"):
        blobs.sweep(now + timedelta(hours=1))
