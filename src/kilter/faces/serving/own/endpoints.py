"""``POST /predict/{deployment}`` and ``POST /feedback/{deployment}``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

import msgspec

from kilter.faces.serving.calls import NOT_LOGGED, Ask, Codecs, Options, answered, prediction_headers, read_later
from kilter.faces.serving.document import malformed
from kilter.faces.serving.exchange import Reply, json_reply
from kilter.faces.serving.limits import AT_ONCE_BYTES, check_nesting
from kilter.faces.serving.own.answer import AnswerEncoder
from kilter.faces.serving.own.rows import RowCodec, RowRequest
from kilter.faces.serving.router import plain_wording

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kilter.contracts.journal import Journal
    from kilter.contracts.prediction import FeedbackRecord
    from kilter.contracts.route import Route
    from kilter.contracts.signature import Signature
    from kilter.errors import KilterError
    from kilter.faces.serving.exchange import Answer, Handler, Request
    from kilter.services.predictor import Prediction, Predictor, Target

__all__ = ["FeedbackReader", "OwnEndpoints"]


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


class OwnEndpoints:
    """kilter's own protocol.

    Guarantees: an answer leaves only after its record, and a label's receipt after the label, was
    stored at the deployment's level. Large bodies are read beside the loop, which answers others meanwhile.

    Parameters
    ----------
    predictor : Predictor
        Answers predictions.
    journal : Journal
        Takes feedback.
    feedback : FeedbackReader
        Reads feedback bodies.
    on_taken : callable of deployment
        Counts accepted requests with feedback.
    """

    roots: tuple[str, ...] = ("predict", "feedback")

    def __init__(
        self,
        *,
        predictor: Predictor,
        journal: Journal,
        feedback: FeedbackReader,
        on_taken: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._on_taken = on_taken
        self._predictor = predictor
        self._journal = journal
        self._feedback = feedback
        self._answers = AnswerEncoder()
        self._codecs: Codecs[RowCodec] = Codecs(lambda signature, max_rows: RowCodec(signature, max_rows=max_rows))

    def wording(self, error: KilterError, status: int) -> bytes:
        """Return kilter's error document."""
        return plain_wording(error, status)

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        """Return all paths of the protocol."""
        return {("POST", "/predict/{}"): self._predict, ("POST", "/feedback/{}"): self._take_feedback}

    def _predict(self, request: Request, name: str) -> Answer:
        """Answer ``POST /predict/{deployment}``."""
        target = self._predictor.target(name)
        body = request.body
        if len(body) > AT_ONCE_BYTES:
            lookup = partial(self._predictor.target, name)
            return read_later(lookup, lambda asked: self._codecs.of(asked).decode(body), partial(self._answer, request))
        return self._answer(request, target, self._codecs.of(target).decode(body))

    def _answer(self, request: Request, target: Target, rows: RowRequest) -> Answer:
        """Predict for a decoded request."""
        options = Options(request.headers, rows.routing_key, rows.timeout_ms)
        return answered(self._predictor, Ask(target, rows.batch, options, request.started_ns), self._encode)

    def _encode(self, prediction: Prediction) -> Reply:
        """Return the answer of ``/predict``."""
        return Reply(200, prediction_headers(prediction), self._answers.encode(prediction))

    def _take_feedback(self, request: Request, name: str) -> Answer:
        """Answer ``POST /feedback/{deployment}``."""
        target = self._predictor.target(name)
        if len(request.body) > AT_ONCE_BYTES:
            lookup = partial(self._predictor.target, name)
            return read_later(lookup, lambda asked: self._records(asked, request.body), self._take)
        return self._take(target, self._records(target, request.body))

    def _records(self, target: Target, body: bytes) -> tuple[FeedbackRecord, ...]:
        """Read the labels of a body."""
        check_nesting(body)
        try:
            document = msgspec.json.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise malformed(error) from error
        return self._feedback.records(target.route.deployment, target.variant.signature, document)

    def _take(self, target: Target, records: tuple[FeedbackRecord, ...]) -> Answer:
        """Put labels on record."""
        route = target.route
        is_logged = self._journal.feedback(route, records)
        if is_logged and route.durable == "disk":
            return self._received(route, len(records))
        return self._receipt(route, len(records), is_logged=is_logged)

    async def _received(self, route: Route, count: int) -> Reply:
        """Acknowledge labels once they are on the device."""
        return self._receipt(route, count, is_logged=await self._journal.durable(route, count=count))

    def _receipt(self, route: Route, count: int, *, is_logged: bool) -> Reply:
        """Return the answer of ``/feedback``; it says so where the log was full and the deployment lets labels go."""
        self._on_taken(route.deployment)
        if is_logged:
            return json_reply(202, {"accepted": count})
        reply = json_reply(202, {"accepted": count, "logged": False})
        return reply._replace(headers=[*reply.headers, NOT_LOGGED])
