"""kilter as it is started in production, and the same server with nothing behind it."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from benchmarks.serving.model import publish
from benchmarks.serving.process import Running
from kilter.faces.serving.processes.listener import listen
from kilter.settings import transfer
from kilter.settings.tree import ProjectSettings, ServingSettings, Settings

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.serving.model import Published

__all__ = ["Kilter", "noop", "start_kilter"]

_START_S = 60.0
_ANY = -1


class Kilter:
    """A running kilter: its process, its ports, and rows for its model."""

    def __init__(self, running: Running, published: Published, *, port: int, grpc_port: int) -> None:
        self.running = running
        self.published = published
        self.port = port
        self.grpc_port = grpc_port


def start_kilter(name: str, folder: Path, *, workers: int) -> Kilter:
    """Publish the model and start the supervisor with so many serving processes.

    Raises
    ------
    StartError
        If it does not become ready.
    """
    place = folder / name
    home = place / "home"
    home.mkdir(parents=True, mode=0o700)
    published = publish(home)
    settings = place / "settings.json"
    serving = ServingSettings(port=0, grpc_port=_ANY, workers=workers)
    transfer.write(Settings(project=ProjectSettings(home=str(home), folder=str(place)), serving=serving), settings)
    argv = [sys.executable, "-m", "kilter.faces.serving.processes.supervisor", "--settings", str(settings)]
    running = Running(name, argv, folder=place)
    announced: dict[str, int] = {}

    def port() -> int | None:
        with suppress(OSError, ValueError, KeyError):
            announced.update(json.loads((home / "run" / "ports.json").read_text())["serving"])
        return announced.get("port")

    number = running.await_ready(port, "/v2/health/ready", timeout_s=_START_S)
    return Kilter(running, published, port=number, grpc_port=announced.get("grpc_port", 0))


def noop(kind: str, folder: Path) -> tuple[Running, int]:
    """Start the HTTP server with a constant answer; ``kind`` is ``asgi`` or ``fast``.

    Raises
    ------
    StartError
        If it does not become ready.
    """
    (socket_,) = listen("127.0.0.1", 0, count=1)
    port: int = socket_.getsockname()[1]
    argv = [sys.executable, "-m", "benchmarks.serving.noop", "--kind", kind, "--fd", str(socket_.fileno())]
    place = folder / f"noop-{kind}"
    place.mkdir()
    from_here = {"PYTHONPATH": str(folder.cwd())}
    running = Running(f"noop-{kind}", argv, folder=place, fds=(socket_.fileno(),), environment=from_here)
    socket_.close()
    running.await_ready(lambda: port, "/ready", timeout_s=_START_S)
    return running, port
