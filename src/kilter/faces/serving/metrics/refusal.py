"""Counts requests that ended with an error before any version could be blamed for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilter.errors import Overloaded

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilter.contracts.meters import Meters
    from kilter.errors import KilterError

__all__ = ["FACES", "Refusals", "face_of"]

FACES = {"predict": "http", "feedback": "feedback", "v2": "oip", "invocations": "mlflow"}
"""The face by the first segment of a path; ``http`` for all others."""


class Refusals:
    """Counts errors by deployment, face and code.

    Guarantees: a name that a client made up never becomes a label; an error that the predictor has
    counted under its version is not counted again.

    Parameters
    ----------
    meters : Meters
        Where they are counted.
    is_loaded : callable
        Says whether a deployment of this name is served.
    """

    def __init__(self, meters: Meters, *, is_loaded: Callable[[str], bool]) -> None:
        self._meters = meters
        self._is_loaded = is_loaded

    def count(self, error: KilterError, face: str, deployment: str = "") -> None:
        """Count an error that is about to be worded; ``deployment`` may be anything that stood in the request."""
        name = deployment if deployment and self._is_loaded(deployment) else ""
        if not error.is_counted:
            self._meters.slot("kilter_requests_total", name, "", "", face, error.code).add()
        if isinstance(error, Overloaded):
            self._meters.slot("kilter_shed_total", name, face).add()


def face_of(path: str) -> str:
    """Return the face that a path belongs to."""
    return FACES.get(path.split("/", 2)[1] if path.startswith("/") else "", "http")
