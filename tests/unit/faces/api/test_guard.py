"""The guard: foreign hosts and origins stay out, every answer is armoured."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from kilter.faces.api.guard import HEADERS, Guard

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx
    from starlette.types import Message, Scope

    from kilter.testing.panel import Panel

    Call = Callable[..., httpx.Response]

COMMAND = "/v1/deployments/bike-hourly/rollback"


@pytest.mark.parametrize("path", ["/", "/v1/health", "/nope", "/static/kilter.css", "/models/nope", "/v1/alerts?x=1"])
def test_every_answer_carries_the_headers(call: Call, path: str) -> None:
    answer = call("GET", path)
    for name, value in HEADERS:
        assert answer.headers[name.decode()] == value.decode()
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io:80", "", "[::2]:80"])
def test_a_foreign_host_is_refused(call: Call, host: str) -> None:
    answer = call("GET", "/v1/status", headers={"host": host})
    assert (answer.status_code, answer.json()["code"]) == (403, "auth.forbidden")
    assert "content-security-policy" in answer.headers


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:8000"])
def test_our_own_names_pass(call: Call, host: str) -> None:
    assert call("GET", "/v1/status", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "http://localhost:9999"},
        {"origin": "null"},
        {"origin": "null", "sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_a_foreign_origin_cannot_command(app: Panel, call: Call, headers: dict[str, str]) -> None:
    assert call("POST", COMMAND, json={"reason": "x"}, headers=headers).status_code == 403
    assert app.deployer.asked == []


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://localhost"},
        {"origin": "http://localhost", "sec-fetch-site": "same-origin"},
        # What a browser sends with our own form, since `no-referrer` hides the origin.
        {"origin": "null", "sec-fetch-site": "same-origin"},
    ],
)
def test_our_own_origin_and_programs_can(call: Call, headers: dict[str, str]) -> None:
    assert call("POST", COMMAND, json={"reason": "x"}, headers=headers).status_code == 200


def test_a_large_body_is_refused_before_it_is_read(call: Call) -> None:
    answer = call("POST", COMMAND, content=b" " * (1024 * 1024 + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "input.too_large")


def test_a_body_of_unknown_length_is_refused(call: Call) -> None:
    async def parts() -> object:
        yield b"{}"

    answer = call("POST", COMMAND, content=parts())
    assert (answer.status_code, answer.json()["where"]) == (422, "header Transfer-Encoding")


def test_an_ipv6_name_is_read_without_brackets() -> None:
    passed: list[str] = []

    async def inner(scope: Scope, _receive: object, _send: object) -> None:
        passed.append(scope["type"])

    async def send(_message: Message) -> None:
        passed.append("refused")

    guard = Guard(inner, allowed_hosts=["::1"])
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"host", b"[::1]:8000")]}
    asyncio.run(guard(scope, None, send))  # type: ignore[arg-type]
    asyncio.run(guard({"type": "lifespan"}, None, send))  # type: ignore[arg-type]
    assert passed == ["http", "lifespan"]
