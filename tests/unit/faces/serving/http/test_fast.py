"""Claims about the fast path: over real sockets it answers what the ASGI path answers, byte for byte."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import zlib
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilter.contracts.route import Route
from kilter.contracts.signature import Column, ColumnType, Signature, Task
from kilter.faces.serving.assembly import assemble
from kilter.faces.serving.http.app import ServingApp
from kilter.faces.serving.http.server import Server
from kilter.faces.serving.limits import HEADER_BYTES
from kilter.faces.serving.router import Router
from kilter.services.feedback import FeedbackIntake
from kilter.services.journal import Journal
from kilter.services.predictor import Predictor
from kilter.stores.clock import SystemClock, UuidSource
from kilter.stores.memory import MemoryBlobs
from kilter.testing.plane import FormulaFormat, MemoryLog, publish, table
from kilter.testing.wire import Servers, Stub, answers, ask, scrubbed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kilter.faces.serving.exchange import Answer, Request
    from kilter.faces.serving.router import Found

_AT_ONCE = 40
_MAX_BODY = 200_000
_PRICE = Signature(
    task=Task.REGRESSION,
    target="y",
    columns=(Column(name="a", type=ColumnType.FLOAT), Column(name="b", type=ColumnType.FLOAT, nullable=True)),
)
_ROW = {"age": 40, "visits": 3, "is member": True, "plan": "basic", "income": 1.5, "region": "north"}
_ROWS = json.dumps({"rows": [_ROW], "routing_key": "r"}).encode()
_TENSORS = json.dumps({"inputs": [{"name": "input", "datatype": "FP64", "shape": [1, 2], "data": [1, 2]}]}).encode()
_LABEL = json.dumps({"prediction_id": "018f3a00-0000-7000-8000-000000000000", "label": "no"}).encode()


def _real() -> Router:
    """Return the router of a real plane with two models."""
    clock, blobs = SystemClock(), MemoryBlobs()
    journal = Journal(log=MemoryLog(), clock=clock)
    predictor = Predictor(
        journal=journal,
        blobs=blobs,
        materialise=lambda _, name: name,
        formats=lambda _: FormulaFormat(),
        clock=clock,
        ids=UuidSource(clock),
    )
    predictor.prepare(
        table(
            41,
            Route(deployment="churn", champion=publish(blobs), max_rows=100),
            Route(deployment="price", champion=publish(blobs, signature=_PRICE)),
        )
    )
    predictor.commit(41)
    return assemble(
        predictor=predictor,
        journal=journal,
        feedback=FeedbackIntake(clock=clock),
        is_failing=lambda: journal.failing,
    )


class _Pair(NamedTuple):
    """The same router behind two servers: on the fast path, and on the ASGI path alone."""

    servers: Servers
    calls: list[int]

    def both(self, packets: Sequence[bytes]) -> tuple[bytes, bytes]:
        fast, plain = self.all([packets])[0]
        return fast, plain

    def all(self, cases: Sequence[Sequence[bytes]]) -> list[tuple[bytes, bytes]]:
        """Send each case to both servers."""
        fast, plain = self.servers.ports

        async def run() -> list[tuple[bytes, bytes]]:
            turns = asyncio.Semaphore(_AT_ONCE)

            async def one(packets: Sequence[bytes]) -> tuple[bytes, bytes]:
                async with turns:
                    return await ask(fast, packets), await ask(plain, packets)

            return await asyncio.gather(*map(one, cases))

        return asyncio.run(run())


def _pair(router: Router, calls: list[int]) -> Iterator[_Pair]:
    """Start the two servers."""
    apps = [ServingApp(router, body_max_bytes=_MAX_BODY) for _ in range(2)]
    fast, plain = Server(apps[0], fast_path="require"), Server(apps[1], fast_path="off")
    assert (fast.fast_path, plain.fast_path) == (True, False)
    respond = apps[0].respond

    def counted(request: Request, found: Found | None = None) -> Answer:
        calls.append(int(found is not None))
        return respond(request, found)

    apps[0].respond = counted  # type: ignore[method-assign]  # to see which path was taken
    with Servers(fast, plain) as servers:
        yield _Pair(servers, calls)


@pytest.fixture(scope="module")
def stub() -> Iterator[_Pair]:
    yield from _pair(Router([Stub()]), [])


@pytest.fixture(scope="module")
def real() -> Iterator[_Pair]:
    yield from _pair(_real(), [])


def _request(
    path: str | bytes = "/echo", body: bytes = b"{}", *more: str, verb: str = "POST", version: str = "1.1"
) -> bytes:
    target = path if isinstance(path, bytes) else path.encode()
    lines = [verb.encode() + b" " + target + b" HTTP/" + version.encode(), b"Host: plane"]
    lines += [line.encode("latin-1") for line in more]
    if not any(line.lower().startswith(("content-length", "transfer-encoding")) for line in more) and body is not None:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*lines, b"", b""]) + body


def _chunked(body: bytes, size: int = 3, *, end: bytes = b"0\r\n\r\n") -> bytes:
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + end


_LONG = b"[" + b"1," * 30_000 + b"1]"
_CLOSE = "Connection: close"
_CHUNKED = "Transfer-Encoding: chunked"

_STUBBED: list[bytes] = [
    *(_request(path) for path in ("/echo", "/later", "/names/a/b", "/fields", "/ends", "/long/10", "/long/3000")),
    *(
        _request(f"/{kind}/{how}")
        for kind in ("fails", "fails-later")
        for how in ("busy", "large", "model", "wrong", "x")
    ),
    *(_request(path, b"") for path in ("/echo", "/later", "/fields")),
    *(_request(path, _LONG) for path in ("/echo", "/later", "/size")),
    *(
        _request(path, verb=verb)
        for path in ("/echo", "/fields")
        for verb in ("GET", "HEAD", "OPTIONS", "PUT", "DELETE")
    ),
    *(_request(path, verb=verb) for path in ("/nowhere", "/") for verb in ("POST", "GET", "HEAD", "PATCH", "TRACE")),
    *(
        _request(path)
        for path in (
            *(
                "/echo?x=1",
                "/echo?",
                "/echo#x",
                "http://plane/echo",
                "http://plane",
                "http://plane?x",
                "//echo",
                "/echo/",
            ),
            *(
                "/names//b",
                "/names/a/",
                "/names/./b",
                "/names/../b",
                "/names/a%2Fb/c",
                "/names/%00/b",
                "/names/%0d%0a/b",
            ),
            *("/names/%ff%fe/b", "/names/%/b", "/names/%zz/b", "/names/%E2%98%83/b", "/names/a+b/c;d", "/names/{}/{}"),
            *(
                "/%65cho",
                "*",
                "echo",
                "?x",
                "/names/a/b" + "c" * 600,
                "/" + "x" * 8_192,
                "/" + "x" * 8_191,
                "/" * 5_000,
            ),
        )
    ),
    *(_request(path) for path in (b"/names/\xff/b", b"/names/\xc3\xa9/b", b"/names/\x7f/b", b"/names/a b/c", b"/\t")),
    *(
        _request("/fields", b"{}", *more)
        for more in (
            (_CLOSE,),
            ("connection: Close",),
            ("Connection: keep-alive",),
            ("Connection: keep-alive, close",),
            ("Connection: upgrade", "Upgrade: h2c", "HTTP2-Settings: AAAA"),
            ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAAA"),
            ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: x"),
            ("Upgrade: h2c",),
            ("Expect: 100-continue",),
            ("Expect: something-else",),
            ("Content-Encoding: identity",),
            ("Content-Encoding: br",),
            ("Content-Encoding: gzip, deflate",),
            ("Content-Encoding: ",),
            ("X-Twice: 1", "x-twice: 2"),
            ("X-Latin: \xe9\xff",),
            ("X-Empty:",),
            ("X-Space:    a b   ",),
            tuple(f"X-{index}: y" for index in range(30)),
            tuple(f"X-{index}: y" for index in range(98)),
            tuple(f"X-{index}: y" for index in range(99)),
            ("X-Long: " + "y" * 32_000,),
            ("X-Long: " + "y" * 33_000,),
            ("X" * 33_000 + ": y",),
        )
    ),
    *(
        _request("/echo", b"", *more)
        for more in (
            ("Content-Length: 0", "Content-Length: 0"),
            ("Content-Length: 2, 2",),
            ("Content-Length: 5",),
            ("Content-Length: -1",),
            ("Content-Length: +2",),
            ("Content-Length: 0x2",),
            ("Content-Length: ",),
            ("Content-Length: 2_0",),
            (f"Content-Length: {_MAX_BODY + 1}",),
            ("Content-Length: 99999999999999999999999999",),
            ("Content-Length: 0", _CHUNKED),
            (_CHUNKED, "Content-Length: 0"),
            ("Transfer-Encoding: gzip",),
            ("Transfer-Encoding: gzip, chunked",),
            ("Transfer-Encoding: chunked, gzip",),
            ("Transfer-Encoding: identity",),
            ("Transfer-Encoding: xchunked",),
            (_CHUNKED, _CHUNKED),
            ("Bad Header: x",),
            ("Bad-Header : x",),
            ("Folded: x\r\n y",),
            ("Null: x\x00y",),
            ("Control: x\x01y",),
            (": no name",),
            ("no colon",),
        )
    ),
    *(
        _request("/echo", _chunked(b"0123456789", 3, end=end), _CHUNKED)
        for end in (
            b"0\r\n\r\n",
            b"0\r\nTrailer: x\r\n\r\n",
            b"0;last=1\r\n\r\n",
            b"",
            b"zz\r\n",
            b"-1\r\n",
            b"fffffffffffffffff\r\n",
        )
    ),
    _request("/echo", _chunked(b"", end=b"0\r\n\r\n"), _CHUNKED),
    _request("/echo", _chunked(b"x" * (_MAX_BODY + 1), 50_000), _CHUNKED),
    _request("/size", _chunked(b"x" * _MAX_BODY, 50_000), _CHUNKED),
    _request("/size", _chunked(b"x" * 20_000, 1), _CHUNKED),
    _request("/echo", b"5\r\n0123456\r\n0\r\n\r\n", _CHUNKED),
    _request("/echo", _chunked(b"abc"), _CHUNKED, version="1.0"),
    *(
        _request(path, version=version)
        for path in ("/echo", "/later")
        for version in ("1.0", "0.9", "2.0", "1.2", "3", "x")
    ),
    _request("/echo", b"{}", "Connection: keep-alive", version="1.0"),
    *(
        _request("/echo", data, f"Content-Encoding: {coding}")
        for coding, data in (
            ("gzip", gzip.compress(b"hello" * 100, mtime=0)),
            ("GZIP", gzip.compress(b"hello", mtime=0)),
            ("x-gzip", gzip.compress(b"hello", mtime=0) + gzip.compress(b"more", mtime=0)),
            ("gzip", b"hello"),
            ("gzip", b""),
            ("gzip", gzip.compress(b"hello")[:-3]),
            ("gzip", gzip.compress(b"\0" * (_MAX_BODY + 1))),
            ("deflate", zlib.compress(b"hello")),
            ("deflate", zlib.compress(b"hello")[2:-4]),
            ("deflate", b"\xff\xff"),
        )
    ),
    *(
        _request(path, b"{}", f"Accept-Encoding: {accepted}")
        for path in ("/long/3000", "/long/500", "/echo", "/long/100000")
        for accepted in (
            "gzip",
            "deflate",
            "gzip;q=0, deflate;q=0.5",
            "br",
            "*",
            "identity, gzip;q=0.1",
            "",
            "gzip;q=x",
        )
    ),
    *(
        data
        for data in (
            b"garbage\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"GET /\r\n\r\n",
            b"GET / HTTP/1.1\nHost: x\n\n",
            b"POST\r\n\r\n",
            b"POST /echo HTTP/1.1\r\n",
            b"POST /echo HTTP/1.1\r\nHost: x\r\nConte",
            b"CONNECT plane:80 HTTP/1.1\r\nHost: plane\r\n\r\n",
            b"FOO /echo HTTP/1.1\r\n\r\n",
            b"post /echo HTTP/1.1\r\n\r\n",
            b"",
            b"\r\n\r\n",
            b"\0" * 100,
            b"A" * 100_000,
            b"POST /" + b"a" * 100_000,
            b"POST /echo HTTP/1.1\r\nX: " + b"a" * 100_000,
            b"POST /echo HTTP/1.1\r\n" + b"X: y\r\n" * 5_000,
        )
    ),
    b"\r\n" + _request(),
    b"POST /echo HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}",
]

_PIPELINED: list[bytes] = [
    _request() * 3,
    _request("/later") * 3,
    _request("/later", b"1") + _request("/echo", b"2") + _request("/later", b"3") + _request("/echo", b"4"),
    _request("/echo", b"1") + _request("/later", b"2") + _request("/nowhere") + _request("/fails/wrong"),
    _request("/later", b"1") + b"garbage\r\n\r\n",
    _request("/echo", b"1") + b"garbage\r\n\r\n",
    _request("/later", b"1") + _request("/echo", b"", "Content-Length: 1", "Content-Length: 1"),
    _request("/later", b"1") + _request("/echo", b"", f"Content-Length: {_MAX_BODY + 1}"),
    _request("/later", b"1") + _request("/echo", b"zz\r\n", _CHUNKED),
    _request("/later", b"1") + _request("/later", b"2") + _request("/echo", b"zz\r\n", _CHUNKED),
    _request("/later", b"1") + _request("/echo", b"", "Content-Length: 5"),
    _request("/later", b"1") + b"POST /echo HTT",
    _request("/echo", b"1", _CLOSE) + _request("/echo", b"2"),
    _request("/later", b"1", _CLOSE) + _request("/echo", b"2"),
    _request("/ends", b"1") + _request("/echo", b"2"),
    _request("/later", b"0") + _request("/ends", b"1") + _request("/echo", b"2"),
    _request("/fails/large", b"1") + _request("/echo", b"2"),
    _request("/fails-later/large", b"1") + _request("/echo", b"2"),
    _request("/echo", b"1", "Connection: upgrade", "Upgrade: h2c") * 3 + _request("/echo", b"2"),
    _request("/echo", b"1", "Connection: upgrade", "Upgrade: h2c") * 40,
    _request("/fields", b"", verb="GET") + _request("/echo", b"1") + _request("/fields", b"", verb="GET"),
    _request("/echo", _chunked(b"abc"), _CHUNKED) * 2 + _request(),
    _request("/size", _LONG) * 4,
    _request() * 400,
]

_REAL: list[bytes] = [
    *(_request("/predict/churn", body) for body in (_ROWS, b"{}", b"[]", b"", b"{", b"\xff", b"[" * 100)),
    *(_request(f"/predict/{name}", _ROWS) for name in ("chrun", "price", "churn/1", "", "%63hurn")),
    *(_request("/v2/models/price/infer", body) for body in (_TENSORS, b"{}", b"", b"[1]")),
    *(_request(f"/v2/models/price/versions/{version}/infer", _TENSORS) for version in ("1", "2", "x")),
    *(_request("/feedback/churn", body) for body in (_LABEL, b"{}", b"", b"[1]")),
    *(_request(path, b"", verb="GET") for path in ("/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/churn")),
    *(_request(path, b"", verb="HEAD") for path in ("/v2", "/v2/health/live", "/v2/models/none")),
    _request("/predict/churn", json.dumps([_ROW] * 60).encode()),
    _request("/predict/churn", gzip.compress(_ROWS), "Content-Encoding: gzip"),
    _request("/predict/churn", _ROWS, "kilter-timeout-ms: soon"),
    _request("/predict/churn", _ROWS, "kilter-routing-key: k", "x-request-id: \xff"),
    _request("/predict/churn", _ROWS) * 5 + _request("/v2", b"", verb="GET") + _request("/feedback/churn", _LABEL),
]


def _cut(data: bytes, seed: int) -> list[bytes]:
    """Cut bytes at a few random places, all of them for short ones."""
    chance = random.Random(seed)  # noqa: S311 - a test's cases
    if len(data) < 2:
        return [data]
    count = min(len(data) - 1, chance.choice((1, 2, 3, 6)))
    places = [0, *sorted(chance.sample(range(1, len(data)), count)), len(data)]
    return [data[start:end] for start, end in pairwise(places)]


def _cases(whole: Sequence[bytes]) -> list[list[bytes]]:
    """Every request whole, and cut into packets; a torn head, and a torn body."""
    cut = [_cut(data, seed) for seed, data in enumerate(whole)]
    torn = [_cut(data, seed)[:-1] for seed, data in enumerate(whole[:40])]
    return [*([data] for data in whole), *cut, *torn]


def _is_either(packets: Sequence[bytes], *told: bytes) -> bool:
    """Say whether a head that is too long and never ends was refused as either; which is seen first is the kernel's."""
    sent = b"".join(packets)
    is_endless = len(sent) > HEADER_BYTES and b"\r\n\r\n" not in sent
    return is_endless and all(one.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 414 ", b"HTTP/1.1 431 ")) for one in told)


def _compare(pair: _Pair, cases: Sequence[Sequence[bytes]]) -> list[tuple[Sequence[bytes], bytes]]:
    """Send all cases; both servers must say the same."""
    told = pair.all(cases)
    different = [
        (packets[0][:200], fast[:600], plain[:600])
        for packets, (fast, plain) in zip(cases, told, strict=True)
        if scrubbed(fast) != scrubbed(plain) and not _is_either(packets, fast, plain)
    ]
    assert not different
    return [(packets, fast) for packets, (fast, _) in zip(cases, told, strict=True)]


def test_both_paths_answer_alike(stub: _Pair) -> None:
    cases = _cases(_STUBBED + _PIPELINED)
    assert len(cases) > 450
    for packets, told in _compare(stub, cases):
        sent = b"".join(packets)
        assert told or not sent.strip(), sent[:200]
        methods = ["HEAD"] if sent.startswith(b"HEAD") else []
        for answer in answers(told.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n"), methods):
            if answer.status >= 500:
                assert b"/fails" in sent, sent[:200]
                assert b"secret" not in answer.body
            assert answer.status < 400 or "kilter-error-code" in answer.headers
    assert stub.calls.count(1) > 300


def test_both_paths_of_the_real_plane_answer_alike(real: _Pair) -> None:
    cases = [[data] for data in _REAL] + [_cut(data, seed) for seed, data in enumerate(_REAL)]
    for packets, told in _compare(real, cases):
        assert all(answer.status < 500 for answer in answers(told, ["HEAD"] if packets[0][:4] == b"HEAD" else []))
    assert real.calls.count(1) > 30


@settings(max_examples=60)
@given(places=st.lists(st.integers(1, len(_request("/predict/churn", _ROWS)) - 1), max_size=6, unique=True))
def test_packet_borders_change_nothing(real: _Pair, places: list[int]) -> None:
    data = _request("/predict/churn", _ROWS)
    borders = [0, *sorted(places), len(data)]
    packets = [data[start:end] for start, end in pairwise(borders)]
    told = real.both(packets)
    (answer,) = answers(told[0])
    assert answer.status == 200
    assert scrubbed(told[0]) == scrubbed(told[1]) == scrubbed(real.both([data])[0])


def test_every_byte_may_come_alone(stub: _Pair) -> None:
    data = _request("/names/a/b", b'{"x": 1}', "X: y")
    fast, plain = stub.both([data[at : at + 1] for at in range(len(data))])
    assert scrubbed(fast) == scrubbed(plain)
    assert answers(fast)[0].body == b'["/names/a/b","a","b"]'


def test_a_plain_post_takes_the_fast_path_and_others_do_not(stub: _Pair) -> None:
    for data, is_fast in (
        (_request(), True),
        (_request("/later"), True),
        (_request("/echo", b"{}", _CLOSE), True),
        (_request("/echo", b"{}", "Expect: 100-continue"), False),
        (_request("/echo", _chunked(b"x"), _CHUNKED), False),
        (_request("/echo", b"{}", version="1.0"), False),
        (_request("/fields", b"", verb="GET"), False),
    ):
        stub.calls.clear()
        stub.both([data])
        assert stub.calls == [int(is_fast)]


def test_no_header_breaks_the_lines_of_an_answer(stub: _Pair) -> None:
    for told in stub.both([_request("/breaks")]):
        (answer,) = answers(told)
        assert (answer.status, "x-more" in answer.headers) == (500, False)
        assert json.loads(answer.body)["code"] == "kilter.error"


def test_the_table_of_paths_is_bounded(stub: _Pair) -> None:
    cases = [[b"".join(_request(f"/names/{first}/{second}") for second in range(60))] for first in range(30)]
    for _, told in _compare(stub, cases):
        assert [answer.status for answer in answers(told)] == [200] * 60
