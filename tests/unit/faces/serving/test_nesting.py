"""Claims about how deeply JSON may be nested: found exactly, in steps that only the length decides."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilter.errors import InvalidRequest
from kilter.faces.serving import _nesting
from kilter.faces.serving._nesting import PART_BYTES, is_deeper
from kilter.faces.serving.limits import NESTING, check_nesting

if TYPE_CHECKING:
    import numpy as np

_TEXTS = st.text(st.sampled_from('[]{}"\\x\né'), max_size=30)
_DOCUMENTS = st.recursive(
    st.none() | st.integers() | _TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=4),
    max_leaves=40,
)


def _depth(text: bytes) -> int:
    """Count the deepest nesting byte by byte."""
    depth = deepest = 0
    is_quoted = is_escaped = False
    for byte in text:
        if is_escaped:
            is_escaped = False
        elif is_quoted:
            is_escaped, is_quoted = byte == ord("\\"), byte != ord('"')
        elif byte == ord('"'):
            is_quoted = True
        elif byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


@given(_DOCUMENTS, st.sampled_from([8, 16, 24, 64, 1_000, PART_BYTES]), st.sampled_from(["", " ", "\n\t  "]))
def test_the_depth_is_that_of_a_simple_count(document: Any, part_bytes: int, space: str) -> None:  # noqa: ANN401
    text = (space + json.dumps(document, indent=2 if space else None, ensure_ascii=False)).encode()
    depth = _depth(text)
    assert not is_deeper(text, depth, part_bytes=part_bytes)
    if depth:
        assert is_deeper(text, depth - 1, part_bytes=part_bytes)


@given(st.integers(0, 70), st.sampled_from([8, 16, 64]), st.integers(0, 9))
def test_a_run_of_backslashes_may_go_through_several_parts(count: int, part_bytes: int, shift: int) -> None:
    text = b" " * shift + b'["' + b"\\" * count + b'"[[[[' + (b'"]' if count % 2 else b"]]]]]")
    assert is_deeper(text, 4, part_bytes=part_bytes) == (count % 2 == 0)
    assert not is_deeper(text, 5, part_bytes=part_bytes)


@given(st.lists(st.sampled_from([b"[", b"]", b"{", b"}", b'"', b"\\", b"x"]), max_size=200))
def test_malformed_text_is_no_error(tokens: list[bytes]) -> None:
    assert is_deeper(b"".join(tokens), 3, part_bytes=16) in {True, False}


_TIMES = PART_BYTES // 4
_FAMILIES = {
    "brackets in strings": (b'["' + b'","[[[['.join([b"[[[["] * _TIMES) + b'"]', False),
    "brackets in strings, then deep": (b'["[[[[",' * _TIMES + b"1", True),
    "escapes": (b'["' + rb"\"[\\{" * _TIMES + b'"]', False),
    "escapes, then deep": (b'["' + rb"\"[\\{" * _TIMES + b'",' + b"[" * 32 + b"]" * 33, True),
    "pairs": (b"[" + b"[]," * _TIMES + b"[]]", False),
    "pairs at the limit": (b"[" * 31 + b"[]," * _TIMES + b"1" + b"]" * 31, False),
    "pairs beyond the limit": (b"[" * 32 + b"[]," * _TIMES + b"1" + b"]" * 32, True),
    "only opening": (b"[" * 4 * _TIMES, True),
}


@pytest.mark.parametrize("name", _FAMILIES)
def test_hostile_bodies_are_judged_right_in_few_steps(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    body, is_deep = _FAMILIES[name]
    steps = 0
    count = _nesting._mask  # noqa: SLF001 - steps are counted

    def mask(found: np.ndarray[Any, np.dtype[np.bool_]]) -> np.ndarray[Any, np.dtype[np.uint8]]:
        nonlocal steps
        steps += 1
        assert found.nbytes <= PART_BYTES
        return count(found)

    monkeypatch.setattr(_nesting, "_mask", mask)
    if is_deep:
        with pytest.raises(InvalidRequest, match=f"deeper than {NESTING}"):
            check_nesting(body)
    else:
        check_nesting(body)
    assert 0 < steps <= 4 * (len(body) // PART_BYTES + 1)


def test_few_brackets_need_no_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kilter.faces.serving.limits.is_deeper", None)
    check_nesting(b"[" * 16 + b"{" * 16)
