"""How deeply JSON is nested, found without a step of Python per token.

Quotes, backslashes and brackets of a part of the text become masks of one bit per byte. Whole masks are then
worked on at once: as long integers where a carry must run through, else eight bits at a time by tables.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["PART_BYTES", "is_deeper"]

PART_BYTES = 512 * 1024
"""Bytes looked at in one go; what is needed beside the text is a small multiple of it."""

_QUOTE, _BACKSLASH, _CASE = 0x22, 0x5C, 0x20
_OPEN, _CLOSE = 0x7B, 0x7D  # `{` and `}`: with _CASE set, `[` and `]` look the same


class _Tables(NamedTuple):
    """What eight bytes do to the depth, by 256 x mask of closing + mask of opening brackets."""

    change: NDArray[np.int8]
    peak: NDArray[np.int8]


class _State(NamedTuple):
    """What one part leaves to the next: whether a quote is open, the next byte escaped, and the depth."""

    is_quoted: int = 0
    is_escaped: bool = False
    depth: int = 0


def is_deeper(text: bytes, levels: int, *, part_bytes: int = PART_BYTES) -> bool:
    """Say whether JSON is nested deeper than so many levels; brackets inside strings do not count.

    Parameters
    ----------
    text : bytes
        Valid JSON. Of anything else the answer is one of the two, without an error.
    levels : int
        The deepest nesting that is not too deep.
    part_bytes : int
        Bytes looked at in one go.

    Returns
    -------
    bool
        Found in time that grows with the length of the text and with nothing else.
    """
    whole = np.frombuffer(text, np.uint8)
    has_escapes = b"\\" in text
    state = _State()
    for begin in range(0, len(whole), part_bytes):
        part = whole[begin : begin + part_bytes]
        quotes = _mask(part == _QUOTE)
        is_escaped = False
        if has_escapes:
            escaped, is_escaped = _escaped(_mask(part == _BACKSLASH), len(part), is_first=state.is_escaped)
            quotes &= ~escaped
        outside, is_quoted = _outside(quotes, state.is_quoted)
        folded = part | _CASE
        peak, change = _depths(_mask(folded == _OPEN) & outside, _mask(folded == _CLOSE) & outside)
        if state.depth + peak > levels:
            return True
        state = _State(is_quoted, is_escaped, state.depth + change)
    return False


def _mask(found: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return one bit per byte, the first of eight lowest."""
    return np.packbits(found, bitorder="little")


def _escaped(backslashes: NDArray[np.uint8], count: int, *, is_first: bool) -> tuple[NDArray[np.uint8], bool]:
    """Return which bytes are escaped: those behind a run of backslashes of odd length.

    Adding the first bit of a run to the run carries to the bit behind it, however long it is. Whether that is
    an odd number of places away shows in where the two stand: one at an even place, the other at an odd one.
    """
    runs = int.from_bytes(backslashes.tobytes(), "little")
    if is_first:
        runs ^= runs & 1
    width = len(backslashes) + 1  # what is behind the last byte is the next part's first
    even = int.from_bytes(b"\x55" * width, "little")
    starts = runs ^ (runs & (runs << 1))
    starts_even = starts & even
    behind_even = _without(runs + starts_even, runs)
    behind_odd = _without(runs + (starts ^ starts_even), runs)
    escaped = _without(behind_even, even) | (behind_odd & even) | is_first
    bits = np.frombuffer(escaped.to_bytes(width, "little"), np.uint8)[:-1]
    return bits, bool(escaped >> count & 1)


def _without(bits: int, others: int) -> int:
    """Return the bits that are not among others."""
    return bits ^ (bits & others)


def _outside(quotes: NDArray[np.uint8], is_quoted: int) -> tuple[NDArray[np.uint8], int]:
    """Return which bytes are outside of strings, and whether a string is open at the end."""
    inside = quotes ^ (quotes << 1)
    inside ^= inside << 2
    inside ^= inside << 4  # now each bit is the parity of the quotes in its byte up to it
    open_after: NDArray[Any] = np.bitwise_xor.accumulate(inside >> 7) ^ np.uint8(is_quoted)
    open_before = np.empty_like(open_after)
    open_before[0] = is_quoted
    open_before[1:] = open_after[:-1]
    outside: NDArray[Any] = inside ^ (open_before - np.uint8(1))
    return outside, int(open_after[-1])


def _depths(opening: NDArray[np.uint8], closing: NDArray[np.uint8]) -> tuple[int, int]:
    """Return the greatest depth in a part and the depth at its end, both against its start."""
    tables = _tables()
    which = closing.astype(np.uint16) << 8 | opening
    changes: NDArray[Any] = tables.change[which]
    after = np.cumsum(changes, dtype=np.int32)
    return int((after - changes + tables.peak[which]).max()), int(after[-1])


@cache
def _tables() -> _Tables:
    """Work out the tables: 65536 pairs of masks, all at once."""
    pairs = np.arange(2**16, dtype=np.uint32)
    depth = np.zeros(2**16, dtype=np.int8)
    peak = np.zeros(2**16, dtype=np.int8)
    for place in range(8):
        depth += (pairs >> place & 1).astype(np.int8)
        depth -= (pairs >> (place + 8) & 1).astype(np.int8)
        np.maximum(peak, depth, out=peak)
    return _Tables(depth, peak)
