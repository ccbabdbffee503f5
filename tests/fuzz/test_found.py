"""Claims that the fuzzer once found broken, each made again by itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from tests.fuzz.plane import Plane
from tests.fuzz.wire import Connection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fuzz.wire import Got


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    made = Plane(tmp_path_factory.mktemp("plane"), ["sum"])
    made.launch(grpc_port=0)
    yield made
    made.stop()


async def _ask(port: int, *requests: tuple[bytes, bytes]) -> list[Got]:
    line = Connection(port)
    answers = []
    for method, target in requests:
        await line.send((b"%s %s HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n" % (method, target),))
        answers.append(await line.receive(is_head=method == b"HEAD"))
    await line.close()
    return answers


@pytest.mark.parametrize(
    ("method", "target"),
    [
        (b"POST", b"/predict/{}"),
        (b"POST", b"/feedback/{}"),
        (b"GET", b"/v2/models/{}/ready"),
        (b"GET", b"/v2/models/%7B%7D"),
    ],
)
def test_a_deployment_can_be_asked_for_by_any_name(plane: Plane, method: bytes, target: bytes) -> None:
    (answer,) = asyncio.run(_ask(plane.port, (method, target)))
    assert answer.status == 404


def test_a_malformed_request_after_head_is_answered_with_a_body(plane: Plane) -> None:
    seen, refused = asyncio.run(_ask(plane.port, (b"HEAD", b"/ping"), (b"FOO", b"/ping")))
    assert (seen.status, seen.body) == (200, b"")
    assert refused.status == 400
    assert refused.body
