"""Small files by which the processes of one node see one another."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from kilter.contracts.route import AcceptorStatus
from kilter.errors import Conflict, StoreError
from kilter.stores._file import locked, replace_file
from kilter.stores._process import born, is_alive

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Board"]

_CLAIM_TRIES = 25
_CLAIM_PAUSE_S = 0.02  # a look at the pid file holds its lock for microseconds


class _Shown(msgspec.Struct, frozen=True):
    """What stands in an acceptor's file: the process's start tells a reused pid apart."""

    status: AcceptorStatus
    born: int


class Board:
    """Statuses, the supervisor's pid file and the seal epoch below one folder.

    Guarantees: those of ``PlaneBoard``. A dead process is never believed: pids are checked together
    with the process's start, the pid file by a lock that the kernel drops with its holder.

    Parameters
    ----------
    folder : str or Path
        Where the files are; made when something is first written.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self._encode = msgspec.json.Encoder().encode
        self._decode = msgspec.json.Decoder(_Shown).decode
        self._claimed = -1

    def report(self, status: AcceptorStatus) -> None:
        """Show this acceptor's status.

        Parameters
        ----------
        status : AcceptorStatus
            Replaces what the slot showed before.

        Raises
        ------
        StoreError
            If it cannot be written.
        """
        data = self._encode(_Shown(status=status, born=born(status.pid)))
        with self._writing():
            replace_file(self._folder / f"acceptor-{status.slot}.json", data, durable=False)

    def withdraw(self, slot: int) -> None:
        """Take an acceptor's status off the board at its clean end.

        Parameters
        ----------
        slot : int
            Of the acceptor.

        Raises
        ------
        StoreError
            If it cannot be deleted.
        """
        with self._writing():
            (self._folder / f"acceptor-{slot}.json").unlink(missing_ok=True)

    def statuses(self) -> tuple[AcceptorStatus, ...]:
        """Return the status of every live acceptor, by slot.

        Raises
        ------
        StoreError
            If the folder cannot be read.
        """
        found = []
        with self._reading():
            for path in self._folder.glob("acceptor-*.json"):
                with contextlib.suppress(FileNotFoundError, ValueError):  # withdrawn, or no status
                    shown = self._decode(path.read_bytes())
                    if is_alive(shown.status.pid, shown.born):
                        found.append(shown.status)
        return tuple(sorted(found, key=lambda status: status.slot))

    def claim(self) -> None:
        """Become the supervisor of this node until ``release`` or the process's end.

        Raises
        ------
        Conflict
            If another supervisor runs.
        StoreError
            If the pid file cannot be written.
        """
        with self._writing():
            fd = os.open(self._folder / "supervisor.pid", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        for _ in range(_CLAIM_TRIES):
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            time.sleep(_CLAIM_PAUSE_S)
        else:
            os.close(fd)
            pid = self.supervisor_pid()
            message = f"kilter is already running here, as process {pid}"
            raise Conflict(message, where=str(self._folder), hint=f"use it, or stop it with `kill {pid}`")
        self._claimed = fd
        with self._writing():
            os.ftruncate(fd, 0)
            os.pwrite(fd, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Stop being the supervisor; nothing happens if this is none."""
        if self._claimed >= 0:
            os.close(self._claimed)
            self._claimed = -1

    def supervisor_pid(self) -> int | None:
        """Return the process id of the running supervisor, or None.

        Raises
        ------
        StoreError
            If the folder cannot be read.
        """
        if self._claimed >= 0:
            return os.getpid()
        with self._reading():
            try:
                fd = os.open(self._folder / "supervisor.pid", os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return None
            try:
                fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                digits = os.pread(fd, 20, 0).decode("ascii", "replace")
                return int(digits) if digits.isdigit() else None
            else:
                return None  # nobody holds it: the number in it is of a process that is gone
            finally:
                os.close(fd)

    def request_seal(self) -> int:
        """Ask every acceptor to seal its open segment; return the epoch to wait for.

        Raises
        ------
        StoreError
            If it cannot be written.
        """
        with self._writing(), locked(self._folder / "seal.lock"):
            epoch = self.seal_epoch() + 1
            replace_file(self._folder / "seal", str(epoch).encode(), durable=False)
        return epoch

    def seal_epoch(self) -> int:
        """Return the latest epoch asked for, 0 before the first; cheap enough to poll.

        Raises
        ------
        StoreError
            If the folder cannot be read.
        """
        with self._reading():
            try:
                digits = (self._folder / "seal").read_bytes()
            except FileNotFoundError:
                return 0
            return int(digits) if digits.isdigit() else 0

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Make the folder; turn the operating system's errors into StoreError."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            yield
        except OSError as cause:
            message = "cannot write to the run folder"
            hint = "free space on the disk, or make the folder writable; see `kilter doctor`"
            raise StoreError(message, where=str(self._folder), why=cause.strerror, hint=hint) from cause

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """Turn the operating system's errors into StoreError."""
        try:
            yield
        except OSError as cause:
            message = "cannot read the run folder"
            raise StoreError(message, where=str(self._folder), why=cause.strerror, hint="make it readable") from cause
