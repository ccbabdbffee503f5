"""Claims about gRPC's wire, made with gRPC's own client."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import grpc
import numpy as np
import pytest
import uvloop
from grpc import aio

from kilter.errors import Conflict, KilterError
from kilter.faces.serving.grpc.adapter import GrpcServer
from kilter.faces.serving.grpc.exchange import Outcome
from kilter.faces.serving.grpc.messages import INFERENCE
from kilter.faces.serving.grpc.status import Status
from kilter.faces.serving.limits import IN_FLIGHT
from kilter.faces.serving.processes.listener import reserve

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from kilter.faces.serving.grpc.exchange import Call

Plane: TypeAlias = Any  # the class of the fixture
Message: TypeAlias = Any

_INFER = f"/{INFERENCE}/ModelInfer"
_MAX = 100_000
_PATIENCE_S = 20.0
# By a closed door, by one that is about to close, or while it waits for another to open.
_TURNED_AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED)


class _Ended(NamedTuple):
    """How a call ended at its caller."""

    code: grpc.StatusCode
    body: bytes
    details: str
    trailers: dict[str, str]


class _Wire:
    """A channel to a running server."""

    def __init__(self, port: int) -> None:
        self.channel = aio.insecure_channel(f"127.0.0.1:{port}")

    async def call(self, path: str, body: bytes = b"", **options: Any) -> _Ended:  # noqa: ANN401 - gRPC's own
        calling = self.channel.unary_unary(path)(body, **{"timeout": _PATIENCE_S} | options)
        got = b""
        with contextlib.suppress(aio.AioRpcError):
            got = await calling
        trailers = dict(await calling.trailing_metadata())
        return _Ended(await calling.code(), got, await calling.details(), trailers)


class _Stub:
    """A service that does what a test says."""

    def __init__(self, answer: Callable[[Call], Outcome | Awaitable[Outcome]]) -> None:
        self.paths = (_INFER,)
        self.answer = answer

    def refusal(self, error: KilterError) -> Outcome:
        return Outcome(Status.RESOURCE_EXHAUSTED, error.message, b"")

    def fault(self) -> Outcome:
        return Outcome(Status.INTERNAL, "a fault", b"", (("kilter-error-code", "kilter.error"),))


def _served(service: Any, claim: Callable[[_Wire, GrpcServer], Awaitable[None]], address: str = "127.0.0.1:0") -> None:  # noqa: ANN401 - a service or a stub
    async def main() -> None:
        server = GrpcServer(service, address=address, message_max_bytes=_MAX)
        wire = _Wire(await server.start())
        try:
            await asyncio.wait_for(claim(wire, server), _PATIENCE_S)
        finally:
            await wire.channel.close()
            await server.stop(0.0)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def _price(plane: Plane, *values: float) -> bytes:
    inputs = [{"name": "input", "datatype": "FP64", "shape": [len(values) // 3, 3]}]
    raw = [np.array(values).tobytes()]
    request = plane.message("ModelInferRequest", model_name="price", inputs=inputs, raw_input_contents=raw)
    return bytes(request.SerializeToString())


def test_predictions_travel_with_their_trailers(plane: Plane) -> None:
    async def claim(wire: _Wire, _: GrpcServer) -> None:
        ended = await wire.call(_INFER, _price(plane, 1.0, 2.0, 3.0))
        assert ended.code is grpc.StatusCode.OK
        answer = plane.message("ModelInferResponse").FromString(ended.body)
        assert np.frombuffer(answer.raw_output_contents[0], "<f8").tolist() == [2.0]
        assert ended.trailers["kilter-prediction-id"] == plane.last().prediction_id

    _served(plane.service, claim)


def test_metadata_and_deadline_reach_the_service(plane: Plane) -> None:
    async def claim(wire: _Wire, _: GrpcServer) -> None:
        keyed = await wire.call(_INFER, _price(plane, 1.0, 2.0, 3.0), metadata=(("kilter-routing-key", "u7"),))
        assert keyed.code is grpc.StatusCode.OK
        assert plane.last().entity_id == "u7"
        late = await wire.call(_INFER, _price(plane, 1.0, 2.0, 3.0), timeout=1e-4)
        assert late.code is grpc.StatusCode.DEADLINE_EXCEEDED

    _served(plane.service, claim)


def test_refusals_have_code_sentence_and_trailer(plane: Plane) -> None:
    async def claim(wire: _Wire, _: GrpcServer) -> None:
        for body, code, error in (
            (b"\xff\xff", grpc.StatusCode.INVALID_ARGUMENT, "input.invalid"),
            (b"", grpc.StatusCode.NOT_FOUND, "state.not_found"),
            (_price(plane, 1.0, float("inf"), 3.0), grpc.StatusCode.INVALID_ARGUMENT, "input.invalid"),
        ):
            ended = await wire.call(_INFER, body)
            assert (ended.code, ended.trailers["kilter-error-code"]) == (code, error)
            assert ended.details

    _served(plane.service, claim)


@pytest.mark.parametrize("path", [f"/{INFERENCE}/Nope", "/other.Service/Call", f"/{INFERENCE}/ModelStreamInfer"])
def test_what_is_not_offered_is_unimplemented(plane: Plane, path: str) -> None:
    async def claim(wire: _Wire, _: GrpcServer) -> None:
        ended = await wire.call(path)
        assert ended.code is grpc.StatusCode.UNIMPLEMENTED
        assert "these calls are" in ended.details

    _served(plane.service, claim)


def test_a_stream_is_refused_before_anything_is_sent(plane: Plane) -> None:
    async def claim(wire: _Wire, _: GrpcServer) -> None:
        stream = wire.channel.stream_stream(f"/{INFERENCE}/ModelStreamInfer")(timeout=_PATIENCE_S)
        with pytest.raises(aio.AioRpcError) as caught:
            await stream.read()
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED

    _served(plane.service, claim)


def test_messages_above_the_limit_are_refused_also_when_compressed(plane: Plane) -> None:
    async def claim(wire: _Wire, _: GrpcServer) -> None:
        assert (await wire.call(_INFER, bytes(_MAX + 1))).code is grpc.StatusCode.RESOURCE_EXHAUSTED
        bomb = await wire.call(_INFER, bytes(100 * _MAX), compression=grpc.Compression.Gzip)
        assert bomb.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        packed = await wire.call(_INFER, _price(plane, *[1.0] * 3_000), compression=grpc.Compression.Gzip)
        assert packed.code is grpc.StatusCode.OK

    _served(plane.service, claim)


def test_answers_above_the_limit_are_refused() -> None:
    async def claim(wire: _Wire, _: GrpcServer) -> None:
        assert (await wire.call(_INFER)).code is grpc.StatusCode.RESOURCE_EXHAUSTED

    _served(_Stub(lambda _: Outcome(Status.OK, "", bytes(_MAX + 1))), claim)


def test_too_much_metadata_is_refused(plane: Plane) -> None:
    async def claim(wire: _Wire, _: GrpcServer) -> None:
        metadata = tuple((f"name-{number}", "v" * 400) for number in range(100))
        ended = await wire.call(_INFER, metadata=metadata)
        assert ended.code is grpc.StatusCode.RESOURCE_EXHAUSTED

    _served(plane.service, claim)


def test_a_fault_tells_the_client_nothing_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def answer(_: Call) -> Outcome:
        raise ZeroDivisionError("the inside")  # noqa: EM101, TRY003 - a test's words

    async def claim(wire: _Wire, _: GrpcServer) -> None:
        for _again in range(2):
            ended = await wire.call(_INFER)
            assert (ended.code, ended.details) == (grpc.StatusCode.INTERNAL, "a fault")

    _served(_Stub(answer), claim)
    assert "the inside" in caplog.text


def test_one_request_too_many_at_once_is_refused() -> None:
    async def claim(wire: _Wire, server: GrpcServer) -> None:
        server.in_flight = IN_FLIGHT
        ended = await wire.call(_INFER)
        assert ended.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert server.in_flight == IN_FLIGHT
        server.in_flight = 0
        assert (await wire.call(_INFER)).code is grpc.StatusCode.OK

    _served(_Stub(lambda _: Outcome(Status.OK, "", b"")), claim)


def test_a_caller_that_goes_away_takes_its_work_along() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def wait() -> Outcome:
        begun.set()
        try:
            await asyncio.sleep(_PATIENCE_S)
        finally:
            ended.set()
        return Outcome(Status.OK, "", b"")

    async def claim(wire: _Wire, server: GrpcServer) -> None:
        calling = wire.channel.unary_unary(_INFER)(b"")
        await begun.wait()
        calling.cancel()
        await ended.wait()
        for _ in range(10):  # the loop's turns between the end of the work and that of its task
            await asyncio.sleep(0)
        assert server.in_flight == 0

    _served(_Stub(lambda _: wait()), claim)


def test_a_call_in_flight_is_answered_while_the_server_drains() -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def wait() -> Outcome:
        begun.set()
        await may_end.wait()
        return Outcome(Status.OK, "", b"late but whole")

    async def claim(wire: _Wire, server: GrpcServer) -> None:
        calling = wire.channel.unary_unary(_INFER)(b"")
        await begun.wait()
        stopping = server.stop(_PATIENCE_S)
        assert server.stop(_PATIENCE_S) is stopping
        other = await wire.call(_INFER, timeout=2.0)
        assert other.code in _TURNED_AWAY
        assert not stopping.done()
        may_end.set()
        assert await calling == b"late but whole"
        await stopping

    _served(_Stub(lambda _: wait()), claim)


def _listening(port: int) -> set[str]:
    """Return the addresses at which anything listens on a port, from the system's table of sockets."""
    found = set()
    for name in ("tcp", "tcp6"):
        for line in Path("/proc/net", name).read_text().splitlines()[1:]:
            address, _, hexadecimal = line.split()[1].partition(":")
            if line.split()[3] == "0A" and int(hexadecimal, 16) == port:
                found.add(address)
    return found


