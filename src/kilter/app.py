"""Composition root of the control side: settings in, services out.

With ``plane.py`` the only file that names concrete classes. Parts are built when they are first asked
for, so that a command pays only for what it uses.
"""

from __future__ import annotations

import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from kilter.control.lease import Fence
from kilter.engines.dataplane import DataPlane
from kilter.engines.exec_python import PythonExecutor
from kilter.engines.sandbox import SandboxImporter
from kilter.errors import StoreError
from kilter.measures.profile import codec, reference
from kilter.plane import Home, clock, model_formats
from kilter.plugins import members
from kilter.services.admission import GatedAdmission
from kilter.services.caretaker import Caretaker
from kilter.services.collector import Collector
from kilter.services.conductor import Conductor
from kilter.services.deployer import Deployer
from kilter.services.evaluator import Evaluator
from kilter.services.governance import Governance
from kilter.services.monitor import Monitor
from kilter.services.publisher import Publisher
from kilter.services.recalibrator import Recalibrator
from kilter.services.registry import Registry
from kilter.services.retrainer import Retrainer
from kilter.services.scorer import ModelScorer
from kilter.services.trainer import Trainer
from kilter.stores import sqlite
from kilter.stores.board import Board
from kilter.stores.clock import SystemClock, UuidSource
from kilter.stores.files import FileBlobs
from kilter.stores.parquet import ParquetTable, PartFiles
from kilter.stores.routes import RouteFiles
from kilter.stores.segments import SegmentFolder
from kilter.stores.sheets import Sheets

if TYPE_CHECKING:
    from kilter.contracts.arrays import Array, Columns
    from kilter.contracts.clock import Clock
    from kilter.contracts.scoring import IdSource
    from kilter.contracts.signature import Signature
    from kilter.settings.tree import Settings

__all__ = ["App", "build"]

_LAYOUT = 1
_CHECK_ROOMS = ("measures.performance", "measures.calibration", "measures.slices", "measures.quality")


class _Address(msgspec.Struct, frozen=True):
    """Where a plane listens."""

    host: str
    port: int


class _Ports(msgspec.Struct, frozen=True):
    """What a supervisor writes down of itself."""

    serving: _Address
    pid: int


