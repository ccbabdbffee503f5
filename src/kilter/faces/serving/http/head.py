"""What the head of a request may be: rules that hold before its body is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httptools

from kilter.errors import HeadersTooLarge, InvalidRequest
from kilter.faces.serving.limits import HEADER_BYTES, HEADERS, URL_BYTES, body_too_large, check_headers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["check", "check_body", "check_open", "without_upgrade"]

_OPEN_BYTES = HEADER_BYTES + URL_BYTES + 1_024
_VERSIONS = ("1.1", "1.0")
_OF_UPGRADES = (b"upgrade", b"http2-settings")


def check(url: bytes, headers: Sequence[tuple[bytes, bytes]], parser: httptools.HttpRequestParser) -> bytes:
    """Return the target of a request whose head is complete.

    Raises
    ------
    HeadersTooLarge
        If target or headers are longer than they may be.
    InvalidRequest
        If version, method, target or transfer coding are none that can be answered.
    """
    _check_url(url)
    check_headers(headers)
    if parser.get_http_version() not in _VERSIONS:
        message = f"HTTP {parser.get_http_version()} is not spoken here"
        raise InvalidRequest(message, hint="send HTTP/1.1")
    if parser.get_method() == b"CONNECT":
        message = "the method CONNECT is not spoken here: this is no proxy"
        raise InvalidRequest(message, hint="send the request without a proxy")
    return _target(url)


def check_body(headers: Mapping[bytes, bytes], names: Sequence[bytes], version: str, limit_bytes: int) -> None:
    """Refuse a body that cannot be read, or need not be: its coding is unknown, or it is too long."""
    length = headers.get(b"content-length")
    if length is not None and int(length) > limit_bytes:
        raise body_too_large(limit_bytes)
    coding = headers.get(b"transfer-encoding")
    if coding is None:
        return
    if coding.strip().lower() != b"chunked" or names.count(b"transfer-encoding") > 1 or version != "1.1":
        message = "the only transfer coding that is spoken here is `chunked`, once, in HTTP/1.1"
        raise InvalidRequest(message, hint="send `transfer-encoding: chunked`, or the body's `content-length`")


def check_open(url: bytes, size_bytes: int) -> None:
    """Refuse a head that is too long already, though it has not ended yet."""
    _check_url(url)
    if size_bytes > _OPEN_BYTES:
        message = f"the headers are longer than {HEADER_BYTES} bytes, or more than {HEADERS}"
        raise HeadersTooLarge(message, hint="send fewer or shorter headers")


def without_upgrade(url: bytes, headers: Sequence[tuple[bytes, bytes]], parser: httptools.HttpRequestParser) -> bytes:
    """Return the head of a request as bytes, without its wish for another protocol."""
    lines = [b"%s %s HTTP/%s" % (parser.get_method(), url, parser.get_http_version().encode())]
    for name, value in headers:
        if name == b"connection":
            kept = [token for token in value.split(b",") if token.strip().lower() not in _OF_UPGRADES]
            if kept:
                lines.append(b"connection:" + b",".join(kept))
        elif name not in _OF_UPGRADES:
            lines.append(name + b": " + value)
    return b"\r\n".join([*lines, b"", b""])


def _check_url(url: bytes) -> None:
    """Refuse a target above 8 KiB."""
    if len(url) > URL_BYTES:
        message = f"the URL is longer than {URL_BYTES} bytes"
        raise HeadersTooLarge(message, hint="send data in the body", details={"field": "url"})


def _target(url: bytes) -> bytes:
    """Return the target of a request, refused where nothing can stand behind it."""
    try:
        path = httptools.parse_url(url).path
    except httptools.HttpParserInvalidURLError:
        message = "the URL is none"
        raise InvalidRequest(message, hint="send a path that begins with `/`") from None
    return url if path else b"/"
