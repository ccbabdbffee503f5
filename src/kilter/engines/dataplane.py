"""Calls a running data plane over HTTP, with the standard library alone."""

from __future__ import annotations

import json
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import TYPE_CHECKING

from kilter import errors
from kilter.errors import DeadlineExceeded, InvalidRequest, KilterError, NotReady

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["DataPlane"]

_BY_STATUS: Mapping[int, type[KilterError]] = {
    404: errors.NotFound,
    408: DeadlineExceeded,
    413: errors.TooLarge,
    429: errors.Overloaded,
    500: errors.ModelFailed,
    503: NotReady,
    504: DeadlineExceeded,
}
"""For answers without a code, or with one that this kilter does not know."""


class DataPlane:
    """A client of one data plane on one connection, opened again when it breaks.

    Guarantees: a prediction is not sent twice, except where the connection broke before any answer;
    one thread at a time.
    """

    def __init__(self, *, host: str, port: int, timeout_s: float = 10.0) -> None:
        self._host, self._port, self._timeout_s = host, port, timeout_s
        self._connection: HTTPConnection | None = None

    def predict(
        self, deployment: str, rows: Sequence[Mapping[str, object]], *, routing_key: str | None = None
    ) -> dict[str, object]:
        """Send rows and return the answer of ``POST /predict``.

        Raises
        ------
        InvalidRequest
            If the rows do not fit the signature.
        NotFound
            If there is no such deployment.
        NotReady
            If no data plane answers, or it is not ready.
        Overloaded
            If it has too much to do.
        """
        body: dict[str, object] = {"rows": list(rows)}
        if routing_key is not None:
            body["routing_key"] = routing_key
        return self._call("POST", f"/predict/{deployment}", body)

    def feedback(self, deployment: str, items: Sequence[Mapping[str, object]]) -> dict[str, object]:
        """Send labels and return the answer of ``POST /feedback``.

        Raises
        ------
        InvalidRequest
            If an item is malformed; nothing is stored then.
        NotFound
            If there is no such deployment.
        NotReady
            If no data plane answers.
        """
        return self._call("POST", f"/feedback/{deployment}", {"feedback": list(items)})

    def signature(self, deployment: str) -> dict[str, object]:
        """Return the metadata of a deployment's model: inputs and outputs.

        Raises
        ------
        NotFound
            If there is no such deployment.
        NotReady
            If no data plane answers.
        """
        return self._call("GET", f"/v2/models/{deployment}", None)

    def is_ready(self) -> bool:
        """Say whether a data plane answers and is ready to serve.

        Raises
        ------
        Nothing
        """
        try:
            return self._call("GET", "/v2/health/ready", None).get("ready") is True
        except KilterError:
            return False

    def close(self) -> None:
        """Let go of the connection.

        Raises
        ------
        Nothing
        """
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _call(self, method: str, path: str, body: object) -> dict[str, object]:
        """Send one request; a broken kept connection is opened once more."""
        payload = None if body is None else _encoded(body)
        headers = {"Content-Type": "application/json"} if payload is not None else {}
        is_kept = self._connection is not None
        try:
            answer = self._send(method, path, payload, headers)
        except (HTTPException, ConnectionError) as error:
            self.close()
            if not is_kept or isinstance(error, ConnectionRefusedError):
                raise self._unreachable(error) from error
            try:
                answer = self._send(method, path, payload, headers)
            except (HTTPException, OSError) as again:
                self.close()
                raise self._unreachable(again) from again
        except TimeoutError as error:
            self.close()
            msg = f"no answer within {self._timeout_s:g} s"
            raise DeadlineExceeded(msg, where=f"{method} {path}") from error
        except OSError as error:
            self.close()
            raise self._unreachable(error) from error
        return self._read(answer, f"{method} {path}")

    def _send(self, method: str, path: str, payload: bytes | None, headers: dict[str, str]) -> HTTPResponse:
        """Send on the kept connection."""
        if self._connection is None:
            self._connection = HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        self._connection.request(method, path, body=payload, headers=headers)
        return self._connection.getresponse()

    def _read(self, answer: HTTPResponse, where: str) -> dict[str, object]:
        """Turn an answer into data or into the error that it stands for."""
        raw = answer.read()
        try:
            data = json.loads(raw)
        except ValueError as error:
            msg = f"{self._host}:{self._port} answered {answer.status} with something that is not kilter's"
            raise NotReady(
                msg,
                where=where,
                hint="check with `kilter doctor` which program listens there",
            ) from error
        if not isinstance(data, dict):
            data = {}
        if answer.status < 300:
            return data
        code = str(data.get("code") or answer.getheader("kilter-error-code") or "")
        kind = _kind_of(code) or _BY_STATUS.get(answer.status, InvalidRequest)
        field, hint = data.get("field"), data.get("hint")
        details: dict[str, errors.Detail] = {"status": answer.status, "field": str(field) if field else None}
        raise kind(
            str(data.get("error") or f"the data plane answered with status {answer.status}"),
            where=str(field) if field else where,
            hint=str(hint) if hint else None,
            details=details,
        )

    def _unreachable(self, error: BaseException) -> NotReady:
        """Say that nothing answers."""
        return NotReady(
            f"no data plane answers on {self._host}:{self._port}",
            why=str(error) or type(error).__name__,
            hint="start it with `kilter up`",
        )


def _kind_of(code: str) -> type[KilterError] | None:
    """Return the class of a code from the tree in ``kilter.errors``; a name from the wire is never imported."""
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, KilterError) and kind.code == code:
            return kind
    return None


def _encoded(body: object) -> bytes:
    """Return the body as JSON; missing numbers are null."""
    try:
        return json.dumps(_plain(body), allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        msg = "a value cannot be sent as JSON"
        raise InvalidRequest(msg, why=str(error), hint="send text, numbers, booleans or nothing") from error


def _plain(value: object) -> object:
    """Return lists and mappings of plain values: numpy's scalars unpacked, NaN as null."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    unpack = getattr(value, "item", None)
    plain = unpack() if callable(unpack) else value
    return None if isinstance(plain, float) and plain != plain else plain  # noqa: PLR0124 - NaN differs from itself