class App:
    """All services of one project.

    Guarantees: building it opens nothing; each part is opened when first asked for and shared after.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.home = Home.of(settings)

    @cached_property
    def clock(self) -> Clock:
        """The project's clock."""
        return clock(self.settings)

    @cached_property
    def ids(self) -> IdSource:
        """The source of new ids."""
        return UuidSource(self.clock)

    @cached_property
    def machine(self) -> Clock:
        """The machine's own clock, whatever the project lives by."""
        return SystemClock()

    @cached_property
    def metadata(self) -> Fence:
        """The metadata store, fenced so that a leader who lost its lease cannot write."""
        _check_layout(Path(self.home.folder(".")) / "VERSION")
        return Fence(sqlite.open(str(self.home.path / "meta.db")))

    @cached_property
    def blobs(self) -> FileBlobs:
        """The blob store."""
        self.home.folder(".")
        return FileBlobs(str(self.home.path))

    @cached_property
    def routes(self) -> RouteFiles:
        """The route table's files."""
        return RouteFiles(self.home.folder("route"))

    @cached_property
    def board(self) -> Board:
        """What running processes show one another."""
        return Board(self.home.folder("run"))

    @cached_property
    def table(self) -> ParquetTable:
        """The columnar part of the prediction log."""
        return ParquetTable(self.home.folder("tables"))

    @cached_property
    def tables(self) -> Sheets:
        """The reader of users' tables."""
        return Sheets()

    @cached_property
    def governance(self) -> Governance:
        """The audit log."""
        return Governance(metadata=self.metadata, clock=self.clock)

    @cached_property
    def scorer(self) -> ModelScorer:
        """Models in memory, off the request path."""
        return ModelScorer(formats=model_formats(), materialise=self.blobs.local_path)

    @cached_property
    def registry(self) -> Registry:
        """Models and their versions."""
        return Registry(
            metadata=self.metadata,
            blobs=self.blobs,
            importer=SandboxImporter(),
            tables=self.tables,
            scorer=self.scorer,
            materialise=self.blobs.local_path,
            profile=_profile,
            auditor=self.governance,
            clock=self.clock,
            ids=self.ids,
        )

    @cached_property
    def evaluator(self) -> Evaluator:
        """Checks and gates."""
        return Evaluator(
            metadata=self.metadata,
            tables=self.tables,
            scorer=self.scorer,
            checks=lambda: [module for room in _CHECK_ROOMS for module in members(room, "CHECK")],
            gates=lambda: members("policy.gates", "GATE"),
            auditor=self.governance,
            clock=self.clock,
            ids=self.ids,
        )

    @cached_property
    def collector(self) -> Collector:
        """The compaction of the prediction log."""
        return Collector(
            metadata=self.metadata,
            segments=SegmentFolder(self.home.folder("log")),
            table=self.table,
            board=self.board,
            clock=self.clock,
            wait=time.sleep,
        )

    @cached_property
    def caretaker(self) -> Caretaker:
        """The housekeeping of the prediction log's files."""
        return Caretaker(
            metadata=self.metadata,
            parts=PartFiles(self.home.folder("tables")),
            segments=SegmentFolder(self.home.folder("log")),
            machine=self.machine,
            sweep_blobs=self.blobs.sweep,
        )

    @cached_property
    def monitor(self) -> Monitor:
        """Windows, signals and alerts."""
        return Monitor(
            metadata=self.metadata,
            blobs=self.blobs,
            table=self.table,
            versions=self.registry,
            auditor=self.governance,
            clock=self.clock,
            ids=self.ids,
        )

    @cached_property
    def conductor(self) -> Conductor:
        """What moves rollouts and publishes route tables."""
        publisher = Publisher(metadata=self.metadata, routes=self.routes, board=self.board, versions=self.registry)
        return Conductor(
            metadata=self.metadata,
            routes=self.routes,
            publisher=publisher,
            table=self.table,
            versions=self.registry,
            auditor=self.governance,
            ids=self.ids,
        )

    @cached_property
    def admission(self) -> GatedAdmission:
        """Who is let into service."""
        return GatedAdmission(
            metadata=self.metadata,
            routes=self.routes,
            versions=self.registry,
            gates=self.evaluator,
            auditor=self.governance,
            clock=self.clock,
        )

    @cached_property
    def deployer(self) -> Deployer:
        """Rollouts and rollbacks."""
        return Deployer(
            metadata=self.metadata,
            routes=self.routes,
            versions=self.registry,
            admission=self.admission,
            driver=self.conductor,
            auditor=self.governance,
            clock=self.clock,
            ids=self.ids,
        )

    @cached_property
    def recalibrator(self) -> Recalibrator:
        """Corrections of a model's probabilities."""
        return Recalibrator(metadata=self.metadata, table=self.table, versions=self.registry, rollouts=self.deployer)

    @cached_property
    def trainer(self) -> Trainer:
        """Retraining in a process of its own."""
        self.home.folder("tmp")
        return Trainer(
            metadata=self.metadata,
            table=self.table,
            tables=self.tables,
            versions=self.registry,
            scorer=self.scorer,
            gates=self.evaluator,
            executor=PythonExecutor(folder=self.home.folder("jobs")),
            rollouts=self.deployer,
            auditor=self.governance,
            home=str(self.home.path),
            python_path=self.settings.project.folder,
        )

    @cached_property
    def retrainer(self) -> Retrainer:
        """What answers alerts with a repair."""
        return Retrainer(
            metadata=self.metadata,
            blobs=self.blobs,
            versions=self.registry,
            recalibration=self.recalibrator,
            training=self.trainer,
            auditor=self.governance,
            clock=self.clock,
            ids=self.ids,
        )

    @cached_property
    def dataplane(self) -> DataPlane:
        """A client of the data plane of this project: where its supervisor listens, else where the settings say."""
        host, port = self.serving
        return DataPlane(host=host, port=port)

    @property
    def serving(self) -> tuple[str, int]:
        """Host and port of the running data plane, whatever ``kilter up`` was told; else those of the settings."""
        serving = self.settings.serving
        path = self.home.path / "run" / "ports.json"
        try:
            ports = msgspec.json.decode(path.read_bytes(), type=_Ports)
            if ports.pid == self.board.supervisor_pid():
                return ports.serving.host, ports.serving.port
        except (OSError, msgspec.MsgspecError):
            pass  # nobody serves here yet, or it was written by another kilter
        return serving.host, serving.port

    def close(self) -> None:
        """Let go of everything that was opened."""
        for name in ("dataplane", "scorer", "metadata"):
            part = self.__dict__.pop(name, None)
            if part is not None:
                part.close()


def build(settings: Settings) -> App:
    """Return the services of a project; nothing is opened yet.

    Parameters
    ----------
    settings : Settings
        The effective settings.

    Returns
    -------
    App
        Services as attributes.

    Raises
    ------
    Nothing
        Faults come up when a part is first used.
    """
    return App(settings)


def _check_layout(path: Path) -> None:
    """Refuse a home folder that a newer kilter has written; mark a new one."""
    try:
        found = path.read_text().strip() if path.is_file() else ""
        if not found:
            path.write_text(f"{_LAYOUT}\n")
            return
    except OSError as error:
        msg = f"{path} cannot be used: {error.strerror}"
        raise StoreError(msg, where=str(path)) from error
    if not found.isdigit() or int(found) > _LAYOUT:
        msg = f"the home folder has layout {found[:20]!r}, this kilter knows up to {_LAYOUT}"
        raise StoreError(
            msg,
            where=str(path),
            hint="install the kilter that wrote it, or choose another folder with `[project] home`",
        )


def _profile(signature: Signature, columns: Columns, scores: Array, labels: Array | None, *, threshold: float) -> bytes:
    """Build and encode the reference profile of a version."""
    return codec.encode_reference(reference.build(signature, columns, scores, labels, threshold=threshold))
