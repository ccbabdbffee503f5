"""A dashboard on loopback, and the system's chromium in front of it."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest
import uvicorn
from playwright.sync_api import sync_playwright

from kilter import plugins
from kilter.faces.api.app import create
from kilter.testing.panel import panel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

    from kilter.testing.panel import Panel

ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium() -> str | None:
    """Find the system's chromium."""
    named = os.environ.get("CHROMIUM")
    found = (named, *(shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")))
    return next((path for path in found if path), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser whose profile is empty, and gone afterwards."""
    path = chromium()
    if path is None:
        pytest.skip("no chromium on this machine")
    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield opened
        opened.close()


def serve(app: Panel) -> Iterator[str]:
    """Serve a dashboard in a thread, and stop it afterwards."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(create(app, pages=plugins.load("faces.web", "app")), log_config=None))  # type: ignore[arg-type]
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < deadline, "the dashboard did not start"
        time.sleep(0.02)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(20)
    listener.close()


@pytest.fixture(scope="module")
def filled() -> Panel:
    """A project with a year behind it."""
    return panel()


@pytest.fixture(scope="module")
def dashboard(filled: Panel) -> Iterator[str]:
    """Its dashboard."""
    yield from serve(filled)


@pytest.fixture(scope="module")
def bare_dashboard() -> Iterator[str]:
    """The dashboard of a project in which nothing has happened yet."""
    yield from serve(panel(is_filled=False))
