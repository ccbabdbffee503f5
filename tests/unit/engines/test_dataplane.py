"""The client says of every answer, or of none, what it means."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pytest

from kilter.engines.dataplane import DataPlane
from kilter.errors import (
    DeadlineExceeded,
    InvalidRequest,
    KilterError,
    ModelFailed,
    NotFound,
    NotReady,
    Overloaded,
    SchemaMismatch,
    TooLarge,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


class Plane(BaseHTTPRequestHandler):
    """Answers what the test laid down, and keeps what it was sent."""

    protocol_version = "HTTP/1.1"
    answers: ClassVar[list[tuple[int, bytes, dict[str, str]]]] = []
    seen: ClassVar[list[tuple[str, str, bytes]]] = []
    hangs_up: ClassVar[bool] = False
    release: ClassVar[threading.Event] = threading.Event()
    waits: ClassVar[bool] = False

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        Plane.seen.append((self.command, self.path, body))
        if Plane.waits:
            Plane.release.wait(5)
        status, answer, headers = Plane.answers.pop(0) if Plane.answers else (200, b"{}", {})
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
        if Plane.hangs_up:
            self.close_connection = True

    do_GET = do_POST  # noqa: N815 - named by the base class


@pytest.fixture
def plane() -> Iterator[DataPlane]:
    Plane.answers, Plane.seen, Plane.hangs_up, Plane.waits = [], [], False, False
    Plane.release.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Plane)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    client = DataPlane(host="127.0.0.1", port=server.server_address[1], timeout_s=0.3)
    yield client
    client.close()
    Plane.release.set()
    server.shutdown()
    server.server_close()
    thread.join()


def lay(status: int, document: object, **headers: str) -> None:
    Plane.answers.append((status, json.dumps(document).encode(), headers))


def test_rows_and_labels_are_sent_where_they_belong(plane: DataPlane) -> None:
    lay(200, {"predictions": [1]})
    assert plane.predict("churn", [{"a": 1}], routing_key="k") == {"predictions": [1]}
    lay(202, {"accepted": 1})
    assert plane.feedback("churn", [{"label": "yes"}]) == {"accepted": 1}
    lay(200, {"name": "churn"})
    assert plane.signature("churn") == {"name": "churn"}
    assert [(method, path) for method, path, _ in Plane.seen] == [
        ("POST", "/predict/churn"),
        ("POST", "/feedback/churn"),
        ("GET", "/v2/models/churn"),
    ]
    assert json.loads(Plane.seen[0][2]) == {"rows": [{"a": 1}], "routing_key": "k"}


def test_numpy_values_go_through_and_a_missing_number_is_null(plane: DataPlane) -> None:
    plane.predict(
        "churn", [{"a": np.float64(1.5), "b": float("nan"), "c": np.int64(3), "d": [np.bool_(True)], "e": "x"}]
    )
    assert json.loads(Plane.seen[0][2])["rows"] == [{"a": 1.5, "b": None, "c": 3, "d": [True], "e": "x"}]


@pytest.mark.parametrize("value", [object(), float("inf"), {1, 2}], ids=["object", "inf", "set"])
def test_what_json_cannot_hold_is_refused_before_it_is_sent(plane: DataPlane, value: object) -> None:
    with pytest.raises(InvalidRequest, match="cannot be sent as JSON"):
        plane.predict("churn", [{"a": value}])
    assert Plane.seen == []


@pytest.mark.parametrize(
    ("status", "document", "kind"),
    [
        (400, {"error": "e", "code": "input.schema"}, SchemaMismatch),
        (400, {"error": "e"}, InvalidRequest),
        (404, {"error": "e", "code": "state.not_found"}, NotFound),
        (404, {"error": "e", "code": "of.the.future"}, NotFound),
        (408, [], DeadlineExceeded),
        (413, {}, TooLarge),
        (429, {"error": "e"}, Overloaded),
        (500, {"error": "e"}, ModelFailed),
        (503, {"error": "e"}, NotReady),
        (504, {"error": "e"}, DeadlineExceeded),
    ],
    ids=str,
)
def test_a_refusal_becomes_the_error_that_it_stands_for(
    plane: DataPlane, status: int, document: object, kind: type[KilterError]
) -> None:
    lay(status, document)
    with pytest.raises(KilterError) as caught:
        plane.predict("churn", [])
    assert type(caught.value) is kind
    assert caught.value.details["status"] == status


def test_a_refusal_keeps_field_and_hint(plane: DataPlane) -> None:
    lay(400, {"error": "wrong", "code": "input.invalid", "field": "rows[0].a", "hint": "send a number"})
    with pytest.raises(InvalidRequest, match="wrong") as caught:
        plane.predict("churn", [])
    assert (caught.value.where, caught.value.hint) == ("rows[0].a", "send a number")


def test_the_code_may_come_as_a_header(plane: DataPlane) -> None:
    lay(400, {"error": "wrong"}, **{"kilter-error-code": "input.unknown_name"})
    with pytest.raises(LookupError, match="wrong"):
        plane.signature("churn")


def test_an_answer_of_another_program_is_told(plane: DataPlane) -> None:
    Plane.answers.append((200, b"<html>", {}))
    with pytest.raises(NotReady, match="not kilter's"):
        plane.predict("churn", [])


def test_a_kept_connection_that_broke_is_opened_again(plane: DataPlane) -> None:
    Plane.hangs_up = True
    assert plane.predict("churn", []) == {}
    assert plane.predict("churn", []) == {}
    assert len(Plane.seen) == 2


def test_no_answer_in_time_is_a_deadline(plane: DataPlane) -> None:
    Plane.waits = True
    with pytest.raises(DeadlineExceeded, match=r"no answer within 0\.3 s"):
        plane.predict("churn", [])


def test_readiness_never_raises(plane: DataPlane) -> None:
    lay(200, {"ready": True})
    assert plane.is_ready()
    lay(503, {"error": "starting"})
    assert not plane.is_ready()


def test_where_nobody_listens_the_next_step_is_named() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Plane)
    port = server.server_address[1]
    server.server_close()
    client = DataPlane(host="127.0.0.1", port=port)
    with pytest.raises(NotReady, match=f"no data plane answers on 127.0.0.1:{port}") as caught:
        client.predict("churn", [])
    assert caught.value.hint == "start it with `kilter up`"
    assert not client.is_ready()
    client.close()


def test_a_host_that_does_not_exist_is_no_traceback() -> None:
    client = DataPlane(host="no-such-host.invalid", port=1, timeout_s=1.0)
    with pytest.raises(NotReady):
        client.predict("churn", [])


def test_a_server_that_went_away_between_two_calls_is_told() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Plane)
    thread = threading.Thread(target=server.handle_request)
    thread.start()
    Plane.hangs_up = True
    client = DataPlane(host="127.0.0.1", port=server.server_address[1], timeout_s=1.0)
    client.predict("churn", [])
    thread.join()
    server.server_close()
    with pytest.raises(NotReady, match="no data plane answers"):
        client.predict("churn", [])
