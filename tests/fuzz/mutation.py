"""Numbered cases: each is made from a seed alone, so that any of them can be made again."""

from __future__ import annotations

import json
import random
import string
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.fuzz.seeds import Draft, seeds

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BODY_MAX_BYTES", "Case", "Cases", "damage"]

BODY_MAX_BYTES = 64 * 1024
"""The limit of the fuzzer's node: small, so that bodies above it are cheap."""

_TOKENS = (
    *(b"null", b"true", b"NaN", b"-Infinity", b"1e999", b"-0", b"0", b"1e400", b"9007199254740993", b"1.5"),
    *(b"18446744073709551616", b"-1", b'""', b"[]", b"{}", b"[[", b'"\\ud800"', b"\xff", b"\x00", b"\r\n\r\n"),
    *(b"\xef\xbb\xbf", b'{"rows":', b",", b":", b'"', b"\\", b"9" * 400, b"[" * 40, b"PAR1", b"\x7f\xff\xff\xff"),
)
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**53, 2**53 + 1, 2**63, 2**64, -(2**63) - 1, 10**400, 1.5, -0.0, 1e300),
    *("", "a", "basic", "\x00", "é" * 40, "1", "true", "NaN", "x" * 5_000, [], [[]], [None], {}, {"": 0}, [1] * 300),
)
_KEYS = ("rows", "inputs", "instances", "params", "shape", "data", "datatype", "name", "parameters", "label", "", "é")
_METHODS = (
    *(b"GET", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"HEAD", b"TRACE"),
    *(b"get", b"FOO", b"P\x00ST"),
)
_SPOKEN = frozenset(_METHODS[:8])
_SEGMENTS = (
    *(b"predict", b"feedback", b"v2", b"models", b"versions", b"infer", b"invocations", b"stats", b"config", b"ready"),
    *(
        b"sum",
        b"mixed",
        b"1",
        b"2",
        b"0",
        b"-1",
        b"99999999999999999999",
        b"%2F",
        b"%00",
        b"%ff",
        b"%",
        b"..",
        b".",
        b"",
    ),
    *(b"%C3%A9", b"repository", b"load", b"unload", b"index", b"x" * 300, b"{}", b"a b", b"\xc3\xa9"),
)
_HEADERS = (
    *((b"kilter-timeout-ms", value) for value in (b"1000", b"0", b"-1", b"1e3", b"", b"9" * 30, b"\xb2", b"60000")),
    *((b"inference-header-content-length", value) for value in (b"0", b"1", b"-1", b"x", b"9" * 25, b"+5", b"20")),
    *(
        (b"content-type", value)
        for value in (b"", b"text/csv", b"application/json; charset=utf-16", b"\xff/\xfe", b";;;")
    ),
    *(
        (b"content-type", value)
        for value in (b"application/vnd.apache.parquet", b"application/json;a=b", b"application/json")
    ),
    *((b"content-encoding", value) for value in (b"gzip", b"deflate", b"br", b"gzip, gzip", b"identity", b"")),
    *((b"accept-encoding", value) for value in (b"gzip", b"deflate", b"gzip;q=0", b"*", b"gzip;q=x,,;")),
    *((b"accept", value) for value in (b"application/openmetrics-text", b"*/*;q=2", b"text/plain;version=", b",;,")),
    *((b"kilter-routing-key", value) for value in (b"", b"\xff", b"k" * 3_000, b"\xc3\xa9")),
    *((b"traceparent", value) for value in (b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01", b"00-0-0-0", b"\xff")),
    *((b"connection", value) for value in (b"close", b"keep-alive", b"upgrade", b"Keep-Alive, close")),
    *((name, b"v" * size) for name, size in ((b"x-long", 9_000), (b"x-longer", 40_000))),
    *(
        (b"upgrade", b"websocket"),
        (b"upgrade", b"h2c"),
        (b"host", b""),
        (b"host", b"a b"),
        (b"x-request-id", b"\xff" * 200),
    ),
    *((b"expect", b"100-continue"), (b"expect", b"\xff"), (b"cookie", b"a=b"), (b"range", b"bytes=0-1"), (b"x", b"")),
)


class Case(NamedTuple):
    """What is sent, packet by packet, and what must come back.

    ``asked`` are the requests as (method, path) whose framing is valid: each must be answered, unless
    an earlier answer closes the connection. Where it is empty, anything but a 5xx will do. ``is_plain``:
    the error of each has its protocol's form.
    """

    number: int
    how: str
    packets: tuple[bytes, ...]
    asked: tuple[tuple[bytes, str], ...]
    is_plain: bool

    def __str__(self) -> str:
        """Say how the case can be seen again."""
        return f"case {self.number} ({self.how}): {b''.join(self.packets)[:600]!r}"


class Cases:
    """All cases of a seed.

    Parameters
    ----------
    seed : int
        Another seed gives other cases.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._seeds = seeds()

    def case(self, number: int) -> Case:
        """Return one case; the first ones are the seeds themselves, unchanged."""
        if number < len(self._seeds):
            draft = self._seeds[number]
            return Case(number, "unchanged", (_bytes(draft),), ((draft.method, draft.path),), is_plain=True)
        rng = random.Random(self._seed * 1_000_003 + number)  # noqa: S311 - to be made again
        kind = rng.choices(("one", "pipelined", "raw"), (80, 8, 12))[0]
        if kind == "pipelined":
            return self._pipelined(number, rng)
        draft, how = self._mutated(rng)
        whole, framing = _framed(draft, rng)
        if kind == "raw":
            damaged = damage(whole, rng, self._other(rng))
            return Case(number, f"raw {how}", _split(damaged, rng), (), is_plain=False)
        asked = ((draft.method, draft.path),)
        return Case(number, f"{framing} {how}", _split(whole, rng), asked, is_plain=_is_plain(draft))

    def _pipelined(self, number: int, rng: random.Random) -> Case:
        """Return several requests sent without waiting for answers."""
        parts, asked, is_plain = [], [], True
        for _ in range(rng.randint(2, 6)):
            draft, _ = self._mutated(rng) if rng.random() < 0.5 else (rng.choice(self._seeds), "")
            parts.append(_framed(draft, rng)[0])
            asked.append((draft.method, draft.path))
            is_plain = is_plain and _is_plain(draft)
        return Case(number, "pipelined", _split(b"".join(parts), rng), tuple(asked), is_plain=is_plain)

    def _other(self, rng: random.Random) -> bytes:
        """Return bytes of another seed."""
        return _bytes(rng.choice(self._seeds))

    def _mutated(self, rng: random.Random) -> tuple[Draft, str]:
        """Return a seed that was changed once or a few times."""
        draft, names = rng.choice(self._seeds), []
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            change = rng.choices(_CHANGES, _WEIGHTS)[0]
            names.append(change.__name__.strip("_"))
            draft = change(draft, rng, self._seeds)
        return draft, "+".join(names)


def _bytes(draft: Draft) -> bytes:
    """Write a request with its length."""
    headers = [(b"host", b"fuzz"), *draft.headers]
    if draft.body or draft.method == b"POST":
        headers.append((b"content-length", str(len(draft.body)).encode()))
    lines = [b"%s %s HTTP/1.1" % (draft.method, draft.target), *(b"%s: %s" % header for header in headers)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + draft.body


def _framed(draft: Draft, rng: random.Random) -> tuple[bytes, str]:
    """Write a request with a length or in chunks."""
    if rng.random() < 0.8 or not draft.body:
        return _bytes(draft), "length"
    head = _bytes(draft._replace(body=b"", headers=(*draft.headers, (b"transfer-encoding", b"chunked"))))
    head = head.replace(b"\r\ncontent-length: 0", b"")
    chunks: list[bytes] = []
    rest = draft.body
    while rest:
        size = min(len(rest), rng.choice((1, 7, 100, 4_096, 70_000)) if len(chunks) < 50 else len(rest))
        extension = b";a=b" if rng.random() < 0.1 else b""
        chunks.append(b"%x%s\r\n%s\r\n" % (size, extension, rest[:size]))
        rest = rest[size:]
    trailer = b"x-trailer: 1\r\n" if rng.random() < 0.1 else b""
    return head + b"".join(chunks) + b"0\r\n" + trailer + b"\r\n", "chunked"


def _split(whole: bytes, rng: random.Random) -> tuple[bytes, ...]:
    """Cut bytes into packets; mostly not."""
    if rng.random() < 0.8 or len(whole) < 4:
        return (whole,)
    places = sorted(rng.sample(range(1, len(whole)), min(rng.choice((1, 2, 5)), len(whole) - 1)))
    return tuple(whole[start:end] for start, end in zip((0, *places), (*places, len(whole)), strict=True))


def _is_plain(draft: Draft) -> bool:
    """Say whether an error would be worded by the protocol of the path, not by the wire."""
    names = [name for name, _ in draft.headers]
    return (
        draft.method in _SPOKEN
        and draft.target.startswith(b"/")
        and draft.target.isascii()
        and b" " not in draft.target
        and len(draft.target) < 8_000
        and sum(len(name) + len(value) for name, value in draft.headers) < 30_000
        and len(names) < 90
    )


def damage(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """Change bytes anywhere."""
    damaged = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        place = rng.randrange(len(damaged) + 1)
        match rng.randrange(6):
            case 0 if damaged:
                damaged[min(place, len(damaged) - 1)] ^= 1 << rng.randrange(8)
            case 1:
                del damaged[place:]
            case 2:
                damaged[place:place] = damaged[place : place + rng.choice((1, 8, 64, 1_000))]
            case 3:
                start = rng.randrange(len(other))
                damaged[place:] = other[start:]
            case 4:
                damaged[place:place] = rng.choice(_TOKENS)
            case _:
                del damaged[place : place + rng.choice((1, 2, 8, 64))]
    return bytes(damaged)


def _flip(draft: Draft, rng: random.Random, all_: tuple[Draft, ...]) -> Draft:
    """Damage the body."""
    return draft._replace(body=damage(draft.body, rng, rng.choice(all_).body or b"0"))


def _node(draft: Draft, rng: random.Random, _: tuple[Draft, ...]) -> Draft:
    """Change one node of a JSON body."""
    length = dict(draft.headers).get(b"inference-header-content-length", b"")
    end = int(length) if length.isdigit() and 0 < len(length) < 9 and int(length) else len(draft.body)
    try:
        document = json.loads(draft.body[:end])
    except (ValueError, RecursionError):
        return draft
    document = _changed(document, rng)
    try:
        head = json.dumps(document, ensure_ascii=rng.random() < 0.5).encode()
    except UnicodeEncodeError:
        head = json.dumps(document).encode()
    if end != len(draft.body):
        headers = [(n, str(len(head)).encode() if n.startswith(b"inference") else v) for n, v in draft.headers]
        draft = draft._replace(headers=tuple(headers))
    return draft._replace(body=head + draft.body[end:])


def _changed(node: Any, rng: random.Random) -> Any:  # noqa: ANN401 - JSON
    """Return a document with one place changed."""
    if isinstance(node, dict) and node and rng.random() < 0.85:
        return _changed_object(node, rng)
    if isinstance(node, list) and node and rng.random() < 0.85:
        return _changed_array(node, rng)
    return rng.choice(_VALUES)


def _changed_object(node: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """Return an object without a key, with another one, in another order, or changed further inside."""
    key = rng.choice(list(node))
    match rng.randrange(10):
        case 0:
            return {name: value for name, value in node.items() if name != key}
        case 1:
            return {**node, rng.choice(_KEYS): rng.choice(_VALUES)}
        case 2:
            return dict(reversed(node.items()))
        case _:
            return {**node, key: _changed(node[key], rng)}


def _changed_array(node: list[Any], rng: random.Random) -> list[Any]:
    """Return an array without an item, with items repeated, or changed further inside."""
    place = rng.randrange(len(node))
    match rng.randrange(10):
        case 0:
            return [*node[:place], *node[place + 1 :]]
        case 1:
            return [*node, *node[place:]] * rng.choice((1, 2, 60))
        case _:
            return [*node[:place], _changed(node[place], rng), *node[place + 1 :]]


def _number(draft: Draft, rng: random.Random, _: tuple[Draft, ...]) -> Draft:
    """Put another token in the place of a digit."""
    digits = [place for place, byte in enumerate(draft.body) if byte in b"0123456789"]
    if not digits:
        return draft
    place = rng.choice(digits)
    return draft._replace(body=draft.body[:place] + rng.choice(_TOKENS) + draft.body[place + 1 :])


def _large(draft: Draft, rng: random.Random, _: tuple[Draft, ...]) -> Draft:
    """Make the body large, often above the limit."""
    size = rng.choice((BODY_MAX_BYTES - 1, BODY_MAX_BYTES, BODY_MAX_BYTES + 1, 3 * BODY_MAX_BYTES))
    filler = rng.choice((b" ", b"[", b"0", b'"a",', bytes(range(256))))
    return draft._replace(body=(draft.body + filler * (size // len(filler) + 1))[:size])


def _header(draft: Draft, rng: random.Random, _: tuple[Draft, ...]) -> Draft:
    """Add, repeat or drop headers."""
    headers = list(draft.headers)
    match rng.randrange(6):
        case 0 if headers:
            headers.pop(rng.randrange(len(headers)))
        case 1 if headers:
            headers.append(rng.choice(headers))
        case 2:
            headers += [(b"x-%d" % number, b"v") for number in range(rng.choice((30, 85, 130)))]
        case 3:
            name = "".join(rng.choices(string.ascii_letters + string.digits + "-_!#$%&'*+.^`|~", k=rng.randint(1, 30)))
            value = bytes(rng.choice(range(0x21, 0x7F)) for _ in range(rng.randint(0, 50)))
            if name.lower() not in {"content-length", "transfer-encoding"}:
                headers.append((name.encode(), value))
        case _:
            headers.append(rng.choice(_HEADERS))
    return draft._replace(headers=tuple(headers))


def _target(draft: Draft, rng: random.Random, _: tuple[Draft, ...]) -> Draft:
    """Change the path."""
    segments = draft.target.split(b"/")
    place = rng.randrange(1, len(segments) + 1)
    match rng.randrange(6):
        case 0:
            segments[place:place] = [rng.choice(_SEGMENTS)]
        case 1:
            del segments[place:]
        case 2:
            return draft._replace(target=draft.target + rng.choice((b"?a=b", b"?", b"#x", b"/", b"?" + b"q" * 9_000)))
        case 3:
            return draft._replace(target=rng.choice((b"*", b"http://fuzz/ping", b"/", b"//", b"/" + b"y" * 9_000)))
        case _:
            segments[min(place, len(segments) - 1)] = rng.choice(_SEGMENTS)
    return draft._replace(target=b"/".join(segments) or b"/")


def _method(draft: Draft, rng: random.Random, _: tuple[Draft, ...]) -> Draft:
    """Change the verb."""
    return draft._replace(method=rng.choice(_METHODS))


def _splice(draft: Draft, rng: random.Random, all_: tuple[Draft, ...]) -> Draft:
    """Send one protocol's body to another's path."""
    other = rng.choice(all_)
    return draft._replace(body=other.body, headers=other.headers if rng.random() < 0.5 else draft.headers)


_CHANGES: tuple[Callable[[Draft, random.Random, tuple[Draft, ...]], Draft], ...] = (
    *(_flip, _node, _number, _large, _header, _target, _method, _splice),
)
_WEIGHTS = (22, 34, 10, 1, 12, 10, 4, 7)
