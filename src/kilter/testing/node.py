"""A node for tests: a home folder, versions of a model that adds, and the real supervisor on it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from kilter.contracts.signature import Column, ColumnType, Signature, Task
from kilter.settings import transfer
from kilter.settings.tree import ProjectSettings, ServingSettings, Settings
from kilter.stores.board import Board
from kilter.stores.files import FileBlobs
from kilter.stores.routes import RouteFiles
from kilter.stores.segments import SegmentFolder
from kilter.testing.plane import publish

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kilter.contracts.route import RouteVariant

__all__ = ["SUM", "Node", "sum_graph"]

SUM = Signature(
    task=Task.REGRESSION,
    target="y",
    columns=(Column(name="a", type=ColumnType.FLOAT), Column(name="b", type=ColumnType.FLOAT)),
)
"""Two numbers in, one out."""

_START_S = 60.0
_PAUSE_S = 0.02
_SHOWN = 3_000


def sum_graph(factor: float) -> bytes:
    """Return an ONNX graph that answers ``(a + b) * factor``."""
    weights = helper.make_tensor("w", TensorProto.FLOAT, [2, 1], np.full(2, factor).tolist())
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "sum",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])],
        initializer=[weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


class Node:
    """A home folder, and the supervisor that runs on it.

    Parameters
    ----------
    folder : Path
        Empty; the home folder and the settings go there.
    """

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.home.mkdir(mode=0o700)
        for name in ("route", "run", "log"):
            (self.home / name).mkdir()
        self.blobs = FileBlobs(str(self.home))
        self.routes = RouteFiles(self.home / "route")
        self.board = Board(self.home / "run")
        self.settings = folder / "settings.json"
        self.process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def version(self, number: int, factor: float = 1.0, content: bytes | None = None) -> RouteVariant:
        """Store a version that multiplies the sum, or any graph of the same signature."""
        graph = sum_graph(factor) if content is None else content
        return publish(self.blobs, number=number, signature=SUM, runtime="onnx", content=graph)

    def start(
        self,
        *further: str,
        workers: int = 2,
        port: int = 0,
        grpc_port: int = 0,
        prepare_timeout_s: float = 30.0,
        repository_control: str = "off",
        metrics_port: int = 0,
    ) -> None:
        """Start the supervisor; ``further`` are arguments of its own, a ``grpc_port`` of -1 is any free one."""
        serving = ServingSettings(
            port=port,
            grpc_port=grpc_port,
            metrics_port=metrics_port,
            workers=workers,
            drain_s=5.0,
            prepare_timeout_s=prepare_timeout_s,
            repository_control=repository_control,
        )
        transfer.write(Settings(project=ProjectSettings(home=str(self.home)), serving=serving), self.settings)
        argv = [sys.executable, "-m", "kilter.faces.serving.processes.supervisor"]
        argv += ["--settings", str(self.settings), *further]
        with (self.home / "supervisor.log").open("ab") as log:
            self.process = subprocess.Popen(argv, stderr=log)  # noqa: S603 - our own interpreter and module

    def until_ready(self, workers: int = 2, generation: int = 1) -> None:
        """Wait until every process serves a generation; then the port is known."""
        self.until(lambda: len(self.board.statuses()) == workers)
        self.until(lambda: all(status.generation == generation for status in self.board.statuses()))
        self.port = int(json.loads((self.home / "run" / "ports.json").read_text())["serving"]["port"])

    def until_gone(self, pid: int) -> None:
        """Wait until a process is off the board."""
        self.until(lambda: pid not in {status.pid for status in self.board.statuses()})

    def until(self, holds: Callable[[], bool], within_s: float = _START_S) -> None:
        """Wait until something holds; the supervisor's log explains why it does not.

        Raises
        ------
        TimeoutError
            If it does not hold in time.
        """
        deadline = time.monotonic() + within_s
        while not holds():
            if time.monotonic() > deadline:
                raise TimeoutError((self.home / "supervisor.log").read_text()[-_SHOWN:])
            time.sleep(_PAUSE_S)

    def stop(self) -> int:
        """End the supervisor politely; return its exit code."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(_START_S)

    def kill(self, pid: int) -> None:
        """End a process of the node as a machine that fails would."""
        os.kill(pid, signal.SIGKILL)

    def logged(self) -> list[Any]:
        """Return every record of the log, those of dead writers included."""
        folder = SegmentFolder(self.home / "log")
        folder.recover()
        return [record for segment in folder.sealed() for record in folder.records(segment)]
