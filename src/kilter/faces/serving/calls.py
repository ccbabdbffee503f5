"""What the prediction calls of all protocols share: options in headers, headers of answers, codecs by version."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from kilter.errors import InvalidRequest, NotFound
from kilter.faces.serving.exchange import JSON, Reply
from kilter.faces.serving.metrics.trace import TRACEPARENT, trace_id_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from kilter.contracts.batch import Batch
    from kilter.contracts.signature import Signature
    from kilter.faces.serving.exchange import Answer
    from kilter.services.predictor import Prediction, Predictor, Target

__all__ = [
    "FALLBACK",
    "NOT_LOGGED",
    "Ask",
    "Codecs",
    "Options",
    "answered",
    "prediction_headers",
    "read_elsewhere",
    "read_later",
    "version_number",
]

_Codec = TypeVar("_Codec")
_Reply = TypeVar("_Reply")
_Form = TypeVar("_Form")

NOT_LOGGED = (b"kilter-logged", b"false")
"""Header of what was answered without a record, because the log was full and the deployment says ``count``."""

FALLBACK = (b"kilter-fallback", b"true")
"""Header of what a fallback answered."""

_MAX_CODECS = 256
_MAX_REQUEST_ID = 128
_KEY, _TIMEOUT, _ID = b"kilter-routing-key", b"kilter-timeout-ms", b"x-request-id"


class Options:
    """What a caller asks for beside the rows.

    Headers win over the body for the routing key; of two deadlines the sooner holds. The caller's own
    request id is logged, never trusted.

    Raises
    ------
    InvalidRequest
        If the header with the deadline holds no whole number of milliseconds.
    """

    __slots__ = ("deadline_ms", "request_id", "routing_key", "trace_id")

    def __init__(self, headers: Mapping[bytes, bytes], routing_key: str | None, deadline_ms: int | None) -> None:
        self.routing_key = routing_key
        self.deadline_ms = deadline_ms
        self.request_id = ""
        if _KEY in headers:
            self.routing_key = headers[_KEY].decode("utf-8", "replace")
        if _TIMEOUT in headers:
            self.deadline_ms = _sooner(deadline_ms, headers[_TIMEOUT])
        self.trace_id = trace_id_of(headers[TRACEPARENT]) if TRACEPARENT in headers else ""
        if _ID in headers:
            self.request_id = headers[_ID][:_MAX_REQUEST_ID].decode("utf-8", "replace")


class Ask(NamedTuple):
    """One call: rows read by the target's signature, and since when they wait."""

    target: Target
    batch: Batch
    options: Options
    started_ns: int
    face: str = "http"


class Codecs(Generic[_Codec]):
    """Readers of one protocol, made once for each loaded version.

    Swaps leave a few behind, which go all at once.
    """

    def __init__(self, make: Callable[[Signature, int], _Codec]) -> None:
        """``make`` builds a reader for a signature and the most rows of a request."""
        self._make = make
        self._made: dict[tuple[str, int], _Codec] = {}

    def of(self, target: Target) -> _Codec:
        """Return the reader for whoever is asked."""
        codec = self._made.get(target.codec_key)
        if codec is None:
            if len(self._made) >= _MAX_CODECS:
                self._made.clear()
            codec = self._made[target.codec_key] = self._make(target.variant.signature, target.route.max_rows)
        return codec


def answered(predictor: Predictor, ask: Ask, encode: Callable[[Prediction], _Reply]) -> _Reply | Awaitable[_Reply]:
    """Predict and encode: at once where nothing needs to be waited for, else later.

    Parameters
    ----------
    predictor : Predictor
        Answers.
    ask : Ask
        Who is asked what, and how.
    encode : callable
        Words the prediction in the protocol's form.

    Raises
    ------
    KilterError
        Whatever stands in the way; raised later by an answer that comes later.
    """
    target, batch, options, started_ns, face = ask
    if not predictor.is_immediate(target, batch.rows):
        waiting = predictor.answer_later(
            target,
            batch,
            routing_key=options.routing_key,
            face=face,
            request_id=options.request_id,
            trace_id=options.trace_id,
            started_ns=started_ns,
            deadline_ms=options.deadline_ms,
        )
        return _encoded(waiting, encode)
    made = predictor.answer(
        target,
        batch,
        routing_key=options.routing_key,
        face=face,
        request_id=options.request_id,
        trace_id=options.trace_id,
        started_ns=started_ns,
        deadline_ms=options.deadline_ms,
    )
    return encode(made)


