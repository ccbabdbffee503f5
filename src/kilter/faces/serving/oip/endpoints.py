"""The paths of the Open Inference Protocol over REST."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from kilter.contracts.version import VERSION
from kilter.errors import UnsupportedMedia
from kilter.faces.serving.calls import Ask, Codecs, Options, answered, prediction_headers, version_number
from kilter.faces.serving.exchange import Reply, json_reply
from kilter.faces.serving.oip.tensor import TensorCodec, encode_inference, metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kilter.errors import KilterError
    from kilter.faces.serving.exchange import Answer, Handler, Request
    from kilter.services.predictor import Predictor

__all__ = ["OipEndpoints"]

_MAX_MESSAGE = 500


class OipEndpoints:
    """The Open Inference Protocol, version 2.

    Parameters
    ----------
    predictor : Predictor
        Answers predictions.
    is_failing : callable
        Says whether the log refuses records now.
    """

    roots: tuple[str, ...] = ("v2",)

    def __init__(self, *, predictor: Predictor, is_failing: Callable[[], bool]) -> None:
        self._predictor = predictor
        self._is_failing = is_failing
        self._codecs: Codecs[TensorCodec] = Codecs(
            predictor, lambda signature, max_rows: TensorCodec(signature, max_rows=max_rows)
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
            ("GET", "/v2/models/{}"): self._metadata,
            ("GET", "/v2/models/{}/versions/{}"): self._metadata,
            ("GET", "/v2/models/{}/ready"): self._model_ready,
            ("GET", "/v2/models/{}/versions/{}/ready"): self._model_ready,
            ("POST", "/v2/models/{}/infer"): self._infer,
            ("POST", "/v2/models/{}/versions/{}/infer"): self._infer,
        }

    def _infer(self, request: Request, name: str, version: str | None = None) -> Answer:
        """Answer ``POST /v2/models/{m}[/versions/{v}]/infer``."""
        if b"inference-header-content-length" in request.headers:
            message = "binary tensor data is not spoken here"
            raise UnsupportedMedia(message, hint="send JSON: leave out `inference-header-content-length`")
        number = self._number(name, version)
        tensors = self._codecs.of(name, number).decode(request.body)
        options = Options(request.headers, tensors.routing_key, tensors.timeout_ms)
        ask = Ask(name, tensors.batch, options, request.started_ns, version=number, face="oip")
        return answered(
            self._predictor,
            ask,
            lambda made: Reply(200, prediction_headers(made), encode_inference(made, tensors)),
        )

    def _server(self, _: Request) -> Reply:
        """Answer ``GET /v2``."""
        return json_reply(200, {"name": "kilter", "version": VERSION, "extensions": ["parameters"]})

    def _live(self, _: Request) -> Reply:
        """Answer ``GET /v2/health/live``."""
        return json_reply(200, {"live": True})

    def _ready(self, _: Request) -> Reply:
        """Answer ``GET /v2/health/ready``."""
        is_ready = self._predictor.generation > 0 and not self._is_failing()
        return json_reply(200 if is_ready else 503, {"ready": is_ready})

    def _metadata(self, _: Request, name: str, version: str | None = None) -> Reply:
        """Answer ``GET /v2/models/{m}[/versions/{v}]``."""
        variant = self._predictor.variant(name, self._number(name, version))
        return json_reply(200, metadata(name, variant, self._predictor.versions(name)))

    def _model_ready(self, _: Request, name: str, version: str | None = None) -> Reply:
        """Answer ``GET /v2/models/{m}[/versions/{v}]/ready``: whatever is in the table is loaded."""
        self._predictor.variant(name, self._number(name, version))
        return json_reply(200, {"name": name, "ready": True})

    def _number(self, name: str, version: str | None) -> int | None:
        """Return the version asked for, None for whichever the route says."""
        return None if version is None else version_number(self._predictor, name, version)