def test_only_the_given_address_is_listened_on() -> None:
    loopback = {"0100007F", "0000000000000000FFFF00000100007F"}

    async def claim(wire: _Wire, _: GrpcServer) -> None:
        await wire.call(_INFER)
        assert _listening(port)
        assert _listening(port) <= loopback

    with reserve("127.0.0.1", 0) as kept:
        port: int = kept.getsockname()[1]
        _served(_Stub(lambda _: Outcome(Status.OK, "", b"")), claim, f"127.0.0.1:{port}")


def test_several_processes_may_share_the_port_that_is_kept_for_them() -> None:
    async def claim(_: _Wire, server: GrpcServer) -> None:
        other = GrpcServer(_Stub(lambda _: Outcome(Status.OK, "", b"")), address=address, message_max_bytes=_MAX)  # type: ignore[arg-type]
        assert await other.start() == port
        await server.stop(0.0)
        await asyncio.gather(*(_Wire(port).call(_INFER) for _ in range(4)))
        with pytest.raises(Conflict, match="in use"):
            reserve("127.0.0.1", port)
        await other.stop(0.0)

    with reserve("127.0.0.1", 0) as kept:
        port: int = kept.getsockname()[1]
        address = f"127.0.0.1:{port}"
        _served(_Stub(lambda _: Outcome(Status.OK, "", b"")), claim, address)


def test_a_taken_address_is_a_conflict() -> None:
    async def main(address: str) -> None:
        server = GrpcServer(_Stub(lambda _: Outcome(Status.OK, "", b"")), address=address, message_max_bytes=_MAX)  # type: ignore[arg-type]
        with pytest.raises(Conflict, match="cannot listen"):
            await server.start()

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        asyncio.run(main(f"127.0.0.1:{taken.getsockname()[1]}"))
