"""Runs kilter's own commands as a user would, and ends what was started."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from kilter.errors import EngineError

if TYPE_CHECKING:
    from kilter.demo.project import Project
    from kilter.demo.watch import Watch
    from kilter.engines.dataplane import DataPlane

__all__ = ["Running", "command"]

_START_S = 30.0
_STOP_S = 20.0


def command(project: Project, *words: str, accept: tuple[int, ...] = (0,)) -> tuple[int, str]:
    """Run one command of kilter in the project; return exit code and what it printed.

    Raises
    ------
    EngineError
        If the exit code is not accepted.
    """
    call = [sys.executable, "-m", "kilter", *words, "--project", str(project.folder)]
    done = subprocess.run(call, capture_output=True, text=True, check=False, env=_environment())  # noqa: S603 - our own words
    printed = (done.stdout if done.returncode == 0 else done.stderr).strip() or done.stdout.strip()
    if done.returncode not in accept:
        msg = f"`kilter {' '.join(words)}` ended with {done.returncode}"
        raise EngineError(msg, why=printed[-400:])
    return done.returncode, printed


class Running:
    """A running ``kilter up``."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._log = (project.folder / "up.log").open("wb")
        call = [sys.executable, "-m", "kilter", "up", "--project", str(project.folder)]
        self._child = subprocess.Popen(call, stdout=self._log, stderr=self._log, env=_environment())  # noqa: S603 - our own words

    def wait_ready(self, plane: DataPlane, watch: Watch) -> None:
        """Wait until predictions are answered and the control plane is up.

        Raises
        ------
        EngineError
            If it ends, or is not ready in time.
        """
        deadline = time.monotonic() + _START_S
        while not (plane.is_ready() and watch.is_up()):
            if self._child.poll() is not None or time.monotonic() > deadline:
                msg = "`kilter up` did not become ready"
                raise EngineError(msg, why=self.tail(), where=str(self._project.folder))
            time.sleep(0.05)

    def tail(self) -> str:
        """Return the end of what it printed."""
        return Path(self._log.name).read_text(errors="replace")[-600:]

    def wait(self) -> None:
        """Wait until it ends by itself."""
        self._child.wait()

    def stop(self) -> int:
        """End it and return its exit code.

        Raises
        ------
        EngineError
            If it does not end in time; it is killed then.
        """
        if self._child.poll() is None:
            self._child.terminate()
        try:
            return self._child.wait(_STOP_S)
        except subprocess.TimeoutExpired as error:
            self._child.kill()
            msg = f"`kilter up` did not stop within {_STOP_S:g} s"
            raise EngineError(msg, where=str(self._project.folder)) from error
        finally:
            self._log.close()


def _environment() -> dict[str, str]:
    """Return this process's environment without settings that were meant for another project."""
    return {name: value for name, value in os.environ.items() if not name.startswith("KILTER_")}
