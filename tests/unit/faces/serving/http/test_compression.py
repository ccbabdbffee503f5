"""Claims about content codings."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilter.errors import InvalidRequest, TooLarge, UnsupportedMedia
from kilter.faces.serving.errors import headers_of
from kilter.faces.serving.exchange import JSON, Reply
from kilter.faces.serving.http.compression import Inflation, chosen, coding_of, compressed, inflation

_LIMIT = 1_000_000


def _raw(data: bytes, level: int = 6) -> bytes:
    stream = zlib.compressobj(level, zlib.DEFLATED, -15)
    return stream.compress(data) + stream.flush()


def _inflated(coding: bytes, data: bytes, limit: int = _LIMIT, budget: int | None = None) -> bytes:
    stream = Inflation(coding, data, limit)
    for _ in range(10_000):
        if stream.run(budget):
            break
    return stream.body


@given(
    data=st.binary(max_size=3_000).map(lambda part: part * 20),
    level=st.integers(0, 9),
    budget=st.one_of(st.none(), st.integers(1, 5_000)),
)
def test_every_way_of_deflating_is_undone(data: bytes, level: int, budget: int | None) -> None:
    assert _inflated(b"gzip", gzip.compress(data, level), budget=budget) == data
    assert _inflated(b"deflate", zlib.compress(data, level), budget=budget) == data
    assert _inflated(b"deflate", _raw(data, level), budget=budget) == data


def test_a_raw_stream_may_look_wrapped() -> None:
    body = b"\x78\x01" + b"x" * 50
    stored = bytes([0x78]) + _raw(b"", 0)[1:]  # the unused bits of a stored block are free
    assert _inflated(b"deflate", _raw(body)) == body
    assert stored[0] & 0x0F == 8


@pytest.mark.parametrize("coding", [b"gzip", b"deflate"])
def test_a_bomb_stops_at_the_limit(coding: bytes) -> None:
    pack = gzip.compress if coding == b"gzip" else zlib.compress
    assert len(_inflated(coding, pack(b"\0" * _LIMIT))) == _LIMIT
    stream = Inflation(coding, pack(b"\0" * 50 * _LIMIT), _LIMIT)
    with pytest.raises(TooLarge):
        stream.run()
    assert len(stream.body) == _LIMIT + 1
    with pytest.raises(TooLarge):
        _inflated(coding, pack(b"\0" * (_LIMIT + 1)), budget=1_000)


@pytest.mark.parametrize(
    ("coding", "data", "part"),
    [
        (b"gzip", b"hello", "no valid gzip"),
        (b"gzip", gzip.compress(b"hello")[:-1], "ends too early"),
        (b"gzip", gzip.compress(b"hello")[:-8] + b"\0" * 8, "no valid gzip"),
        (b"gzip", gzip.compress(b"hello") + b"x", "follows its end"),
        (b"gzip", gzip.compress(b"") * 65, "follows its end"),
        (b"deflate", zlib.compress(b"hello")[:-1], "ends too early"),
        (b"deflate", zlib.compress(b"hello") + b"x", "follows its end"),
        (b"deflate", _raw(b"hello") + b"x", "follows its end"),
        (b"deflate", b"\xff\xff\xff", "no valid deflate"),
        (b"deflate", b"\x78\x9c\xff\xff", "no valid deflate"),
    ],
)
def test_a_torn_or_foreign_body_is_the_clients_mistake(coding: bytes, data: bytes, part: str) -> None:
    with pytest.raises(InvalidRequest, match=part) as caught:
        _inflated(coding, data)
    assert caught.value.details["field"] == "content-encoding"


def test_members_of_a_gzip_file_follow_one_another() -> None:
    assert _inflated(b"gzip", gzip.compress(b"a") + gzip.compress(b"b") + b"\0" * 9) == b"ab"


def test_plain_bodies_are_left_alone() -> None:
    for headers in ({}, {b"content-encoding": b""}, {b"content-encoding": b" Identity "}):
        assert inflation(headers, b"x", _LIMIT) is None
    assert inflation({b"content-encoding": b"gzip"}, b"", _LIMIT) is None
    assert inflation({b"content-encoding": b"X-Gzip"}, b"x", _LIMIT) is not None


@pytest.mark.parametrize("coding", [b"br", b"zstd", b"gzip, gzip", b"compress", b"\xff"])
def test_an_unknown_coding_names_the_known_ones(coding: bytes) -> None:
    with pytest.raises(UnsupportedMedia) as caught:
        coding_of({b"content-encoding": coding})
    assert (b"accept-encoding", b"gzip, deflate, identity") in headers_of(caught.value, 415)


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        (None, None),
        (b"", None),
        (b"gzip", b"gzip"),
        (b"GZIP", b"gzip"),
        (b"x-gzip", b"gzip"),
        (b"deflate", b"deflate"),
        (b"gzip, deflate, br", b"gzip"),
        (b"deflate, gzip;q=0.5", b"deflate"),
        (b"gzip;q=0", None),
        (b"gzip; q=0.000, deflate", b"deflate"),
        (b"*", b"gzip"),
        (b"*;q=0", None),
        (b"gzip;q=0, *", b"deflate"),
        (b"br;q=1.0", None),
        (b"identity", None),
        (b"identity, gzip;q=0.5", None),
        (b"identity;q=0.2, gzip;q=0.5", b"gzip"),
        (b"gzip;q=one", None),
        (b"gzip;level=1", None),
        (b"gzip;q=", None),
        (b"gzip;q=.5", b"gzip"),
        (b",,;,", None),
        (b"\xff\xfe", None),
    ],
)
def test_the_weights_decide(accepted: bytes | None, coding: bytes | None) -> None:
    assert chosen(accepted) == coding


def test_long_answers_are_compressed_and_say_so() -> None:
    plain = Reply(200, [JSON], b"[1]" * 1_000)
    for coding, unpack in ((b"gzip", gzip.decompress), (b"deflate", zlib.decompress)):
        reply = compressed(plain, coding)
        assert unpack(reply.body) == plain.body
        assert reply.headers == [JSON, (b"vary", b"accept-encoding"), (b"content-encoding", coding)]
    assert compressed(plain, None) == Reply(200, [JSON, (b"vary", b"accept-encoding")], plain.body)


def test_what_becomes_no_shorter_is_sent_as_it_is() -> None:
    noise = Reply(200, [JSON], bytes(range(256)))
    assert compressed(noise, b"gzip").body == noise.body
    packed = Reply(200, [(b"content-encoding", b"br")], b"x" * 5_000)
    assert compressed(packed, b"gzip") == packed
