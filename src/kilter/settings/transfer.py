"""Settings on their way to a child process, as one JSON file."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from kilter.errors import SettingsError
from kilter.settings.tree import Settings

__all__ = ["read", "write"]


def write(settings: Settings, path: str | Path) -> None:
    """Write settings for child processes, whole or not at all.

    Raises
    ------
    SettingsError
        If the file cannot be written.
    """
    target = Path(path)
    waiting = target.with_suffix(f".{os.getpid()}.new")
    try:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        waiting.write_bytes(msgspec.json.encode(settings))
        waiting.replace(target)
    except OSError as error:
        msg = f"settings for child processes cannot be written: {error.strerror}"
        raise SettingsError(
            msg,
            where=str(target),
            hint="make room, or make the folder writable",
        ) from error


def read(path: str | Path) -> Settings:
    """Read what ``write`` wrote.

    Raises
    ------
    SettingsError
        If the file is missing or damaged.
    """
    try:
        return msgspec.json.decode(Path(path).read_bytes(), type=Settings)
    except (OSError, msgspec.MsgspecError) as error:
        msg = f"settings cannot be read: {error}"
        raise SettingsError(msg, where=str(path), hint="start again with `kilter up`") from error
