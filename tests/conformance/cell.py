"""One call of one client: done, or why not. Standard library alone: every client's environment imports it."""

from __future__ import annotations

import json
import sys
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Cells", "close"]

_TOLERANCE = 1e-5


class Cells:
    """What a driver was told about the running kilter, and what it found.

    Parameters
    ----------
    path : str
        JSON file with ``http``, ``grpc`` (ports; 0: none) and ``deployments``: name, columns, rows and
        what the original model says of them.
    """

    def __init__(self, path: str) -> None:
        self.target: dict[str, Any] = json.loads(Path(path).read_text())
        self.matrix: dict[str, Any] = self.target["deployments"]["matrix"]
        self.mixed: dict[str, Any] = self.target["deployments"]["mixed"]
        self.http: int = self.target["http"]
        self.grpc: int = self.target["grpc"]
        self.url = f"http://127.0.0.1:{self.http}"

    @contextmanager
    def cell(self, row: str, call: str) -> Iterator[None]:
        """Print one line of JSON: the call succeeded, or what stood in the way."""
        error = ""
        try:
            yield
        except Exception as cause:  # noqa: BLE001 - whatever a client raises is the finding
            where = traceback.extract_tb(cause.__traceback__)[-1]
            error = f"{type(cause).__name__}: {cause} ({Path(where.filename).name}:{where.lineno})"[:600]
        sys.stdout.write(json.dumps({"row": row, "call": call, "error": error}) + "\n")
        sys.stdout.flush()


def close(found: Any, expected: Any) -> None:  # noqa: ANN401 - nested numbers of any client
    """Compare nested numbers.

    Raises
    ------
    ValueError
        If they differ by more than float32 does.
    """
    one, other = _flat(found), _flat(expected)
    if len(one) != len(other):
        message = f"{len(one)} values came back, expected {len(other)}"
        raise ValueError(message)
    if any(not abs(a - b) <= _TOLERANCE for a, b in zip(one, other, strict=True)):
        message = f"{one[:6]} came back, expected {other[:6]}"
        raise ValueError(message)


def _flat(values: Any) -> list[float]:  # noqa: ANN401 - as above
    """Return all numbers in order."""
    if hasattr(values, "tolist"):
        values = values.tolist()
    if isinstance(values, list | tuple):
        return [number for value in values for number in _flat(value)]
    return [float(values)]
