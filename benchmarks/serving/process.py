"""One server under test: started in a session of its own, watched through /proc, ended by its process ids."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from kilter.faces.serving.processes.child import pinned_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Running", "StartError", "free_port"]

_TICKS = os.sysconf("SC_CLK_TCK")
_POLL_S = 0.005
_END_S = 20.0
_PORTS = 4


class StartError(Exception):
    """A server did not start; the message holds the end of what it printed."""


class Running:
    """A server, its children included.

    Parameters
    ----------
    name : str
        For messages, and for the file that takes what it prints.
    argv : sequence of str
        The command; numeric libraries are pinned to one thread (trap 1 of the serving design).
    folder : Path
        Where it runs and where its output is kept.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        fds: Sequence[int] = (),
    ) -> None:
        self.name = name
        self.ready_s = 0.0
        self._output = folder / f"{name}.log"
        self._begun = time.perf_counter()
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - commands of this benchmark
                argv,
                cwd=folder,
                env={**pinned_environment(), **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=tuple(fds),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process that was started."""
        return self._process.pid

    def await_ready(self, port: Callable[[], int | None], path: str, *, timeout_s: float) -> int:
        """Wait until ``GET path`` answers 200; return the port, and keep how long it took.

        Raises
        ------
        StartError
            If it ends, or takes too long.
        """
        deadline = self._begun + timeout_s
        while True:
            number = port()
            if number is not None and _status(number, path) == http.client.OK:
                self.ready_s = time.perf_counter() - self._begun
                return number
            if self._process.poll() is not None or time.perf_counter() > deadline:
                how = "ended" if self._process.returncode is not None else f"was not ready in {timeout_s:.0f} s"
                tail = self._output.read_bytes()[-1500:].decode("utf-8", "replace")
                self.stop()
                message = f"{self.name} {how}:\n{tail}"
                raise StartError(message)
            time.sleep(_POLL_S)

    def pids(self) -> list[int]:
        """Return the process and all its descendants that live now."""
        children: dict[int, list[int]] = {}
        for pid, parent in _parents():
            children.setdefault(parent, []).append(pid)
        found, waiting = [], [self.pid]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            waiting += children.get(pid, [])
        return found

    def cpu_s(self) -> float:
        """Return the processor time that all its processes have used, kernel included."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError, IndexError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                total += int(fields[11]) + int(fields[12])
        return total / _TICKS

    def memory_mb(self, *, marker: str = "") -> float:
        """Return the resident memory of its processes in MB; with a marker, of the largest whose command holds it."""
        sizes = []
        for pid in self.pids():
            with contextlib.suppress(OSError):
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
                if marker in command:
                    sizes.append(resident * os.sysconf("SC_PAGE_SIZE") / 1e6)
        return (max(sizes, default=0.0) if marker else sum(sizes)) if sizes else 0.0

    def pause(self) -> None:
        """Stop its processes where they are, so that an idle server takes nothing from the one measured."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let its processes go on."""
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """End the process and whatever it started: politely, then not."""
        self.resume()
        pids = self.pids()
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)
        for pid in pids:  # what outlives its parent
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if pid != self.pid and os.getsid(pid) == self.pid:
                    os.kill(pid, signal.SIGKILL)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _signal(self, number: int) -> None:
        """Send a signal to all its processes."""
        if self._process.poll() is None:
            for pid in self.pids():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)


def free_port() -> int:
    """Return the first of a few neighbouring ports of 127.0.0.1 that nobody uses now.

    Raises
    ------
    StartError
        If there are none.
    """
    for _ in range(50):
        with contextlib.ExitStack() as stack:
            first = stack.enter_context(socket.socket())
            first.bind(("127.0.0.1", 0))
            number: int = first.getsockname()[1]
            try:
                for offset in range(1, _PORTS):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", number + offset))
            except (OSError, OverflowError):
                continue
            return number
    message = "there are no free ports"
    raise StartError(message)


def _parents() -> list[tuple[int, int]]:
    """Return (process, parent) of all processes."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                found.append((int(entry.name), int(fields[1])))
    return found


def _status(port: int, path: str) -> int:
    """Ask once; 0 if there is no answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5.0)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()
