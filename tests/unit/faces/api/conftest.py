"""A client that calls the control plane without a socket."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import httpx
import pytest

from kilter import plugins
from kilter.faces.api.app import create
from kilter.faces.api.guard import Guard
from kilter.testing.panel import Panel, panel


@dataclass
class Caller:
    """Calls, and keeps cookies as a browser does."""

    app: Guard
    cookies: httpx.Cookies = field(default_factory=httpx.Cookies)

    def __call__(self, method: str, path: str, **options: object) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost", cookies=self.cookies) as one:
                answer = await one.request(method, path, **options)  # type: ignore[arg-type]
                self.cookies.update(one.cookies)
                return answer

        return asyncio.run(send())

    def get(self, path: str, **options: object) -> httpx.Response:
        return self("GET", path, **options)

    def post(self, path: str, body: object = None, **options: object) -> httpx.Response:
        return self("POST", path, **({} if body is None else {"json": body}), **options)


@pytest.fixture
def app() -> Panel:
    return panel()


@pytest.fixture
def call(app: Panel) -> Caller:
    return Caller(create(app, pages=plugins.load("faces.web", "app")))  # type: ignore[arg-type]
