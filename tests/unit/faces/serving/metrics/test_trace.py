"""Claims about W3C trace context."""

from __future__ import annotations

import pytest

from kilter.faces.serving.metrics.trace import trace_id_of, valid

_TRACE, _PARENT = b"4bf92f3577b34da6a3ce929d0e0e4736", b"00f067aa0ba902b7"
_GOOD = b"00-" + _TRACE + b"-" + _PARENT + b"-01"


def test_a_valid_header_is_passed_on_as_it_is() -> None:
    assert valid(_GOOD) == _GOOD
    assert trace_id_of(_GOOD) == _TRACE.decode()


def test_a_later_version_is_cut_to_what_is_known() -> None:
    assert valid(b"01" + _GOOD[2:] + b"-what-comes-later") == _GOOD
    assert valid(b"cc" + _GOOD[2:]) == b"cc" + _GOOD[2:]


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"00",
        _GOOD[:-1],
        _GOOD + b"0",
        _GOOD + b"-more",
        _GOOD.upper(),
        b"ff" + _GOOD[2:],
        _GOOD.replace(_TRACE, b"0" * 32),
        _GOOD.replace(_PARENT, b"0" * 16),
        _GOOD.replace(b"4b", b"4g"),
        b" " + _GOOD,
        _GOOD + b"\n",
        b"\xff" * 55,
    ],
)
def test_anything_else_is_no_trace(header: bytes) -> None:
    assert valid(header) is None
    assert trace_id_of(header) == ""
