"""Profiles as bytes: the same profile always gives the same bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from kilter.contracts.signature import Task
from kilter.errors import SchemaMismatch
from kilter.measures import _wire
from kilter.measures._profile import CategoricalMap, NumericMap, ReferenceMetric, ReferenceProfile, WindowProfile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kilter.measures.rows import FloatArray

__all__ = ["decode", "decode_reference", "encode", "encode_reference"]

_WINDOW = b"KWP1"
_REFERENCE = b"KRP1"


def encode(window: WindowProfile) -> bytes:
    """Encode a window's profile.

    In plain words: packs the counts for the store.

    Parameters
    ----------
    window : WindowProfile
        The counts.

    Returns
    -------
    bytes
        Canonical: equal counts give equal bytes, however they were merged.

    Raises
    ------
    Nothing
        Every profile has a byte form.

    Notes
    -----
    Each array takes the smallest of 1, 2, 4 or 8 bytes a cell that holds it; SHA-256 of all at the end.

    References
    ----------
    None; kilter's own form ``KWP1``.

    Examples
    --------
    >>> from kilter.contracts.signature import Signature
    >>> from kilter.measures.profile.reference import build
    >>> from kilter.measures.profile.window import empty
    >>> signature = Signature(task=Task.REGRESSION, target="y", columns=())
    >>> encode(empty(build(signature, {}, np.zeros(60), None, threshold=0.5, seed=0)))[:4]
    b'KWP1'
    """
    sections: dict[str, _wire.Section] = {
        "score": window.score,
        "score_sum": window.score_sum,
        "classes": window.classes,
        "outcome": window.outcome,
    }
    sections |= {f"n{index:05d}": counts for index, counts in enumerate(window.numeric)}
    sections |= {f"t{index:05d}": counts for index, counts in enumerate(window.categorical)}
    return _wire.pack(_WINDOW, {"tag": window.tag, "rows": window.rows}, sections)


def decode(data: bytes, reference: ReferenceProfile) -> WindowProfile:
    """Decode a window's profile.

    In plain words: unpacks the counts, after checking that nothing is damaged.

    Parameters
    ----------
    data : bytes
        What ``encode`` returned.
    reference : ReferenceProfile
        The reference that the window was counted against.

    Returns
    -------
    WindowProfile
        Equal to the one encoded.

    Raises
    ------
    ChecksumMismatch
        If the bytes are damaged or no profile.
    FormatError
        If a newer kilter wrote them.
    SchemaMismatch
        If the window was counted against another reference.

    Notes
    -----
    O(bytes).

    References
    ----------
    None; kilter's own form ``KWP1``.

    Examples
    --------
    >>> from kilter.contracts.signature import Signature
    >>> from kilter.measures.profile.reference import build
    >>> from kilter.measures.profile.window import empty
    >>> signature = Signature(task=Task.REGRESSION, target="y", columns=())
    >>> reference = build(signature, {}, np.zeros(60), None, threshold=0.5, seed=0)
    >>> decode(encode(empty(reference)), reference).rows
    0
    """
    facts, sections = _wire.unpack(_WINDOW, data, what="window profile")
    if facts["tag"] != reference.tag:
        msg = f"the window was counted against reference {facts['tag']}, not {reference.tag}"
        raise SchemaMismatch(msg)
    return WindowProfile(
        tag=reference.tag,
        rows=cast("int", facts["rows"]),
        numeric=tuple(_ints(sections[f"n{index:05d}"]) for index in range(len(reference.numeric))),
        categorical=tuple(_ints(sections[f"t{index:05d}"]) for index in range(len(reference.categorical))),
        score=_ints(sections["score"]),
        score_sum=_ints(sections["score_sum"]),
        classes=_ints(sections["classes"]),
        outcome=_ints(sections["outcome"]),
    )


def encode_reference(reference: ReferenceProfile) -> bytes:
    """Encode a reference profile.

    In plain words: packs what a version looked like, to be kept beside its model file.

    Parameters
    ----------
    reference : ReferenceProfile
        The profile of a version.

    Returns
    -------
    bytes
        Canonical: equal profiles give equal bytes.

    Raises
    ------
    Nothing
        Every profile has a byte form.

    Notes
    -----
    Levels of text columns are stored as text in the header; all else as arrays.

    References
    ----------
    None; kilter's own form ``KRP1``.

    Examples
    --------
    >>> from kilter.contracts.signature import Signature
    >>> from kilter.measures.profile.reference import build
    >>> signature = Signature(task=Task.REGRESSION, target="y", columns=())
    >>> encode_reference(build(signature, {}, np.zeros(60), None, threshold=0.5, seed=0))[:4]
    b'KRP1'
    """
    metrics: dict[str, _wire.Fact] = {
        name: [metric.value, metric.low, metric.high, metric.n] for name, metric in reference.metrics.items()
    }
    facts: dict[str, _wire.Fact] = {
        "task": str(reference.task),
        "tag": reference.tag,
        "rows": reference.rows,
        "labelled": reference.labelled,
        "positive": reference.positive,
        "loss_bound": reference.loss_bound,
        "metrics": metrics,
        "numeric": [item.name for item in reference.numeric],
        "categorical": [[item.name, [*item.levels], item.once] for item in reference.categorical],
    }
    sections: dict[str, _wire.Section] = {
        "score_edges": reference.score_edges,
        "score_counts": reference.score_counts,
        "class_counts": reference.class_counts,
        "calibrator": reference.calibrator,
        "group_edges": reference.group_edges,
        "group_gaps": reference.group_gaps,
    }
    for index, item in enumerate(reference.numeric):
        sections |= {f"n{index:05d}e": item.edges, f"n{index:05d}c": item.counts}
    for index, text in enumerate(reference.categorical):
        sections |= {f"t{index:05d}k": text.known, f"t{index:05d}c": text.counts}
    return _wire.pack(_REFERENCE, facts, sections)


def decode_reference(data: bytes) -> ReferenceProfile:
    """Decode a reference profile.

    In plain words: unpacks what a version looked like, after checking that nothing is damaged.

    Parameters
    ----------
    data : bytes
        What ``encode_reference`` returned.

    Returns
    -------
    ReferenceProfile
        Equal to the one encoded.

    Raises
    ------
    ChecksumMismatch
        If the bytes are damaged or no profile.
    FormatError
        If a newer kilter wrote them.

    Notes
    -----
    O(bytes).

    References
    ----------
    None; kilter's own form ``KRP1``.

    Examples
    --------
    >>> from kilter.contracts.signature import Signature
    >>> from kilter.measures.profile.reference import build
    >>> signature = Signature(task=Task.REGRESSION, target="y", columns=())
    >>> reference = build(signature, {}, np.zeros(60), None, threshold=0.5, seed=0)
    >>> decode_reference(encode_reference(reference)).rows
    60
    """
    facts, sections = _wire.unpack(_REFERENCE, data, what="reference profile")
    names = cast("list[str]", facts["numeric"])
    texts = cast("list[tuple[str, list[str], int]]", facts["categorical"])
    metrics = cast("dict[str, tuple[float, float, float, int]]", facts["metrics"])
    return ReferenceProfile(
        task=Task(cast("str", facts["task"])),
        tag=cast("str", facts["tag"]),
        rows=cast("int", facts["rows"]),
        labelled=cast("int", facts["labelled"]),
        positive=cast("int", facts["positive"]),
        loss_bound=cast("float", facts["loss_bound"]),
        metrics={
            name: ReferenceMetric(value=value, low=low, high=high, n=n)
            for name, (value, low, high, n) in metrics.items()
        },
        numeric=tuple(
            NumericMap(name=name, edges=_floats(sections[f"n{i:05d}e"]), counts=_ints(sections[f"n{i:05d}c"]))
            for i, name in enumerate(names)
        ),
        categorical=tuple(
            CategoricalMap(
                name=name,
                levels=tuple(levels),
                known=sections[f"t{i:05d}k"].astype(np.uint64),
                counts=_ints(sections[f"t{i:05d}c"]),
                once=once,
            )
            for i, (name, levels, once) in enumerate(texts)
        ),
        score_edges=_floats(sections["score_edges"]),
        score_counts=_ints(sections["score_counts"]),
        class_counts=_ints(sections["class_counts"]),
        calibrator=_floats(sections["calibrator"]),
        group_edges=_floats(sections["group_edges"]),
        group_gaps=_floats(sections["group_gaps"]),
    )


def _ints(section: _wire.Section) -> NDArray[np.int64]:
    """Narrow a section to counts."""
    return section.astype(np.int64)


def _floats(section: _wire.Section) -> FloatArray:
    """Narrow a section to numbers."""
    return section.astype(np.float64)
