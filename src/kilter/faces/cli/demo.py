"""``kilter demo``: hand over to the demonstration."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from kilter.faces.cli.verb import verb

if TYPE_CHECKING:
    from kilter.faces.cli.session import Session

__all__ = ["command"]


@verb("demo")
@click.option(
    "--exit", "is_exit", is_flag=True, help="Stop everything at the end instead of leaving the dashboard running."
)
@click.option(
    "--speed", type=click.FloatRange(min=0.0), default=0.0, help="Replayed hours a second; 0 = as fast as it goes."
)
@click.option(
    "--dir", "folder", type=click.Path(file_okay=False), help="Folder to work in; default a new temporary one."
)
@click.option("--port", type=int, default=0, help="Port of the dashboard; default 8000, or a free one.")
@click.option("--data-port", type=int, default=0, help="Port of the data plane; default 8080, or a free one.")
def command(session: Session, *, is_exit: bool, speed: float, folder: str | None, port: int, data_port: int) -> int:
    """Replay a year and a half of real bike rides through the whole loop, in about a minute."""
    words = [
        sys.executable,
        "-m",
        "kilter.demo",
        "--speed",
        str(speed),
        "--port",
        str(port),
        "--data-port",
        str(data_port),
    ]
    words += ["--exit"] if is_exit else []
    words += ["--json"] if session.console.is_json else []
    words += ["--quiet"] if session.console.is_quiet else []
    words += ["--dir", folder] if folder else []
    os.execv(sys.executable, words)  # noqa: S606 - this process becomes the demo; the words are built here
