"""What each path and verb of the data plane answers, without any server around it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

import msgspec
import orjson

from kilter.errors import InvalidRequest, NotFound, UnsupportedMedia
from kilter.faces.serving.limits import check_nesting
from kilter.faces.serving.rows import RowCodec, encode_prediction
from kilter.faces.serving.strict import malformed
from kilter.faces.serving.tensor import TensorCodec, encode_inference, metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kilter.contracts.journal import Journal
    from kilter.contracts.prediction import FeedbackRecord
    from kilter.contracts.signature import Signature
    from kilter.services.predictor import Prediction, Predictor

__all__ = ["Endpoints", "FeedbackReader", "Reply", "is_protocol"]

_Codec = TypeVar("_Codec")

_JSON = (b"content-type", b"application/json")
_MAX_CODECS = 256
_MAX_REQUEST_ID = 128


class Reply(NamedTuple):
    """A complete answer."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class FeedbackReader(Protocol):
    """Reads the body of a feedback request."""

    def records(self, deployment: str, signature: Signature, body: object) -> tuple[FeedbackRecord, ...]:
        """Return the records of a decoded body, all or none.

        Raises
        ------
        InvalidRequest
            If an item is wrong; its index is in ``details["field"]``.
        """
        ...


class _Request(NamedTuple):
    """One request, parsed as far as the path."""

    name: str
    version: str | None
    headers: Mapping[bytes, bytes]
    body: bytes
    started_ns: int


