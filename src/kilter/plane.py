"""Composition root of the data plane: what a serving process and its supervisor are made of.

Apart from ``app.py`` the only file that names concrete classes. It never meets the database, Arrow or
the control plane's framework: a serving process lives from the route table, blobs and its log.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kilter.contracts.clock import Clock
from kilter.contracts.journal import JournalUpkeep
from kilter.contracts.overrides import Overrides
from kilter.engines.workers import WorkerPool
from kilter.errors import StoreError
from kilter.plugins import load
from kilter.services.feedback import FeedbackIntake
from kilter.services.journal import Journal
from kilter.services.predictor import Predictor
from kilter.stores.board import Board
from kilter.stores.clock import ReplayClock, SystemClock, UuidSource
from kilter.stores.files import FileBlobs
from kilter.stores.flip import FlipPage
from kilter.stores.meters import MeterFiles
from kilter.stores.overrides import OverrideFile
from kilter.stores.quarantine import QuarantineFolder
from kilter.stores.routes import RouteFiles
from kilter.stores.segments import SegmentLog

if TYPE_CHECKING:
    from kilter.contracts.format import ModelFormat
    from kilter.settings.tree import Settings

__all__ = ["Home", "PlaneParts", "ServingParts", "clock", "model_formats", "serving", "supervising"]


@dataclass(frozen=True, slots=True)
class Home:
    """The home folder: the only place that kilter writes to without being told."""

    path: Path

    @classmethod
    def of(cls, settings: Settings) -> Home:
        """Return the home of a project."""
        return cls(Path(settings.project.home))

    def folder(self, name: str) -> str:
        """Return a folder in the home, made if it is not there.

        Raises
        ------
        StoreError
            If it cannot be made.
        """
        folder = self.path / name
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            msg = f"the folder {folder} cannot be made: {error.strerror}"
            raise StoreError(
                msg,
                where=str(folder),
                hint="make room, make it writable, or choose another with `[project] home`",
            ) from error
        return str(folder)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingParts:
    """What one serving process is made of."""

    predictor: Predictor
    journal: Journal
    upkeep: JournalUpkeep
    feedback: FeedbackIntake
    routes: RouteFiles
    flip: FlipPage
    board: Board
    clock: Clock
    token: Callable[[], tuple[int, ...]]
    body_max_bytes: int
    fast_path: str
    drain_s: float
    meters: MeterFiles
    default_deployment: str = ""
    overrides: Overrides | None = None
    is_metrics_apart: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneParts:
    """What the supervisor is made of. ``workers`` is the number of serving processes."""

    routes: RouteFiles
    flip: FlipPage
    board: Board
    clock: Clock
    host: str
    port: int
    grpc_port: int
    metrics_port: int
    meters: MeterFiles
    workers: int
    home: str
    prepare_timeout_s: float
    drain_s: float


def serving(settings: Settings, slot: int) -> ServingParts:
    """Build the parts of the serving process in one slot.

    Raises
    ------
    StoreError
        If the home folder cannot be used.
    JournalUnavailable
        If the log cannot be opened.
    """
    home = Home.of(settings)
    now = clock(settings)
    blobs = FileBlobs(str(home.path))
    routes = RouteFiles(home.folder("route"))
    flip = FlipPage(home.folder("run"))
    meters = MeterFiles(Path(home.folder("run")) / "meters", clock_ns=now.time_ns)
    journal = Journal(log=SegmentLog(home.folder("log"), slot=slot, clock_ns=now.time_ns), clock=now, meters=meters)
    predictor = Predictor(
        journal=journal,
        blobs=blobs,
        materialise=blobs.local_path,
        formats=model_formats(),
        clock=now,
        ids=UuidSource(now),
        page=flip.marks,
        meters=meters,
        quarantine=QuarantineFolder(home.folder("quarantine"), time_ns=now.time_ns),
    )
    return ServingParts(
        predictor=predictor,
        journal=journal,
        upkeep=journal,
        feedback=FeedbackIntake(clock=now),
        routes=routes,
        flip=flip,
        board=Board(home.folder("run")),
        clock=now,
        token=routes.token,
        body_max_bytes=settings.serving.body_max_bytes,
        fast_path=settings.serving.fast_path,
        drain_s=settings.serving.drain_s,
        default_deployment=settings.serving.default_deployment,
        overrides=OverrideFile(home.folder("route")) if settings.serving.repository_control == "local" else None,
        meters=meters,
        is_metrics_apart=bool(settings.serving.metrics_port),
    )


def supervising(settings: Settings) -> PlaneParts:
    """Build the parts of the supervisor.

    Raises
    ------
    StoreError
        If the home folder cannot be used.
    """
    home = Home.of(settings)
    return PlaneParts(
        routes=RouteFiles(home.folder("route")),
        flip=FlipPage(home.folder("run")),
        board=Board(home.folder("run")),
        clock=clock(settings),
        host=settings.serving.host,
        port=settings.serving.port,
        grpc_port=settings.serving.grpc_port,
        metrics_port=settings.serving.metrics_port,
        meters=MeterFiles(Path(home.folder("run")) / "meters", clock_ns=clock(settings).time_ns, is_mapped=False),
        workers=settings.serving.workers or _usable_cores(),
        home=str(home.path),
        prepare_timeout_s=settings.serving.prepare_timeout_s,
        drain_s=settings.serving.drain_s,
    )


def clock(settings: Settings) -> Clock:
    """Return the clock that the project lives by.

    Raises
    ------
    StoreError
        If a replayed clock cannot be read.
    """
    kind, _, path = settings.project.clock.partition(":")
    return ReplayClock(path) if kind == "replay" else SystemClock()


def model_formats() -> Callable[[str], ModelFormat]:
    """Return the finder of drivers that run a version's runtime file.

    A format whose files can run code on load is never loaded in this process: its models run in
    isolated workers. The finder raises UnknownName for a format that nobody here can run.
    """
    workers = WorkerPool()

    def find(name: str) -> ModelFormat:
        driver = load("formats", name)
        if driver.FORMAT.runs_code:
            return workers
        return driver  # a format's module is its driver

    return find


def _usable_cores() -> int:
    """Count the cores that this process may use, the control group's quota included."""
    cores = len(os.sched_getaffinity(0))
    quota = Path("/sys/fs/cgroup/cpu.max")
    if quota.is_file():
        limit, _, period = quota.read_text().partition(" ")
        if limit.isdigit():
            cores = min(cores, max(1, int(limit) // int(period)))
    return cores