async def read_later(
    lookup: Callable[[], Target], read: Callable[[Target], _Form], answer: Callable[[Target, _Form], Answer]
) -> Reply:
    """Read a large body in a side thread, once more if a swap changes the columns meanwhile, then answer.

    What was asked before may be let go of by a swap, so whoever is asked is looked up after reading.

    Parameters
    ----------
    lookup : callable
        Returns whom the request asks by the table in force; called on the loop.
    read : callable
        Decodes the body for whoever is asked; called in the side thread.
    answer : callable
        Answers what was read; called on the loop.

    Returns
    -------
    Reply
        The answer, waited for if it comes later itself.

    Raises
    ------
    KilterError
        Whatever stands in the way.
    """

    def beside(target: Target) -> Awaitable[_Form]:
        return asyncio.to_thread(read, target)

    return await read_elsewhere(lookup, beside, answer)


async def read_elsewhere(
    lookup: Callable[[], Target], read: Callable[[Target], Awaitable[_Form]], answer: Callable[[Target, _Form], Answer]
) -> Reply:
    """Wait until a body is read, once more if a swap changes the columns meanwhile, then answer.

    As `read_later`, but ``read`` is called on the loop and says itself where it works.

    Parameters
    ----------
    lookup : callable
        Returns whom the request asks by the table in force.
    read : callable
        Decodes the body for whoever is asked.
    answer : callable
        Answers what was read.

    Returns
    -------
    Reply
        The answer, waited for if it comes later itself.

    Raises
    ------
    KilterError
        Whatever stands in the way.
    """
    target = lookup()
    while True:
        form = await read(target)
        read_for, target = target, lookup()
        if target.codec_key == read_for.codec_key or target.variant.signature == read_for.variant.signature:
            break
    made = answer(target, form)
    return made if isinstance(made, Reply) else await made


async def _encoded(waiting: Awaitable[Prediction], encode: Callable[[Prediction], _Reply]) -> _Reply:
    """Encode a prediction once it is there; others are answered meanwhile."""
    return encode(await waiting)


def version_number(predictor: Predictor, deployment: str, version: str) -> int:
    """Return the version asked for in a path.

    Raises
    ------
    NotFound
        If it is no number: such a version is not loaded.
    """
    if version.isdecimal() and version.isascii():
        return int(version[:18])
    loaded = ", ".join(f"`{number}`" for number in predictor.versions(deployment))
    message = f"there is no such version of `{deployment[:80]}`"
    raise NotFound(message, hint=f"use one of {loaded}, or leave the version out")


def prediction_headers(prediction: Prediction) -> list[tuple[bytes, bytes]]:
    """Return the headers of every prediction; one more each if it is not on record, or a fallback's."""
    headers = [
        JSON,
        (b"kilter-prediction-id", prediction.prediction_id.encode()),
        (b"kilter-model-version", prediction.variant.name.encode()),
        (b"kilter-generation", b"%d" % prediction.generation),
    ]
    if not prediction.is_logged:
        headers.append(NOT_LOGGED)
    if prediction.is_fallback:
        headers.append(FALLBACK)
    return headers


def _sooner(deadline_ms: int | None, header: bytes) -> int:
    """Return the smaller of two deadlines, the second from a header."""
    if not header.isdigit() or not int(header[:18]):
        got = "0" if header.isdigit() else "something else"
        message = f"header kilter-timeout-ms: expected a whole number of milliseconds of at least 1, got {got}"
        raise InvalidRequest(message, hint="send `kilter-timeout-ms: 200`", details={"field": "kilter-timeout-ms"})
    wanted = int(header[:18])
    return wanted if deadline_ms is None else min(deadline_ms, wanted)
