"""The fuzzer's node: a real supervisor with one serving process, and two models that never fail."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto, helper
from tests.fuzz.mutation import BODY_MAX_BYTES

from kilter.contracts.route import Route
from kilter.contracts.signature import Column, ColumnType, Signature, Task
from kilter.settings import transfer
from kilter.settings.tree import ProjectSettings, ServingSettings, Settings
from kilter.testing.node import Node
from kilter.testing.plane import publish, table

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Plane"]

_SUM = Signature(
    task=Task.REGRESSION,
    target="y",
    columns=(Column(name="a", type=ColumnType.FLOAT), Column(name="b", type=ColumnType.FLOAT)),
)
_MIXED = Signature(
    task=Task.BINARY,
    target="left",
    columns=(
        Column(name="age", type=ColumnType.FLOAT),
        Column(name="visits", type=ColumnType.INTEGER),
        Column(name="is member", type=ColumnType.BOOLEAN),
        Column(name="plan", type=ColumnType.TEXT, levels=("basic", "plus")),
        Column(name="income", type=ColumnType.FLOAT, nullable=True),
        Column(name="région", type=ColumnType.TEXT, nullable=True),
    ),
    classes=("no", "yes"),
    positive="yes",
)


class Plane(Node):
    """A node whose models answer any finite numbers.

    Parameters
    ----------
    folder : Path
        Empty.
    deployments : sequence of str
        Which of ``sum`` and ``mixed`` are served.
    """

    def __init__(self, folder: Path, deployments: Sequence[str] = ("sum", "mixed")) -> None:
        super().__init__(folder)
        total = publish(self.blobs, signature=_SUM, runtime="onnx", content=_graph(["a", "b"], [], is_pair=False))
        numbers = [column.name for column in _MIXED.columns if column.type is not ColumnType.TEXT]
        texts = [column.name for column in _MIXED.columns if column.type is ColumnType.TEXT]
        mixed = publish(self.blobs, signature=_MIXED, runtime="onnx", content=_graph(numbers, texts, is_pair=True))
        routes = (Route(deployment="sum", champion=total), Route(deployment="mixed", champion=mixed))
        self.routes.propose(table(1, *(route for route in routes if route.deployment in deployments)))
        self.routes.settle(1)

    def launch(self, **settings: object) -> None:
        """Start, and wait until it answers; ``settings`` are those of ``[serving]``, unknown ones are left out."""
        known = {field.name for field in fields(ServingSettings)}
        serving = ServingSettings(
            port=0, workers=1, drain_s=2.0, body_max_bytes=BODY_MAX_BYTES, default_deployment="sum"
        )
        chosen = {name: value for name, value in {"grpc_port": -1, **settings}.items() if name in known}
        serving = replace(serving, **chosen)  # type: ignore[arg-type]  # names and values of its own fields
        transfer.write(Settings(project=ProjectSettings(home=str(self.home)), serving=serving), self.settings)
        argv = [sys.executable, "-m", "kilter.faces.serving.processes.supervisor", "--settings", str(self.settings)]
        with (self.home / "supervisor.log").open("ab") as log:
            self.process = subprocess.Popen(argv, stderr=log)
        self.until_ready(workers=1)

    @property
    def grpc_port(self) -> int:
        """Port of gRPC."""
        return int(json.loads((self.home / "run" / "ports.json").read_text())["serving"]["grpc_port"])

    @property
    def worker(self) -> int:
        """Process id of the serving process."""
        (status,) = self.board.statuses()
        return status.pid

    def resident_bytes(self) -> int:
        """Return the memory of the serving process that is not of files."""
        lines = Path(f"/proc/{self.worker}/status").read_text().splitlines()
        (anonymous,) = [line for line in lines if line.startswith("RssAnon:")]
        return int(anonymous.split()[1]) * 1_024

    def descriptors(self) -> int:
        """Return how many files and sockets the serving process has open."""
        return len(list(Path(f"/proc/{self.worker}/fd").iterdir()))

    def complaints(self) -> str:
        """Return what the serving process said of faults."""
        lines = (self.home / "supervisor.log").read_text(errors="replace").splitlines()
        found = [line for line in lines if "ERROR" in line or "Traceback" in line or "Error" in line]
        return "\n".join(found[-20:])


def _graph(numbers: Sequence[str], texts: Sequence[str], *, is_pair: bool) -> bytes:
    """Return a graph of bounded answers: one input per column, gaps count as nought, texts are not looked at."""
    nodes, shares = [], []
    zero = helper.make_tensor("zero", TensorProto.DOUBLE, [], [0.0])
    scale = helper.make_tensor("scale", TensorProto.DOUBLE, [], [0.01])
    for place, name in enumerate(numbers):
        nodes.append(helper.make_node("IsNaN", [name], [f"gap{place}"]))
        nodes.append(helper.make_node("Where", [f"gap{place}", "zero", name], [f"filled{place}"]))
        nodes.append(helper.make_node("Mul", [f"filled{place}", "scale"], [f"scaled{place}"]))
        shares.append(f"scaled{place}")
    nodes.append(helper.make_node("Sum", shares, ["total"]))
    kind = TensorProto.DOUBLE
    if is_pair:
        nodes.append(helper.make_node("Sigmoid", ["total"], ["yes"]))
        one = helper.make_tensor("one", kind, [], [1.0])
        nodes.append(helper.make_node("Sub", ["one", "yes"], ["no"]))
        nodes.append(helper.make_node("Concat", ["no", "yes"], ["answer"], axis=1))
        constants, width = [zero, scale, one], 2
    else:
        nodes.append(helper.make_node("Tanh", ["total"], ["answer"]))
        constants, width = [zero, scale], 1
    inputs = [helper.make_tensor_value_info(name, kind, [None, 1]) for name in numbers]
    inputs += [helper.make_tensor_value_info(name, TensorProto.STRING, [None, 1]) for name in texts]
    output = helper.make_tensor_value_info("answer", kind, [None, width])
    graph = helper.make_graph(nodes, "fuzz", inputs, [output], initializer=constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(np.frombuffer(model.SerializeToString(), dtype=np.uint8))
