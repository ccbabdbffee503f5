"""What passes between gRPC's wire and those who answer: a whole call in, a whole outcome out."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from kilter.faces.serving.grpc.status import Status

__all__ = ["Call", "Metadata", "Outcome"]

Metadata = tuple[tuple[str, str], ...]


class Call(NamedTuple):
    """One complete call.

    ``path`` is ``/package.Service/Method``, ``body`` the serialised message, ``metadata`` as it came:
    names in lower case, values of names in ``-bin`` as bytes. ``started_ns`` is
    ``time.perf_counter_ns()`` of its arrival, ``remaining_s`` what is left of the caller's deadline
    then, None if there is none.
    """

    path: str
    body: bytes
    metadata: tuple[tuple[str, str | bytes], ...] = ()
    started_ns: int = 0
    remaining_s: float | None = None


class Outcome(NamedTuple):
    """How a call ends: a message if ``status`` is OK, else one sentence; ``trailers`` in either case."""

    status: Status
    sentence: str
    body: bytes
    trailers: Metadata = ()
