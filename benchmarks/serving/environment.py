"""Virtual environments of other programs, made from pinned requirements and kept for the next run."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MakeError", "environment"]

_INSTALL_S = 1_800.0


class MakeError(Exception):
    """An environment could not be made; the message holds the end of what the installer printed."""


def environment(requirements: Path, folder: Path, *, python: str = sys.executable) -> Path:
    """Return the interpreter of an environment that holds exactly these requirements.

    Parameters
    ----------
    requirements : Path
        Pinned versions; where they come from is the reader's own configuration of pip.
    folder : Path
        The environment; made anew when the requirements have changed.
    python : str
        The interpreter that it is made from.

    Raises
    ------
    MakeError
        If the interpreter is missing or a package cannot be installed.
    """
    stamp = folder / ".made"
    digest = hashlib.sha256(requirements.read_bytes() + python.encode()).hexdigest()
    interpreter = folder / "bin" / "python"
    if stamp.is_file() and stamp.read_text() == digest:
        return interpreter
    sys.stderr.write(f"making the environment {folder} (once)\n")
    if folder.exists():
        shutil.rmtree(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    _run([python, "-m", "venv", str(folder)], folder)
    install = ["-m", "pip", "install", "--quiet", "--only-binary=:all:", "--requirement", str(requirements)]
    _run([str(interpreter), *install], folder)
    stamp.write_text(digest)
    return interpreter


def _run(argv: list[str], folder: Path) -> None:
    """Run one step."""
    try:
        done = subprocess.run(  # noqa: S603 - our own command
            argv,
            capture_output=True,
            check=False,
            text=True,
            timeout=_INSTALL_S,
            env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        )
    except (OSError, subprocess.TimeoutExpired) as cause:
        message = f"{folder.name}: {cause}"
        raise MakeError(message) from cause
    if done.returncode:
        message = f"{folder.name}: {(done.stderr or done.stdout)[-800:]}"
        raise MakeError(message)
