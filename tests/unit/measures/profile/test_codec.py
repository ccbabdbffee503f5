from __future__ import annotations

import numpy as np
import pytest

from kilter.contracts.signature import Column, ColumnType, Signature, Task
from kilter.errors import ChecksumMismatch, FormatError, SchemaMismatch
from kilter.measures.profile import ReferenceProfile, codec
from kilter.measures.profile.reference import build
from kilter.measures.profile.window import empty, profile

COLUMNS = (Column(name="a", type=ColumnType.FLOAT), Column(name="b", type=ColumnType.TEXT))
BINARY = Signature(task=Task.BINARY, target="y", columns=COLUMNS, classes=("no", "yes"), positive="yes")


@pytest.fixture(scope="module")
def reference() -> ReferenceProfile:
    rng = np.random.default_rng(0)
    columns = {"a": rng.normal(0, 1, 300), "b": rng.choice(np.array(["x", "ÿ", None], dtype=object), 300)}
    p = rng.random(300)
    return build(BINARY, columns, np.column_stack([1 - p, p]), (rng.random(300) < p).astype(float))


def test_a_reference_comes_back_whole(reference: ReferenceProfile) -> None:
    data = codec.encode_reference(reference)
    back = codec.decode_reference(data)
    assert codec.encode_reference(back) == data
    assert back.metrics == reference.metrics
    assert back.categorical[0].levels == reference.categorical[0].levels
    assert back.tag == reference.tag
    np.testing.assert_array_equal(back.numeric[0].edges, reference.numeric[0].edges)


@pytest.mark.parametrize("n", [0, 1, 200, 40_000])
def test_a_window_comes_back_whole_in_few_bytes(reference: ReferenceProfile, n: int) -> None:
    a, b = np.zeros(n), np.array(["x"] * n, dtype=object)
    window = profile({"a": a, "b": b}, reference, np.full((n, 2), 0.5), np.zeros(n), np.ones(n))
    data = codec.encode(window)
    back = codec.decode(data, reference)
    assert back.rows == n
    assert codec.encode(back) == data
    assert back.outcome.dtype == np.int64


@pytest.mark.parametrize("place", [0, 6, 60, -40, -1])
def test_one_damaged_byte_is_noticed(reference: ReferenceProfile, place: int) -> None:
    data = bytearray(codec.encode(empty(reference)))
    data[place] ^= 0x5A
    with pytest.raises(ChecksumMismatch):
        codec.decode(bytes(data), reference)


@pytest.mark.parametrize("data", [b"", b"KWP1", b"not a profile at all, whatever its length may be......"])
def test_other_bytes_are_refused(reference: ReferenceProfile, data: bytes) -> None:
    with pytest.raises(ChecksumMismatch):
        codec.decode(data, reference)
    with pytest.raises(ChecksumMismatch):
        codec.decode_reference(data)


def test_a_truncated_profile_is_refused(reference: ReferenceProfile) -> None:
    with pytest.raises(ChecksumMismatch):
        codec.decode_reference(codec.encode_reference(reference)[:-7])


def test_a_newer_form_is_refused_as_newer(reference: ReferenceProfile) -> None:
    data = b"KWP2" + codec.encode(empty(reference))[4:]
    with pytest.raises(FormatError, match="newer kilter"):
        codec.decode(data, reference)


def test_a_window_of_another_reference_is_refused(reference: ReferenceProfile) -> None:
    other = build(Signature(task=Task.REGRESSION, target="y", columns=()), {}, np.zeros(60), None)
    with pytest.raises(SchemaMismatch):
        codec.decode(codec.encode(empty(other)), reference)
