"""Claims about gRPC on real serving processes."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import numpy as np
import pytest

from kilter.contracts.prediction import PredictionRecord
from kilter.contracts.route import Route
from kilter.faces.serving.grpc.messages import INFERENCE, Messages
from kilter.testing.node import Node
from kilter.testing.plane import table

if TYPE_CHECKING:
    from collections.abc import Iterator

_PATIENCE_S = 60.0
_LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F"}


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    running = Node(tmp_path)
    running.routes.propose(table(1, Route(deployment="sum", champion=running.version(1))))
    running.routes.settle(1)
    yield running
    running.stop()


def _ready(node: Node) -> int:
    """Wait until both processes serve; return the announced port of gRPC."""
    node.until_ready()
    announced: int = json.loads((node.home / "run" / "ports.json").read_text())["serving"]["grpc_port"]
    node.until(lambda: not announced or len(_listening(announced)) == 2)
    return announced


def _listening(port: int) -> list[str]:
    """Return the address of each socket that listens on a port."""
    found = []
    for name in ("tcp", "tcp6"):
        for line in Path("/proc/net", name).read_text().splitlines()[1:]:
            address, _, hexadecimal = line.split()[1].partition(":")
            if line.split()[3] == "0A" and int(hexadecimal, 16) == port:
                found.append(address)
    return found


def _ask(port: int, messages: Messages) -> float:
    """Predict once, over a connection of its own."""
    request = messages.of("inference.ModelInferRequest")(
        model_name="sum",
        inputs=[{"name": "input", "datatype": "FP64", "shape": [1, 2]}],
        raw_input_contents=[np.array([1.0, 2.0]).tobytes()],
    )
    with grpc.insecure_channel(f"127.0.0.1:{port}", (("grpc.use_local_subchannel_pool", 1),)) as channel:
        call = channel.unary_unary(f"/{INFERENCE}/ModelInfer")
        body = call(request.SerializeToString(), timeout=_PATIENCE_S, wait_for_ready=True)
    answer = messages.of("inference.ModelInferResponse").FromString(body)
    return float(np.frombuffer(answer.raw_output_contents[0])[0])


def test_all_processes_answer_on_one_port_of_the_loopback_and_keep_what_they_answered(node: Node) -> None:
    node.start(grpc_port=-1)
    port, messages = _ready(node), Messages()
    assert set(_listening(port)) <= _LOOPBACK
    assert [_ask(port, messages) for _ in range(20)] == [3.0] * 20
    assert node.stop() == 0
    records = [record for record in node.logged() if isinstance(record, PredictionRecord)]
    assert len(records) == 20
    assert {record.face for record in records} == {"grpc"}
    assert _listening(port) == []


def test_a_process_that_died_listens_again(node: Node) -> None:
    node.start(grpc_port=-1)
    port, messages = _ready(node), Messages()
    for status in node.board.statuses():
        node.kill(status.pid)
    pids = {status.pid for status in node.board.statuses()}
    assert _ask(port, messages) == 3.0
    node.until(lambda: len(pids & {status.pid for status in node.board.statuses()}) == 0)
    node.until(lambda: len(_listening(port)) == 2)


@pytest.mark.parametrize("option", ["SO_REUSEADDR", "SO_REUSEPORT"])
def test_a_port_that_another_program_listens_on_is_refused_at_the_start(node: Node, option: str) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, getattr(socket, option), 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        node.start(grpc_port=port)
        assert node.process is not None
        assert node.process.wait(_PATIENCE_S) == 1
    told = (node.home / "supervisor.log").read_text()
    assert f"error: port {port} on 127.0.0.1 is in use" in told
    assert "`grpc_port` under [serving]" in told


def test_where_grpc_is_off_nothing_of_it_is_loaded(node: Node) -> None:
    node.start(grpc_port=0)
    assert _ready(node) == 0
    for status in node.board.statuses():
        assert "cygrpc" not in Path("/proc", str(status.pid), "maps").read_text()
