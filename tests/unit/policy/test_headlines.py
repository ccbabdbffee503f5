from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from kilter.contracts.reading import Reading
from kilter.contracts.signature import Signature, Task
from kilter.measures.comparison import CALIBRATION
from kilter.measures.profile.reference import build
from kilter.policy.budgets import FAMILIES
from kilter.policy.detection import Alarm
from kilter.policy.headlines import headline

if TYPE_CHECKING:
    from kilter.measures.profile import ReferenceProfile


RNG = np.random.default_rng(0)
P = RNG.random(900)
BINARY = build(
    Signature(task=Task.BINARY, target="y", columns=(), classes=("no", "yes"), positive="yes"),
    {},
    np.column_stack([1 - P, P]),
    (RNG.random(900) < P).astype(float),
)
NUMBER = build(Signature(task=Task.REGRESSION, target="y", columns=()), {}, np.zeros(900), RNG.normal(0, 1, 900))


def alarm(family: str, *names: str) -> Alarm:
    return Alarm(family=family, log_evidence=9.0, log_threshold=8.0, names=names or ("a",), windows=2)


def reading(metric: str, estimate: float, *, subject: str = "model", **extra: float) -> Reading:
    return Reading(
        metric=metric,
        subject=subject,
        estimate=estimate,
        low=estimate - 0.01,
        high=estimate + 0.01,
        n=1_200,
        extra=extra,
    )


def test_numbers_have_interval_count_and_reference() -> None:
    text = headline(alarm("performance"), [reading("accuracy_score", 0.612), reading("brier_score_loss", 0.3)], BINARY)
    assert text.startswith("Accuracy is 61.2 % (60.2 % to 62.2 %) over 1,200 labelled predictions; it was ")
    assert "squared error of its chances 0.3 against" in text
    assert "squared" not in headline(alarm("performance"), [reading("accuracy_score", 0.612)], BINARY)


def test_regression_speaks_in_the_targets_unit() -> None:
    text = headline(alarm("performance"), [reading("mean_absolute_error", 2_345.6)], NUMBER)
    assert "2,346" in text
    assert headline(alarm("calibration", "all above"), [reading("mean_bias_error", -3.0)], NUMBER).startswith(
        "Truth is more than predicted by 3 on average"
    )


def test_calibration_says_which_way() -> None:
    found = [reading(CALIBRATION, 0.11)]
    assert headline(alarm("calibration", "group 03 above"), found, BINARY).startswith("Things happen more often")
    assert "off by 11.0 % on average" in headline(alarm("calibration", "all below"), found, BINARY)


def test_failures_and_drift_have_shares() -> None:
    assert headline(alarm("operational"), [reading("error_rate", 0.05, subject="requests")], BINARY).startswith(
        "5.0 % of"
    )
    assert "20.0 % of predictions" in headline(
        alarm("score_drift"), [reading("total_variation", 0.2, subject="score")], BINARY
    )
    assert "`a` has shifted against the reference: 20.0 %" in headline(
        alarm("feature_drift"), [reading("total_variation", 0.2, subject="column:a")], BINARY
    )


def test_input_health_names_the_worse_fault() -> None:
    missing = reading("missing", 0.3, subject="column:a", reference_share=0.02)
    calm = reading("missing", 0.02, subject="column:a", reference_share=0.02)
    few, many = (reading("unseen", share, subject="column:a") for share in (0.01, 0.4))
    assert "30.0 % of 1,200 values are missing; it was 2.0 %" in headline(alarm("input_health"), [missing, few], BINARY)
    assert "40.0 % of 1,200 values were never seen" in headline(alarm("input_health"), [calm, many], BINARY)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("reference", [BINARY, NUMBER], ids=["binary", "regression"])
def test_every_family_has_words_even_without_readings(family: str, reference: ReferenceProfile) -> None:
    text = headline(alarm(family), [], reference)
    assert text
    assert not text.endswith(".")
