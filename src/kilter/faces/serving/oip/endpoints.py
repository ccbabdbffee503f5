"""The paths of the Open Inference Protocol over REST."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from kilter.errors import InvalidRequest
from kilter.faces.serving.calls import Ask, Codecs, Options, answered, read_later, version_number
from kilter.faces.serving.document import malformed
from kilter.faces.serving.exchange import json_reply
from kilter.faces.serving.limits import AT_ONCE_BYTES, check_nesting
from kilter.faces.serving.oip.description import (
    is_plane_ready,
    is_ready,
    model_config,
    model_metadata,
    server_metadata,
)
from kilter.faces.serving.oip.reply import infer_reply
from kilter.faces.serving.oip.request import InferRequest, RequestCodec, header_length
from kilter.faces.serving.oip.statistics import model_statistics

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kilter.errors import KilterError
    from kilter.faces.serving.exchange import Answer, Handler, Reply, Request
    from kilter.faces.serving.oip.repository import Repository
    from kilter.faces.serving.oip.statistics import Totals
    from kilter.services.predictor import Predictor, Target

__all__ = ["OipEndpoints"]

_MAX_MESSAGE = 500
_HEADER = b"inference-header-content-length"


class OipEndpoints:
    """The Open Inference Protocol, version 2, with its extensions.

    Guarantees: large requests are read beside the loop, which answers others meanwhile.

    Parameters
    ----------
    predictor : Predictor
        Answers predictions.
    repository : Repository
        Lists models, takes orders to load and unload.
    is_failing : callable
        Says whether the log refuses records now.
    totals : callable
        Gives the counts of all processes by deployment and version.
    """

    roots: tuple[str, ...] = ("v2",)

    def __init__(
        self, *, predictor: Predictor, repository: Repository, is_failing: Callable[[], bool], totals: Totals = dict
    ) -> None:
        self._predictor = predictor
        self._repository = repository
        self._is_failing = is_failing
        self._totals = totals
        self._codecs: Codecs[RequestCodec] = Codecs(
            lambda signature, max_rows: RequestCodec(signature, max_rows=max_rows)
        )

    def wording(self, error: KilterError, status: int) -> bytes:
        """Return the protocol's error document: one sentence, whatever the status."""
        del status
        return orjson.dumps({"error": error.message[:_MAX_MESSAGE]})

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        """Return all paths of the protocol."""
        return {
            ("GET", "/v2"): self._server,
            ("GET", "/v2/health/live"): self._live,
            ("GET", "/v2/health/ready"): self._ready,
            ("GET", "/v2/models/stats"): self._statistics,
            ("POST", "/v2/repository/index"): self._index,
            ("POST", "/v2/repository/models/{}/load"): self._load,
            ("POST", "/v2/repository/models/{}/unload"): self._unload,
            **{
                (verb, f"/v2/models/{{}}{version}{ending}"): handler
                for version in ("", "/versions/{}")
                for verb, ending, handler in (
                    ("GET", "", self._metadata),
                    ("GET", "/ready", self._model_ready),
                    ("GET", "/config", self._config),
                    ("GET", "/stats", self._statistics),
                    ("POST", "/infer", self._infer),
                )
            },
        }

    def _infer(self, request: Request, name: str, version: str | None = None) -> Answer:
        """Answer ``POST /v2/models/{m}[/versions/{v}]/infer``."""
        number = self._number(name, version)
        target = self._predictor.target(name, number)
        body, header_bytes = request.body, header_length(request.headers.get(_HEADER))
        if len(body) > AT_ONCE_BYTES:
            lookup = partial(self._predictor.target, name, number)
            return read_later(
                lookup, lambda found: self._codecs.of(found).decode(body, header_bytes), partial(self._answer, request)
            )
        return self._answer(request, target, self._codecs.of(target).decode(body, header_bytes))

    def _answer(self, request: Request, target: Target, asked: InferRequest) -> Answer:
        """Predict for a decoded request."""
        options = Options(request.headers, asked.routing_key, asked.timeout_ms)
        ask = Ask(target, asked.batch, options, request.started_ns, face="oip")
        return answered(self._predictor, ask, lambda made: infer_reply(made, asked))

    def _server(self, _: Request) -> Reply:
        """Answer ``GET /v2``."""
        return json_reply(200, server_metadata())

    def _live(self, _: Request) -> Reply:
        """Answer ``GET /v2/health/live``."""
        return json_reply(200, {"live": True})

    def _ready(self, _: Request) -> Reply:
        """Answer ``GET /v2/health/ready``."""
        is_up = is_plane_ready(self._predictor) and not self._is_failing()
        return json_reply(200 if is_up else 503, {"ready": is_up})

    def _metadata(self, _: Request, name: str, version: str | None = None) -> Reply:
        """Answer ``GET /v2/models/{m}[/versions/{v}]``."""
        return json_reply(200, model_metadata(self._predictor, name, self._number(name, version)))

    def _model_ready(self, _: Request, name: str, version: str | None = None) -> Reply:
        """Answer ``GET /v2/models/{m}[/versions/{v}]/ready``."""
        is_up = is_ready(self._predictor, name, self._number(name, version))
        return json_reply(200 if is_up else 503, {"name": name, "ready": is_up})

    def _config(self, _: Request, name: str, version: str | None = None) -> Reply:
        """Answer ``GET /v2/models/{m}[/versions/{v}]/config``."""
        return json_reply(200, model_config(self._predictor, name, self._number(name, version)))

    def _statistics(self, _: Request, name: str | None = None, version: str | None = None) -> Reply:
        """Answer ``GET /v2/models/stats`` and ``GET /v2/models/{m}[/versions/{v}]/stats``."""
        number = None if name is None else self._number(name, version)
        return json_reply(200, {"model_stats": model_statistics(self._predictor, self._totals, name, number)})

    def _index(self, request: Request) -> Reply:
        """Answer ``POST /v2/repository/index``."""
        told = _object(request.body)
        wanted = told.get("ready")
        if wanted is not None and not isinstance(wanted, bool):
            message = "ready: expected true or false, got something else"
            raise InvalidRequest(message, hint='send `{"ready": true}`, or nothing', details={"field": "ready"})
        return json_reply(200, self._repository.index(is_ready_only=wanted is True))

    def _load(self, request: Request, name: str) -> Reply:
        """Answer ``POST /v2/repository/models/{m}/load``."""
        self._repository.load(name, _parameters(request.body))
        return json_reply(200, {"name": name, "load": True})

    def _unload(self, request: Request, name: str) -> Reply:
        """Answer ``POST /v2/repository/models/{m}/unload``."""
        _parameters(request.body)
        self._repository.unload(name)
        return json_reply(200, {"name": name, "unload": True})

    def _number(self, name: str, version: str | None) -> int | None:
        """Return the version asked for, None for whichever the route says."""
        return None if version is None else version_number(self._predictor, name, version)


def _object(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a body that may be empty."""
    if not body.strip():
        return {}
    check_nesting(body)
    try:
        told = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise malformed(error) from error
    if not isinstance(told, dict):
        message = "the body: expected a JSON object or nothing, got another document"
        raise InvalidRequest(message, hint="send `{}`")
    return told


def _parameters(body: bytes) -> dict[str, Any]:
    """Return the parameters of an order to load or unload."""
    told = _object(body).get("parameters")
    if told is None:
        return {}
    if not isinstance(told, dict):
        message = "parameters: expected an object, got something else"
        raise InvalidRequest(message, hint="leave `parameters` out", details={"field": "parameters"})
    return told
