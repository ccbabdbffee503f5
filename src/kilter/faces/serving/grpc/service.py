"""The Open Inference Protocol over gRPC, and gRPC's health check: from a call to its outcome."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from kilter.errors import InvalidRequest, KilterError, ModelFailed, NotFound
from kilter.faces.serving.calls import Ask, Codecs, answered, prediction_headers, version_number
from kilter.faces.serving.errors import NEVER
from kilter.faces.serving.failure import FailureLog
from kilter.faces.serving.grpc.exchange import Outcome
from kilter.faces.serving.grpc.messages import HEALTH, INFERENCE, Messages
from kilter.faces.serving.grpc.options import options_of
from kilter.faces.serving.grpc.reply import Replies
from kilter.faces.serving.grpc.status import Status, status_of, trailers_of
from kilter.faces.serving.grpc.tensors import inputs_of
from kilter.faces.serving.oip import description
from kilter.faces.serving.oip.arrays import TensorCodec
from kilter.faces.serving.oip.statistics import model_statistics

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from kilter.faces.serving.grpc.exchange import Call
    from kilter.faces.serving.grpc.messages import Message, Method
    from kilter.faces.serving.oip.repository import Repository
    from kilter.faces.serving.oip.statistics import Totals
    from kilter.services.predictor import Prediction, Predictor

__all__ = ["GrpcService"]

_log = logging.getLogger(__name__)

_FAULT = "kilter failed while answering; the server's log has the cause"
_MAX_SENTENCE = 500
_INFER = "ModelInfer"
_SERVING, _NOT_SERVING = 1, 2
_TYPE = b"content-type"


class GrpcService:
    """Answers calls, whoever carries them.

    Guarantees: never raises for what a client sent; a refusal says what was wrong in at most 500
    characters and names no value, path or trace.

    Parameters
    ----------
    predictor : Predictor
        Answers predictions.
    repository : Repository
        Lists models, and loads them where that is allowed.
    is_failing : callable
        Says whether the log refuses records now.
    totals : callable
        Gives the counts for ``ModelStatistics`` by deployment and version.
    admit : callable
        Called before the rows of a prediction are read; raises Overloaded.
    on_refused : callable of error and deployment
        Counts refusals.
    """

    def __init__(
        self,
        *,
        predictor: Predictor,
        repository: Repository,
        is_failing: Callable[[], bool],
        totals: Totals = dict,
        admit: Callable[[], None] = lambda: None,
        on_refused: Callable[[KilterError, str], None] = lambda _, __: None,
    ) -> None:
        self._predictor = predictor
        self._repository = repository
        self._is_failing = is_failing
        self._log_failure = FailureLog(_log)
        self._totals = totals
        self._admit = admit
        self._on_refused = on_refused
        self._codecs: Codecs[TensorCodec] = Codecs(
            lambda signature, max_rows: TensorCodec(signature, max_rows=max_rows)
        )
        messages = Messages()
        self._replies = Replies(messages.of("inference.ModelInferResponse"))
        self._methods = {path: method for path, method in messages.methods().items() if not method.is_stream}
        self._handlers: dict[str, Callable[[Any], dict[str, Any]]] = {
            "ServerLive": lambda _: {"live": True},
            "ServerReady": lambda _: {"ready": self._is_ready()},
            "ServerMetadata": lambda _: dict(description.server_metadata()),
            "ModelReady": self._model_ready,
            "ModelMetadata": self._model_metadata,
            "ModelConfig": self._model_config,
            "ModelStatistics": self._model_statistics,
            "RepositoryIndex": self._index,
            "RepositoryModelLoad": self._load,
            "RepositoryModelUnload": self._unload,
            "Check": self._check,
        }

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths of all calls that are answered."""
        return tuple(self._methods)

    def answer(self, call: Call) -> Outcome | Awaitable[Outcome]:
        """Answer one call; what must be waited for comes as an awaitable."""
        method = self._methods.get(call.path)
        if method is None:
            return self.unimplemented(call.path)
        name = ""
        try:
            if method.name == _INFER:
                self._admit()
            request = _parsed(method, call.body)
            if method.name != _INFER:
                name = getattr(request, "name", "")
                document = self._handlers[method.name](request)
                return Outcome(Status.OK, "", method.response(**document).SerializeToString())
            name = request.model_name
            made = self._infer(request, call)
        except KilterError as error:
            return self.refusal(error, name)
        return made if isinstance(made, Outcome) else self._awaited(made, name)

    def refusal(self, error: KilterError, deployment: str = "") -> Outcome:
        """Word an error."""
        if isinstance(error, tuple(NEVER)):
            _log.error("an error of the control plane reached the data plane", exc_info=error)
            return self.fault()
        if isinstance(error, ModelFailed):
            self._log_failure(error)
        self._on_refused(error, deployment)
        status = status_of(error)
        return Outcome(status, error.message[:_MAX_SENTENCE], b"", trailers_of(error, status))

    def fault(self) -> Outcome:
        """Word a fault of kilter itself: nothing of it leaves the process."""
        self._on_refused(KilterError(_FAULT), "")
        return Outcome(Status.INTERNAL, _FAULT, b"", (("kilter-error-code", KilterError.code),))

    def unimplemented(self, path: str) -> Outcome:
        """Word that a call is not offered."""
        offered = ", ".join(sorted(method.name for method in self._methods.values()))
        sentence = f"`{path.rpartition('/')[2][:80]}` is not offered; these calls are: {offered}"
        return Outcome(Status.UNIMPLEMENTED, sentence, b"", (("kilter-error-code", InvalidRequest.code),))

    async def _awaited(self, made: Awaitable[Outcome], deployment: str) -> Outcome:
        """Answer when the answer is there."""
        try:
            return await made
        except KilterError as error:
            return self.refusal(error, deployment)

    def _infer(self, request: Message, call: Call) -> Outcome | Awaitable[Outcome]:
        """Answer ``ModelInfer``."""
        name: str = request.model_name
        number = self._number(name, request.model_version)
        target = self._predictor.target(name, number)
        codec = self._codecs.of(target)
        is_raw = bool(request.raw_input_contents)
        wanted = codec.wanted([output.name for output in request.outputs])
        batch = codec.batch(inputs_of(request))
        ask = Ask(target, batch, options_of(request, call), call.started_ns, face="grpc")
        return answered(self._predictor, ask, lambda made: self._predicted(made, request.id, wanted, is_raw=is_raw))

    def _predicted(self, made: Prediction, id_: str, wanted: Sequence[str], *, is_raw: bool) -> Outcome:
        """Word a prediction in the form in which it was asked."""
        trailers = tuple((key.decode(), value.decode()) for key, value in prediction_headers(made) if key != _TYPE)
        return Outcome(Status.OK, "", self._replies.worded(made, wanted, id_, is_raw=is_raw), trailers)

    def _is_ready(self) -> bool:
        """Say whether all deployments are served and on record."""
        return description.is_plane_ready(self._predictor) and not self._is_failing()

    def _model_ready(self, asked: Message) -> dict[str, Any]:
        """Answer ``ModelReady``."""
        number = self._number(asked.name, asked.version)
        return {"ready": description.is_ready(self._predictor, asked.name, number)}

    def _model_metadata(self, asked: Message) -> dict[str, Any]:
        """Answer ``ModelMetadata``."""
        return description.model_metadata(self._predictor, asked.name, self._number(asked.name, asked.version))

    def _model_config(self, asked: Message) -> dict[str, Any]:
        """Answer ``ModelConfig``."""
        number = self._number(asked.name, asked.version)
        return {"config": description.model_config(self._predictor, asked.name, number)}

    def _model_statistics(self, asked: Message) -> dict[str, Any]:
        """Answer ``ModelStatistics``, for one deployment or all."""
        number = self._number(asked.name, asked.version)
        return {"model_stats": model_statistics(self._predictor, self._totals, asked.name or None, number)}

    def _index(self, asked: Message) -> dict[str, Any]:
        """Answer ``RepositoryIndex``."""
        return {"models": self._repository.index(is_ready_only=asked.ready)}

    def _load(self, asked: Message) -> dict[str, Any]:
        """Answer ``RepositoryModelLoad``; KServe's clients put the name into the first field."""
        name = asked.model_name or asked.repository_name
        self._repository.load(name, tuple(asked.parameters))
        return {"model_name": name, "is_loaded": True}

    def _unload(self, asked: Message) -> dict[str, Any]:
        """Answer ``RepositoryModelUnload``; KServe's clients put the name into the first field."""
        name = asked.model_name or asked.repository_name
        self._repository.unload(name)
        return {"model_name": name, "is_unloaded": True}

    def _check(self, asked: Message) -> dict[str, Any]:
        """Answer gRPC's own health check: for the server, or for one of its services by name."""
        if asked.service not in {"", INFERENCE, HEALTH}:
            message = f"there is no service `{asked.service[:80]}`"
            raise NotFound(message, hint=f"leave the service out, or use `{INFERENCE}`")
        return {"status": _SERVING if self._is_ready() else _NOT_SERVING}

    def _number(self, name: str, version: str) -> int | None:
        """Return the version asked for, None for whichever the route says."""
        return version_number(self._predictor, name, version) if version else None


def _parsed(method: Method, body: bytes) -> Message:
    """Read a message."""
    try:
        return method.request.FromString(body)
    except DecodeError as error:
        message = f"the body is no message of type {method.request.DESCRIPTOR.full_name}"
        raise InvalidRequest(message, hint="use a client of the Open Inference Protocol, version 2") from error
