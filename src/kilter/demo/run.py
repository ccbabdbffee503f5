"""The demonstration, act by act. Whatever happens in it, the control loop decides."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kilter.demo import rides as data
from kilter.demo.narrator import Narrator
from kilter.demo.operator import Operator
from kilter.demo.processes import Running, command
from kilter.demo.project import NAME, Project, free_port, lay_out
from kilter.demo.replay import Replay
from kilter.demo.report import write as write_report
from kilter.demo.summary import Event, Summary, in_words, summarise
from kilter.demo.watch import Watch
from kilter.engines.dataplane import DataPlane
from kilter.stores.clock import ReplayFile, replay_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from kilter.demo.rides import Rides

__all__ = ["Options", "run"]

_NS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What was asked for on the command line."""

    folder: Path
    is_exit: bool = False
    is_json: bool = False
    is_quiet: bool = False
    speed: float = 0.0
    port: int = 0
    data_port: int = 0


def run(options: Options) -> int:
    """Run the demo from the first model to the summary; return the exit code.

    Raises
    ------
    KilterError
        If a part of it fails.
    """
    events: list[Event] = []

    def say(text: str) -> None:
        day, _, rest = text.partition("  ")
        if day[:4].isdigit():
            events.append(Event(day=day, text=rest))
        if not options.is_quiet:
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()

    started = time.monotonic()
    project = Project(
        folder=options.folder,
        port=free_port(options.port or 8000),
        data_port=free_port(options.data_port or 8080),
        grpc_port=free_port(8081),
    )
    rides = data.load()
    say(f"kilter demo: hourly bike rides, {rides.hours[0]:%B %Y} to {rides.hours[-1]:%B %Y}, in {project.folder}")
    say(f"question: will more than {rides.threshold} bikes be rented in this hour?")
    lay_out(project, rides)
    with replay_file(str(project.clock), int(rides.hours[0].timestamp()) * _NS) as clock:
        _, printed = command(
            project, "add", str(project.folder / "model.joblib"), "--name", NAME, "--trust",
            "--data", str(project.folder / "holdout.parquet"), "--target", data.TARGET, "--positive", "1",
        )  # fmt: skip
        say(printed.splitlines()[0])
        _, printed = command(project, "check", accept=(0, 4))
        say(printed.splitlines()[-1])
        running = Running(project)
        try:
            running.wait_ready(
                DataPlane(host="127.0.0.1", port=project.data_port), Watch(port=project.port, model=NAME)
            )
            summary = _replay(project, rides, clock, say, options.speed)
            report = write_report(project, summary, events)
            say("")
            for line in in_words(summary):
                say(line)
            say(f"report     {report}")
            say(f"took       {time.monotonic() - started:.0f} s")
            if options.is_json:
                sys.stdout.write(json.dumps(summary.as_json()) + "\n")
                sys.stdout.flush()
            if not options.is_exit:
                say(f"dashboard  http://127.0.0.1:{project.port}  (Ctrl-C stops it)")
                running.wait()
        finally:
            running.stop()
    return 0 if summary.is_as_promised else 1


def _replay(project: Project, rides: Rides, clock: ReplayFile, say: Callable[[str], None], speed: float) -> Summary:
    """Send the requests, watch, act as the person, and sum up."""
    plane = DataPlane(host="127.0.0.1", port=project.data_port)
    watch = Watch(port=project.port, model=NAME)
    narrator = Narrator(watch, NAME, say)
    operator = Operator(project, watch, say)
    replay = Replay(rides=rides, model=NAME, plane=plane, clock=clock, watch=watch, speed=speed)

    def at_look(now: datetime) -> None:
        narrator.tell(now)
        operator.act(now)

    try:
        replay.run(at_look)
    finally:
        plane.close()
    return summarise(project, replay.tally, operator.shipment)
