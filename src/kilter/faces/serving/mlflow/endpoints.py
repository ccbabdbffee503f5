"""The paths of MLflow's scoring server."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING

import orjson

from kilter.contracts.version import VERSION
from kilter.errors import DeadlineExceeded, InvalidRequest, NotFound, NotReady
from kilter.faces.serving.calls import Ask, Codecs, Options, answered, prediction_headers, read_elsewhere, read_later
from kilter.faces.serving.exchange import Reply
from kilter.faces.serving.limits import AT_ONCE_BYTES
from kilter.faces.serving.mlflow.answer import check_method, encode_predictions
from kilter.faces.serving.mlflow.csv import read_csv
from kilter.faces.serving.mlflow.form import FormRequest, read_form
from kilter.faces.serving.mlflow.frame import FrameReader
from kilter.faces.serving.mlflow.media import Media, media_of
from kilter.faces.serving.mlflow.parquet_desk import ParquetDesk

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kilter.errors import KilterError
    from kilter.faces.serving.exchange import Answer, Handler, Request
    from kilter.services.predictor import Prediction, Predictor, Target

__all__ = ["CODES", "MlflowEndpoints"]

CODES: Mapping[int, str] = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""``error_code`` by status; every other status is the client's mistake: ``BAD_REQUEST``."""

_TEXT = (b"content-type", b"text/plain; charset=utf-8")
_MAX_MESSAGE = 500
_READ_S = 30.0


class MlflowEndpoints:
    """MLflow's scoring protocol.

    Guarantees: large bodies are read beside the loop, which answers others meanwhile; Parquet in another process.

    Parameters
    ----------
    predictor : Predictor
        Answers predictions.
    is_failing : callable
        Says whether the log refuses records now.
    default_deployment : str
        Whom ``POST /invocations`` asks; empty means the only deployment there is.
    """

    roots: tuple[str, ...] = ("ping", "health", "version", "invocations")

    def __init__(self, *, predictor: Predictor, is_failing: Callable[[], bool], default_deployment: str = "") -> None:
        self._predictor = predictor
        self._is_failing = is_failing
        self._default = default_deployment
        self._desk = ParquetDesk()
        self._readers: Codecs[FrameReader] = Codecs(
            lambda signature, max_rows: FrameReader(signature, max_rows=max_rows)
        )

    def wording(self, error: KilterError, status: int) -> bytes:
        """Return MLflow's error document: a code, and a message that says how to fix it."""
        message = f"{error.message}; {error.hint}" if error.hint else error.message
        return orjson.dumps({"error_code": CODES.get(status, "BAD_REQUEST"), "message": message[:_MAX_MESSAGE]})

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        """Return all paths of the protocol."""
        return {
            ("GET", "/ping"): self._ping,
            ("GET", "/health"): self._ping,
            ("GET", "/version"): self._version,
            ("POST", "/invocations"): self._invoke,
            ("POST", "/invocations/{}"): self._invoke,
        }

    def _ping(self, _: Request) -> Reply:
        """Answer ``GET /ping`` and ``GET /health``: a line end, with 404 while nothing can be served."""
        is_ready = self._predictor.generation > 0 and not self._is_failing()
        return Reply(200 if is_ready else 404, [_TEXT], b"\n")

    def _version(self, _: Request) -> Reply:
        """Answer ``GET /version``."""
        return Reply(200, [_TEXT], VERSION.encode())

    def _invoke(self, request: Request, name: str | None = None) -> Answer:
        """Answer ``POST /invocations[/{deployment}]``."""
        media = media_of(request.headers.get(b"content-type"))
        deployment = self._only() if name is None else name
        target = self._predictor.target(deployment)
        lookup = partial(self._predictor.target, deployment)
        if media is Media.PARQUET:
            return read_elsewhere(lookup, partial(self._unpacked, request), partial(self._answer, request))
        if len(request.body) > AT_ONCE_BYTES:
            return read_later(
                lookup,
                lambda asked: _read(media, self._readers.of(asked), request.body),
                partial(self._answer, request),
            )
        return self._answer(request, target, _read(media, self._readers.of(target), request.body))

    def _answer(self, request: Request, target: Target, form: FormRequest) -> Answer:
        """Predict for a decoded request."""
        options = Options(request.headers, form.routing_key, form.timeout_ms)
        check_method(target.variant.signature, form.method)
        ask = Ask(target, form.batch, options, request.started_ns, face="mlflow")
        return answered(self._predictor, ask, partial(_encode, form))

    async def _unpacked(self, request: Request, target: Target) -> FormRequest:
        """Read a Parquet body in another process, within the deadline."""
        wanted_ms = Options(request.headers, None, None).deadline_ms
        allowed_ms = target.route.deadline_ms if wanted_ms is None else min(wanted_ms, target.route.deadline_ms)
        spent_s = (time.perf_counter_ns() - request.started_ns) / 1e9 if request.started_ns else 0.0
        try:
            async with asyncio.timeout(min(_READ_S, allowed_ms / 1_000 - spent_s)):
                return FormRequest(await self._desk.read(self._readers.of(target), request.body))
        except TimeoutError as error:
            message = f"`{target.route.deployment}` had no answer within its deadline: the Parquet body was still read"
            hint = "send fewer rows, allow more with `kilter-timeout-ms`, or raise `deadline_ms` in kilter.toml"
            raise DeadlineExceeded(message, hint=hint) from error

    def _only(self) -> str:
        """Return whom a path without a name asks."""
        if self._default:
            return self._default
        names = self._predictor.deployments()
        if len(names) == 1:
            return names[0]
        if not names and self._predictor.generation == 0:
            message = "no route table is in force yet"
            raise NotReady(message, hint="deploy a model with `kilter apply`, or wait until it is loaded")
        if not names:
            message = "there is no deployment"
            raise NotFound(message, hint="deploy a model with `kilter apply`")
        shown = ", ".join(f"`/invocations/{name}`" for name in names[:10])
        message = f"there are {len(names)} deployments, and none is the default"
        raise InvalidRequest(message, hint=f"post to {shown}, or set `default_deployment` under [serving]")


def _read(media: Media, reader: FrameReader, body: bytes) -> FormRequest:
    """Read a body of JSON or CSV."""
    if media is Media.JSON:
        return read_form(reader, body)
    return FormRequest(read_csv(reader, body))


def _encode(form: FormRequest, prediction: Prediction) -> Reply:
    """Return the answer of ``/invocations``."""
    body = encode_predictions(prediction, method=form.method, ignored=form.ignored)
    return Reply(200, prediction_headers(prediction), body)
