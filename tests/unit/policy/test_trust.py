from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from kilter.contracts.ids import Digest
from kilter.contracts.monitor import TrustState, Window
from kilter.contracts.reading import Reading
from kilter.policy.trust import trust

if TYPE_CHECKING:
    from collections.abc import Sequence


AT = datetime(2026, 1, 1, tzinfo=UTC)
ESTIMATE = Reading(metric="accuracy_score", subject="estimate", estimate=0.8, low=0.77, high=0.83, n=500)
PSI = Reading(metric="population_stability_index", subject="score", estimate=0.1, low=0.0, high=0.2, n=500)


def window(realised: float | None, n: int = 100) -> Window:
    reading = (
        Reading(metric="accuracy_score", n=n, not_evaluated="too_few_labels: 3 of 30 labels")
        if realised is None
        else Reading(metric="accuracy_score", estimate=realised, low=realised - 0.03, high=realised + 0.03, n=n)
    )
    return Window(
        id="w",
        deployment="d",
        number=1,
        start_at=AT,
        end_at=AT,
        rows=500,
        profile=Digest(""),
        readings=(ESTIMATE,),
        is_mature=True,
        realised=(reading,),
    )


def state(
    readings: Sequence[Reading] = (ESTIMATE, PSI),
    mature: Sequence[Window] = (),
    *,
    rows: int = 5_000,
    open_families: Sequence[str] = (),
    age: float | None = 0.5,
) -> TrustState:
    found, reason = trust(readings, mature, reference_rows=rows, open_families=open_families, since_label_horizons=age)
    assert reason
    return found


def test_a_small_reference_or_no_estimate_is_unavailable() -> None:
    assert state(rows=499) is TrustState.UNAVAILABLE
    assert state((PSI,)) is TrustState.UNAVAILABLE


def test_moved_scores_misses_and_open_alerts_are_distrusted() -> None:
    assert state((ESTIMATE, replace(PSI, estimate=0.3, high=0.4))) is TrustState.DISTRUSTED
    assert state(mature=[window(0.5)] * 3 + [window(0.8)] * 17) is TrustState.DISTRUSTED
    assert state(open_families=["calibration"]) is TrustState.DISTRUSTED
    assert state(open_families=["feature_drift"]) is TrustState.UNVERIFIED


def test_agreement_with_labels_earns_trust() -> None:
    assert state(mature=[window(0.8)] * 5) is TrustState.TRUSTED
    assert state((ESTIMATE,), mature=[window(0.8)] * 5) is TrustState.TRUSTED


@pytest.mark.parametrize(
    ("mature", "age"),
    [
        ([], None),
        ([window(0.8)] * 4, 0.5),
        ([window(0.8, n=49)] * 9, 0.5),
        ([window(None)] * 9, 0.5),
        ([replace(window(0.8), readings=())] * 9, 0.5),
        ([window(0.8)] * 9, 3.5),
        ([window(0.8)] * 10 + [window(0.5)] * 10, 0.5),
    ],
)
def test_missing_evidence_never_gives_trust(mature: list[Window], age: float | None) -> None:
    assert state(mature=mature, age=age) is TrustState.UNVERIFIED