class Endpoints:
    """The data plane's answers, by path and verb.

    Guarantees: synchronous, one thread; an answer of a prediction leaves only after its record was
    written.

    Parameters
    ----------
    predictor : Predictor
        Answers predictions.
    journal : Journal
        Takes feedback.
    feedback : FeedbackReader
        Reads feedback bodies.
    is_failing : callable
        Says whether the log refuses records now.
    """

    def __init__(
        self, *, predictor: Predictor, journal: Journal, feedback: FeedbackReader, is_failing: Callable[[], bool]
    ) -> None:
        self._predictor = predictor
        self._journal = journal
        self._feedback = feedback
        self._is_failing = is_failing
        self._rows: dict[tuple[str, int], RowCodec] = {}
        self._tensors: dict[tuple[str, int], TensorCodec] = {}
        self._v2 = {"": self._metadata, "ready": self._model_ready, "infer": self._infer}

    def answer(
        self, method: str, path: str, headers: Mapping[bytes, bytes], body: bytes, *, started_ns: int = 0
    ) -> Reply:
        """Answer one complete request.

        Parameters
        ----------
        method, path : str
            The verb, and the decoded path without query.
        headers : mapping of lower-case name to value
            The request's headers.
        body : bytes
            The whole body.
        started_ns : int
            ``time.perf_counter_ns()`` when the request came in.

        Returns
        -------
        Reply

        Raises
        ------
        KilterError
            Whatever stands in the way; the caller words it.
        """
        if b"content-encoding" in headers and headers[b"content-encoding"] != b"identity":
            message = "the body has a content coding, which is not spoken here"
            raise UnsupportedMedia(message, hint="send the body without `content-encoding`")
        if method == "POST" and path.startswith("/predict/"):
            name = path[9:]
            if "/" not in name:
                return self._predict(_Request(name, None, headers, body, started_ns))
        verb, handler, request = self._find(path, headers, body, started_ns)
        if method != verb:
            return _not_allowed(verb, path)
        return handler(request)

    def _find(
        self, path: str, headers: Mapping[bytes, bytes], body: bytes, started_ns: int
    ) -> tuple[str, Callable[[_Request], Reply], _Request]:
        """Find who answers a path."""
        name: str = ""
        number: str | None = None
        found: tuple[str, Callable[[_Request], Reply]] | None = None
        match path.split("/")[1:]:
            case ["predict", name]:
                found = ("POST", self._predict)
            case ["feedback", name]:
                found = ("POST", self._take_feedback)
            case ["v2"]:
                found = ("GET", self._server)
            case ["v2", "health", "live"]:
                found = ("GET", self._live)
            case ["v2", "health", "ready"]:
                found = ("GET", self._ready)
            case ["v2", "models", name, "versions", number, *rest]:
                found = self._of_model("/".join(rest))
            case ["v2", "models", name, *rest]:
                found = self._of_model("/".join(rest))
        if found is None or not (name or path.startswith("/v2")):
            message = "there is no such path"
            raise NotFound(message, hint="see `GET /v2`, or post rows to `/predict/NAME`")
        return *found, _Request(name, number, headers, body, started_ns)

    def _of_model(self, what: str) -> tuple[str, Callable[[_Request], Reply]] | None:
        """Return verb and handler of what is below a model, or None."""
        handler = self._v2.get(what)
        return None if handler is None else ("POST" if what == "infer" else "GET", handler)

    def _predict(self, request: _Request) -> Reply:
        """Answer ``POST /predict/{deployment}``."""
        route, variant = self._predictor.route(request.name), self._predictor.variant(request.name)
        codec = self._rows.get((variant.digest, route.max_rows))
        if codec is None:
            codec = RowCodec(variant.signature, max_rows=route.max_rows)
            _keep(self._rows, (variant.digest, route.max_rows), codec)
        rows = codec.decode(request.body)
        headers = request.headers
        key, deadline_ms = rows.routing_key, rows.timeout_ms
        if b"kilter-routing-key" in headers:
            key = headers[b"kilter-routing-key"].decode("utf-8", "replace")
        if b"kilter-timeout-ms" in headers:
            deadline_ms = _sooner(deadline_ms, headers[b"kilter-timeout-ms"])
        prediction = self._predictor.answer(
            request.name,
            rows.batch,
            routing_key=key,
            request_id=_request_id(headers),
            started_ns=request.started_ns,
            deadline_ms=deadline_ms,
        )
        return Reply(200, _prediction_headers(prediction), encode_prediction(prediction))

    def _infer(self, request: _Request) -> Reply:
        """Answer ``POST /v2/models/{m}[/versions/{v}]/infer``."""
        headers = request.headers
        if b"inference-header-content-length" in headers:
            message = "binary tensor data is not spoken here"
            raise UnsupportedMedia(message, hint="send JSON: leave out `inference-header-content-length`")
        number = self._number(request)
        route, variant = self._predictor.route(request.name), self._predictor.variant(request.name, number)
        codec = self._tensors.get((variant.digest, route.max_rows))
        if codec is None:
            codec = TensorCodec(variant.signature, max_rows=route.max_rows)
            _keep(self._tensors, (variant.digest, route.max_rows), codec)
        tensors = codec.decode(request.body)
        key, deadline_ms = tensors.routing_key, tensors.timeout_ms
        if b"kilter-routing-key" in headers:
            key = headers[b"kilter-routing-key"].decode("utf-8", "replace")
        if b"kilter-timeout-ms" in headers:
            deadline_ms = _sooner(deadline_ms, headers[b"kilter-timeout-ms"])
        prediction = self._predictor.answer(
            request.name,
            tensors.batch,
            routing_key=key,
            version=number,
            face="oip",
            request_id=_request_id(headers),
            started_ns=request.started_ns,
            deadline_ms=deadline_ms,
        )
        return Reply(200, _prediction_headers(prediction), encode_inference(prediction, tensors))

    def _take_feedback(self, request: _Request) -> Reply:
        """Answer ``POST /feedback/{deployment}``."""
        route, variant = self._predictor.route(request.name), self._predictor.variant(request.name)
        check_nesting(request.body)
        try:
            document = msgspec.json.decode(request.body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise malformed(error) from error
        records = self._feedback.records(request.name, variant.signature, document)
        self._journal.feedback(route, records)
        return _json(202, {"accepted": len(records)})

    def _server(self, _: _Request) -> Reply:
        """Answer ``GET /v2``."""
        return _json(200, {"name": "kilter", "version": _version(), "extensions": ["parameters"]})

    def _live(self, _: _Request) -> Reply:
        """Answer ``GET /v2/health/live``."""
        return _json(200, {"live": True})

    def _ready(self, _: _Request) -> Reply:
        """Answer ``GET /v2/health/ready``."""
        is_ready = self._predictor.generation > 0 and not self._is_failing()
        return _json(200 if is_ready else 503, {"ready": is_ready})

    def _metadata(self, request: _Request) -> Reply:
        """Answer ``GET /v2/models/{m}[/versions/{v}]``."""
        variant = self._predictor.variant(request.name, self._number(request))
        return _json(200, metadata(request.name, variant, self._predictor.versions(request.name)))

    def _model_ready(self, request: _Request) -> Reply:
        """Answer ``GET /v2/models/{m}[/versions/{v}]/ready``: whatever is in the table is loaded."""
        self._predictor.variant(request.name, self._number(request))
        return _json(200, {"name": request.name, "ready": True})

    def _number(self, request: _Request) -> int | None:
        """Return the version asked for; one that is no number is not loaded."""
        if request.version is None:
            return None
        if request.version.isdecimal() and request.version.isascii():
            return int(request.version[:18])
        loaded = ", ".join(f"`{number}`" for number in self._predictor.versions(request.name))
        message = f"there is no such version of `{request.name[:80]}`"
        raise NotFound(message, hint=f"use one of {loaded}, or leave the version out")


def is_protocol(path: str) -> bool:
    """Say whether a path belongs to the Open Inference Protocol, whose errors have their own form."""
    return path == "/v2" or path.startswith("/v2/")


def _keep(cache: dict[tuple[str, int], _Codec], key: tuple[str, int], codec: _Codec) -> None:
    """Keep a codec for the next request; swaps leave a few behind, which go all at once."""
    if len(cache) >= _MAX_CODECS:
        cache.clear()
    cache[key] = codec


def _json(status: int, document: dict[str, Any]) -> Reply:
    """Build a plain JSON answer."""
    return Reply(status, [_JSON], orjson.dumps(document))


def _not_allowed(verb: str, path: str) -> Reply:
    """Build the answer to the wrong verb."""
    message = f"this path takes {verb} only"
    document = {"error": message} if is_protocol(path) else {"error": message, "code": InvalidRequest.code}
    headers = [_JSON, (b"allow", verb.encode()), (b"kilter-error-code", InvalidRequest.code.encode())]
    return Reply(405, headers, orjson.dumps(document))


def _prediction_headers(prediction: Prediction) -> list[tuple[bytes, bytes]]:
    """Build the headers of every prediction."""
    return [
        _JSON,
        (b"kilter-prediction-id", prediction.prediction_id.encode()),
        (b"kilter-model-version", prediction.variant.name.encode()),
        (b"kilter-generation", b"%d" % prediction.generation),
    ]


def _request_id(headers: Mapping[bytes, bytes]) -> str:
    """Return the caller's own id: logged, never trusted."""
    value = headers.get(b"x-request-id")
    return "" if value is None else value[:_MAX_REQUEST_ID].decode("utf-8", "replace")


def _sooner(deadline_ms: int | None, header: bytes) -> int:
    """Return the smaller of two deadlines, the second from a header."""
    if not header.isdigit() or not int(header[:18]):
        message = "header kilter-timeout-ms: expected a whole number of milliseconds, got something else"
        raise InvalidRequest(message, hint="send `kilter-timeout-ms: 200`", details={"field": "kilter-timeout-ms"})
    wanted = int(header[:18])
    return wanted if deadline_ms is None else min(deadline_ms, wanted)


def _version() -> str:
    """Return kilter's version."""
    try:
        return version("kilter")
    except PackageNotFoundError:
        return "0"
