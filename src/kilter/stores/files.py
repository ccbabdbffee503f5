"""Blobs as files, named by the SHA-256 of their content."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import threading
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from kilter.contracts.ids import Digest
from kilter.contracts.store import StoreSpec
from kilter.errors import ChecksumMismatch, NotFound, StoreError

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["STORE", "FileBlobs"]

STORE = StoreSpec(name="files", keeps=("blobs",))

_DIGEST = re.compile(r"sha256:([0-9a-f]{2})([0-9a-f]{62})")
_READ_ONLY = 0o400
_FOLDER = 0o700


class FileBlobs:
    """A ``BlobStore`` in the home folder: ``objects/sha256/<2 digits>/<62 digits>``.

    Guarantees: as the port. A blob appears under its name only when it is whole and on the device; putting
    the bytes of a damaged blob again heals it. Safe from threads and processes.

    Parameters
    ----------
    home : str
        The home folder; what is missing in it is made at the first ``put``.
    """

    def __init__(self, home: str) -> None:
        self._objects = Path(home) / "objects" / "sha256"
        self._cache = Path(home) / "cache" / "blobs"

    def put(self, data: bytes) -> Digest:
        """Store bytes and return their digest.

        Raises
        ------
        StoreError
            If the bytes cannot be written (full or read-only disk); nothing half-written stays.
        """
        digest = Digest("sha256:" + hashlib.sha256(data).hexdigest())
        target = self._path(digest)
        try:
            _make_folder(target.parent)
            spool = _spool(target.parent, data)
            try:
                _publish(spool, target, digest)
            finally:
                spool.unlink(missing_ok=True)
            _sync_folder(target.parent)
        except OSError as cause:
            raise _fault(target, cause, verb="written") from cause
        return digest

    def get(self, digest: Digest) -> bytes:
        """Return the bytes of a digest.

        Raises
        ------
        NotFound
            If there is no such blob.
        ChecksumMismatch
            If the stored bytes are damaged.
        StoreError
            If the file cannot be read.
        """
        path = self._path(digest)
        try:
            data = path.read_bytes()
        except FileNotFoundError as cause:
            raise _missing(digest) from cause
        except OSError as cause:
            raise _fault(path, cause, verb="read") from cause
        if "sha256:" + hashlib.sha256(data).hexdigest() != digest:
            raise _damaged(digest, path)
        return data

    def has(self, digest: Digest) -> bool:
        """Say whether the blob is there.

        Raises
        ------
        StoreError
            If the folder cannot be read.
        """
        if _DIGEST.fullmatch(digest) is None:
            return False
        path = self._path(digest)
        try:
            return path.is_file()
        except OSError as cause:
            raise _fault(path, cause, verb="read") from cause

    def sweep(self, before: datetime) -> int:
        """Delete what a ``put`` that was killed has left, last written before a moment; return how many files.

        Raises
        ------
        StoreError
            If the folder cannot be read, or a file not be deleted.
        """
        count = 0
        try:
            for spool in self._objects.glob("*/.put-*"):
                if spool.stat().st_mtime < before.timestamp():
                    spool.unlink(missing_ok=True)
                    count += 1
        except FileNotFoundError:
            return count  # its put came to its end: the next look sees the rest
        except OSError as cause:
            raise _fault(self._objects, cause, verb="cleaned up") from cause
        return count

    def local_path(self, digest: Digest, name: str) -> str:
        """Return the path of a file with the blob's bytes, for readers that want a path; verified at every call.

        Parameters
        ----------
        digest : Digest
            The blob.
        name : str
            The name that the file is to have, with its suffix; folders before it are left out.

        Returns
        -------
        str
            ``cache/blobs/<64 digits>/<name>``, a hard link to the blob. It must not be written to.

        Raises
        ------
        NotFound
            If there is no such blob.
        ChecksumMismatch
            If the stored bytes are damaged.
        StoreError
            If the file cannot be read or linked.
        """
        source = self._path(digest)
        target = self._cache / digest.removeprefix("sha256:") / _leaf(name)
        try:
            if _file_digest(source) != digest:
                raise _damaged(digest, source)
            if not (target.exists() and target.samefile(source)):
                _make_folder(target.parent)
                _link(source, target)
        except FileNotFoundError as cause:
            raise _missing(digest) from cause
        except OSError as cause:
            raise _fault(source, cause, verb="read") from cause
        return str(target)

    def _path(self, digest: Digest) -> Path:
        """Return where a blob lies; a malformed digest names no blob."""
        parts = _DIGEST.fullmatch(digest)
        if parts is None:
            raise _missing(digest)
        return self._objects / parts[1] / parts[2]


def _spool(folder: Path, data: bytes) -> Path:
    """Write bytes to a new file and force them to the device."""
    number, name = tempfile.mkstemp(prefix=".put-", dir=folder)
    path = Path(name)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), _READ_ONLY)
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path


def _publish(spool: Path, target: Path, digest: Digest) -> None:
    """Give a whole file its name, unless an undamaged one has it."""
    try:
        os.link(spool, target)
    except FileExistsError:
        if _file_digest(target) != digest:
            spool.replace(target)


def _leaf(name: str) -> str:
    """Return a name without the folders before it."""
    leaf = PurePosixPath(name).name
    return leaf if leaf not in {"", ".", ".."} else "blob"


def _link(source: Path, target: Path) -> None:
    """Make a path lead to a file, whatever it led to before."""
    spool = target.with_name(f".{os.getpid()}-{threading.get_ident()}.tmp")
    spool.unlink(missing_ok=True)
    os.link(source, spool)
    try:
        spool.replace(target)
    finally:
        spool.unlink(missing_ok=True)  # it stays where both are the same file already


def _file_digest(path: Path) -> str:
    """Hash a file without holding it in memory."""
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def _make_folder(folder: Path) -> None:
    """Make a folder with all above it, each entry forced to the device."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(mode=_FOLDER, exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    """Force a folder's entries to the device."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _missing(digest: str) -> NotFound:
    """Say that there is no such blob."""
    return NotFound(f"there is no blob `{digest}`", hint="run `kilter doctor` to find what refers to it")


def _damaged(digest: str, path: Path) -> ChecksumMismatch:
    """Say that a blob is not what it was."""
    return ChecksumMismatch(
        f"the bytes of blob `{digest}` are damaged",
        where=str(path),
        hint="add the same file again, or restore it from a backup",
    )


def _fault(path: Path, cause: OSError, *, verb: str) -> StoreError:
    """Say why a file could not be read or written."""
    return StoreError(
        f"a blob cannot be {verb}",
        where=str(path),
        why=cause.strerror or str(cause),
        hint="check the free space, the owner and the mount of the home folder",
    )
