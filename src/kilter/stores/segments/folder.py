"""The reading side of the prediction log: sealed segments, recovery of what dead writers left."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import uuid
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from kilter.contracts.log import Room, SegmentInfo
from kilter.contracts.prediction import RecordKind
from kilter.errors import ChecksumMismatch, NotFound, StoreError
from kilter.stores._file import locked, sync_folder, write_whole
from kilter.stores.segments._frame import (
    FRAME_HEAD,
    HEADER_BYTES,
    Codec,
    Walk,
    decode_header,
    frame_at,
    seal_frame,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from kilter.contracts.prediction import LogRecord

__all__ = ["SegmentFolder"]

_UNBORN_S = 60.0  # a file that got no name for so long has no writer


class SegmentFolder:
    """Segments of all writers below one folder.

    Guarantees: those of ``SegmentStore``. A live writer's file is locked and never touched. Bytes
    that cannot be read are set aside, never deleted: a torn tail as ``.torn``, a damaged file as
    ``.bad`` beside the segment rescued from it. Safe from several processes.

    Parameters
    ----------
    folder : str or Path
        Where the segments are; a missing folder holds none.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self._known: dict[str, tuple[tuple[int, ...], SegmentInfo]] = {}

    def recover(self) -> tuple[SegmentInfo, ...]:
        """Seal the segments of dead writers and rescue damaged ones, setting aside what cannot be read.

        Returns
        -------
        tuple of SegmentInfo
            Those sealed or rescued by this call; ``damaged_bytes`` says what was lost.

        Raises
        ------
        StoreError
            If the folder cannot be read or written, or a segment is of a later format.
        """
        if not self._folder.is_dir():
            return ()
        lock = self._folder / "recover.lock"
        found = []
        with self._guard("recover"), locked(lock):
            lock.touch()
            for path in self._paths(".new"):
                with contextlib.suppress(FileNotFoundError):  # it got its name in between
                    if lock.stat().st_mtime - path.stat().st_mtime > _UNBORN_S:
                        path.unlink()
            for path in (*self._paths(".open"), *self._paths(".seg")):
                with contextlib.suppress(FileNotFoundError):  # its writer sealed it, or it was removed
                    found.append(self._recover_orphan(path) if path.suffix == ".open" else self._recover_sealed(path))
            sync_folder(self._folder)
        return tuple(info for info in found if info is not None)

    def sealed(self) -> tuple[SegmentInfo, ...]:
        """Return all sealed segments, oldest first.

        Raises
        ------
        StoreError
            If the folder cannot be read.
        """
        with self._guard("read"):
            infos = []
            for path in self._paths(".seg"):
                with contextlib.suppress(FileNotFoundError):  # removed in between
                    infos.append(self._info(path))
            return tuple(sorted(infos, key=lambda info: info.id))

    def records(self, segment: SegmentInfo) -> Iterator[LogRecord]:
        """Yield the segment's records in order, schemas included.

        Parameters
        ----------
        segment : SegmentInfo
            One of ``sealed``.

        Raises
        ------
        NotFound
            If the segment is gone.
        ChecksumMismatch
            If a frame is damaged.
        StoreError
            If the file cannot be read.
        """
        try:
            with self._guard("read"):
                view = memoryview(Path(segment.path).read_bytes())
        except FileNotFoundError as cause:
            message = f"segment {segment.id} is gone"
            raise NotFound(message, where=segment.path) from cause
        codec = Codec()
        position = HEADER_BYTES if decode_header(bytes(view[:HEADER_BYTES])) else len(view) + 1
        is_sealed = False
        while position < len(view) and not is_sealed:
            span = frame_at(view, position)
            if span is None:
                break
            try:
                record = codec.decode(view[span[0] : span[1]])
            except ValueError:
                break
            is_sealed = view[span[0]] == RecordKind.SEAL
            position = span[1]
            if record is not None:
                yield record
        if not is_sealed or position != len(view):
            message = f"segment {segment.id} is damaged at byte {position}"
            raise ChecksumMismatch(message, where=segment.path, hint="run `kilter doctor` to rescue what can be read")

    def remove(self, segment: SegmentInfo) -> None:
        """Delete a compacted segment; a missing one is no error.

        Parameters
        ----------
        segment : SegmentInfo
            One of ``sealed``.

        Raises
        ------
        StoreError
            If the file cannot be deleted.
        """
        with self._guard("delete from"):
            Path(segment.path).unlink(missing_ok=True)
        self._known.pop(segment.path, None)

    def retire(self, segment: SegmentInfo) -> None:
        """Put a compacted segment out of sight until ``sweep`` deletes it; a missing one is no error.

        Parameters
        ----------
        segment : SegmentInfo
            One of ``sealed``.

        Raises
        ------
        StoreError
            If the file cannot be renamed.
        """
        path = Path(segment.path)
        with self._guard("rename in"), contextlib.suppress(FileNotFoundError):
            os.utime(path)  # from now on it is kept so long
            path.rename(path.with_suffix(".done"))
        self._known.pop(segment.path, None)

    def sweep(self, before: datetime, *, is_tight: Callable[[Room], bool]) -> Room:
        """Delete segments retired before a moment, then further ones, oldest first, while room is tight.

        Parameters
        ----------
        before : datetime
            Of the machine's time.
        is_tight : callable
            Judges the room that is left.

        Returns
        -------
        Room
            What is left in the end.

        Raises
        ------
        StoreError
            If a file cannot be deleted.
        """
        with self._guard("clean"):
            self._folder.mkdir(parents=True, exist_ok=True)
            retired = [(path.stat().st_mtime, path) for path in self._paths(".done")]
            for retired_s, path in sorted(retired):
                if retired_s < before.timestamp() or is_tight(self._room()):
                    path.unlink(missing_ok=True)
            return self._room()

    # ── Recovery ─────────────────────────────────────────────────────────────────────────────────
    # Every step leaves a state from which the next run comes to the same end.

    def _recover_orphan(self, path: Path) -> SegmentInfo | None:
        """Seal the file of a dead writer."""
        with _unlocked(path) as fd:
            if fd is None:
                return None
            if path.with_suffix(".seg").exists():  # rescued by a run that was killed before this step
                path.unlink()
                return None
            data = path.read_bytes()
            if not self._is_readable(path, data):
                return None
            found = walk(data)
            if found.gap_bytes:
                return self._rescue(path, data, found)
            self._cut_tail(path, data, found, fd)
            if not found.records:
                path.unlink()
                return None
            path.rename(path.with_suffix(".seg"))
            return replace(self._info(path.with_suffix(".seg")), damaged_bytes=_torn_bytes(data, found))

    def _cut_tail(self, path: Path, data: bytes, found: Walk, fd: int) -> None:
        """Set a torn tail aside and end the file with a seal."""
        if found.tail_bytes:
            if _torn_bytes(data, found):
                write_whole(_free_name(path, ".torn"), data[found.end :])
                sync_folder(self._folder)
            os.ftruncate(fd, found.end)
        if not found.is_sealed and found.records:
            _write_at(fd, _seal_of(found), found.end)
        os.fsync(fd)

    def _recover_sealed(self, path: Path) -> SegmentInfo | None:
        """Rescue a sealed file that was damaged since."""
        if self._info(path).damaged_bytes == 0:
            return None
        data = path.read_bytes()
        return self._rescue(path, data, walk(data)) if self._is_readable(path, data) else None

    def _rescue(self, path: Path, data: bytes, found: Walk) -> SegmentInfo | None:
        """Keep the original as ``.bad`` and write its readable records as a segment of the same id."""
        kept = [span for span in found.spans if data[span[0]] != RecordKind.SEAL]
        body = data[:HEADER_BYTES] + b"".join(data[start - FRAME_HEAD.size : end] for start, end in kept)
        bad = path.with_suffix(".bad")
        if not (bad.exists() and bad.samefile(path)):
            os.link(path, _free_name(path, ".bad"))
            sync_folder(self._folder)
        if not found.records:
            path.unlink()
            return None
        fresh = path.with_suffix(".tmp")
        write_whole(fresh, body + _seal_of(replace(found, end=len(body))))
        fresh.replace(path.with_suffix(".seg"))
        if path.suffix == ".open":
            path.unlink()
        lost = max(found.gap_bytes + found.tail_bytes, 1)
        return replace(self._info(path.with_suffix(".seg")), damaged_bytes=lost)

    def _is_readable(self, path: Path, data: bytes) -> bool:
        """Judge the header; a damaged one makes the file ``.bad``."""
        header = decode_header(data)
        if header is None:
            path.rename(_free_name(path, ".bad"))
            return False
        if header.version != 1 or header.flags:
            message = f"segment {path.name} has format {header.version}, flags {header.flags}; this kilter reads 1, 0"
            raise StoreError(message, where=str(path), hint="install the kilter that wrote it")
        return True

    # ── Files ────────────────────────────────────────────────────────────────────────────────────

    def _info(self, path: Path) -> SegmentInfo:
        """Describe a sealed file; read once, then remembered until it changes."""
        stat = path.stat()
        stamp = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
        stored = self._known.get(str(path))
        if stored is not None and stored[0] == stamp:
            return stored[1]
        data = path.read_bytes()
        found = walk(data)
        header = decode_header(data)
        is_whole = header is not None and found.is_sealed
        info = SegmentInfo(
            id=str(uuid.UUID(bytes=header.segment_id)) if header else path.stem.partition("-")[2],
            path=str(path),
            digest=f"sha256:{hashlib.sha256(data).hexdigest()}",
            size_bytes=len(data),
            records=found.records,
            min_ts_ns=found.min_ts_ns,
            max_ts_ns=found.max_ts_ns,
            damaged_bytes=found.gap_bytes + max(found.tail_bytes, 0) + (0 if is_whole else 1),
            is_carried=found.is_carried,
        )
        self._known[str(path)] = (stamp, info)
        return info

    def _room(self) -> Room:
        """Ask the disk how much room it has."""
        found = os.statvfs(self._folder)
        return Room(free_bytes=found.f_bavail * found.f_frsize, total_bytes=found.f_blocks * found.f_frsize)

    def _paths(self, suffix: str) -> list[Path]:
        """List the files of one kind, by name."""
        return sorted(self._folder.glob(f"w*{suffix}"))

    @contextlib.contextmanager
    def _guard(self, doing: str) -> Iterator[None]:
        """Turn the operating system's errors into StoreError; a missing file passes."""
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as cause:
            message = f"cannot {doing} the folder of the prediction log"
            hint = "free space on the disk, or make the folder writable; see `kilter doctor`"
            raise StoreError(message, where=str(self._folder), why=cause.strerror, hint=hint) from cause


