"""How failures of models are logged: the first of a kind with its cause, the others counted."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

    from kilter.errors import KilterError

__all__ = ["FailureLog"]

_QUIET_S = 60.0
_MOST_KINDS = 64


class FailureLog:
    """Logs each sentence once a minute at most, so that a client who tries again does not fill the disk.

    Parameters
    ----------
    log : logging.Logger
        Where to.
    now_s : callable
        A clock that only grows.
    """

    def __init__(self, log: logging.Logger, *, now_s: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._now_s = now_s
        self._last: dict[str, tuple[float, int]] = {}

    def __call__(self, error: KilterError) -> None:
        """Log a failure, or count it."""
        now_s = self._now_s()
        since_s, unsaid = self._last.get(error.message, (-_QUIET_S, 0))
        if now_s - since_s < _QUIET_S:
            self._last[error.message] = (since_s, unsaid + 1)
            return
        if len(self._last) >= _MOST_KINDS:
            self._last.clear()
        self._last[error.message] = (now_s, 0)
        again = f" (and {unsaid} times since it was last told)" if unsaid else ""
        self._log.error("model failed: %s%s", error.message, again, exc_info=error)
