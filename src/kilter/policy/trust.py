"""Whether a label-free estimate may be believed: its trust state, with the reason in a sentence."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from kilter.contracts.monitor import TrustState

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from kilter.contracts.monitor import Window
    from kilter.contracts.reading import Reading

__all__ = ["trust"]

_LEAST_REFERENCE = 500
_SCORE_LIMIT = 0.25
_MISSES, _OF = 3, 10
_HITS, _LABELLED, _LATEST, _LABELS = 0.8, 5, 20, 50


def trust(
    readings: Sequence[Reading],
    mature: Sequence[Window],
    *,
    reference_rows: int,
    open_families: Collection[str],
    since_label_horizons: float | None,
) -> tuple[TrustState, str]:
    """Judge the estimate of one window.

    Parameters
    ----------
    readings : sequence of Reading
        The window's own: the estimate and the score's drift are looked for.
    mature : sequence of Window
        Mature windows of the same version, newest first; the latest 20 count.
    reference_rows : int
        Rows of the reference.
    open_families : collection of str
        Families with an open alert.
    since_label_horizons : float or None
        Time since the last label in label horizons; None: no label ever came.

    Returns
    -------
    TrustState
        First rule that holds: unavailable, distrusted, trusted, else unverified.
    str
        Why, in plain words.

    Raises
    ------
    Nothing
        Missing evidence never gives trust.

    Notes
    -----
    An estimate never clears an alarm, passes a gate or promotes a version, whatever its state.
    """
    estimate = _found(readings, "estimate")
    if reference_rows < _LEAST_REFERENCE:
        reason = f"the reference has {reference_rows} rows, an estimate needs {_LEAST_REFERENCE}"
        return TrustState.UNAVAILABLE, reason
    if estimate is None:
        return TrustState.UNAVAILABLE, "there is no estimate for this task, or no reference labels to make one"
    doubt = _doubt(readings, mature, open_families)
    if doubt:
        return TrustState.DISTRUSTED, doubt
    return _earned([hit for window in mature[:_LATEST] if (hit := _hit(window)) is not None], since_label_horizons)


def _earned(hits: Sequence[bool], since_label_horizons: float | None) -> tuple[TrustState, str]:
    """Judge an estimate that nothing speaks against by how often labels agreed with it."""
    share = sum(hits) / max(1, len(hits))
    agreed = f"labels agreed with the estimate in {share:.0%} of the latest {len(hits)} windows"
    if since_label_horizons is None:
        lack = "no label has ever come back"
    elif len(hits) < _LABELLED:
        lack = f"{len(hits)} of {_LABELLED} windows have {_LABELS} labels"
    elif since_label_horizons > 3:
        lack = "the last label came too long ago"
    elif share < _HITS:
        lack = agreed
    else:
        return TrustState.TRUSTED, agreed
    return TrustState.UNVERIFIED, f"{lack}: this assumes that calibration still holds"


def _doubt(readings: Sequence[Reading], mature: Sequence[Window], open_families: Collection[str]) -> str:
    """Return why the estimate must not be believed; empty if nothing speaks against it."""
    drift = next(
        (one for one in readings if (one.metric, one.subject) == ("population_stability_index", "score")), None
    )
    if drift is not None and drift.estimate is not None and drift.estimate > _SCORE_LIMIT:
        return f"the scores have moved too far (stability index {drift.estimate:.2f}, limit {_SCORE_LIMIT})"
    misses = sum(1 for window in mature[:_OF] if _hit(window) is False)
    if misses >= _MISSES:
        return f"labels contradicted the estimate in {misses} of the last {min(_OF, len(mature))} windows"
    alarmed = [family for family in ("performance", "calibration") if family in open_families]
    return f"an alert on {alarmed[0]} is open" if alarmed else ""


def _hit(window: Window) -> bool | None:
    """Say whether realised accuracy lies in the band of the estimate; None without 50 labels."""
    estimate = _found(window.readings, "estimate")
    realised = next((one for one in window.realised if estimate and one.metric == estimate.metric), None)
    if estimate is None or realised is None or realised.estimate is None or realised.n < _LABELS:
        return None
    middle = estimate.estimate or 0.0
    band = math.hypot(*(((one.high or 0.0) - (one.low or 0.0)) / 2 for one in (estimate, realised)))
    return abs(realised.estimate - middle) <= band


def _found(readings: Sequence[Reading], subject: str) -> Reading | None:
    """Return the first evaluated reading of a subject."""
    return next((one for one in readings if one.subject == subject and one.estimate is not None), None)