def _seal_of(found: Walk) -> bytes:
    """Return the seal that fits a walk."""
    return seal_frame(records=found.records, offset=found.end, min_ts_ns=found.min_ts_ns, max_ts_ns=found.max_ts_ns)


def _torn_bytes(data: bytes, found: Walk) -> int:
    """Count the bytes lost at the end; the beginning of a seal is no loss."""
    tail = data[found.end :]
    return 0 if _seal_of(found).startswith(tail) else len(tail)


def _write_at(fd: int, data: bytes, offset: int) -> None:
    """Write all bytes at an offset."""
    while data:
        written = os.pwrite(fd, data, offset)
        data, offset = data[written:], offset + written


def _free_name(path: Path, suffix: str) -> Path:
    """Return a name beside the file that nothing has yet: nothing set aside is written over."""
    names = (path.with_suffix(suffix if k == 1 else f".{k}{suffix}") for k in range(1, 1_000_000))
    return next(name for name in names if not name.exists())


@contextlib.contextmanager
def _unlocked(path: Path) -> Iterator[int | None]:
    """Open and lock a file that no live writer holds; None if one does, or if the name is gone."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    try:
        yield fd if _takes_lock(path, fd) else None
    finally:
        os.close(fd)


def _takes_lock(path: Path, fd: int) -> bool:
    """Lock an open file unless a writer holds it or it has another name by now."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return path.exists() and path.stat().st_ino == os.fstat(fd).st_ino
