from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from kilter.contracts.signature import Signature, Task
from kilter.policy.pairing import Span, Standing, arm_losses, compare, losses, scale_of, shadow_losses
from kilter.testing.rollouts import SIGNATURE, START, LoggedRow, joined

ALL = Span(since_ns=0, until_ns=2**62)
PRICE = Signature(task=Task.REGRESSION, target="price", columns=())
ROW = LoggedRow(at=START, raw=0.8, arm="challenger", label="1", label_at=START)


def test_losses_are_those_of_the_arm_in_order_of_id() -> None:
    rows = joined([(2, replace(ROW, raw=0.9)), (1, replace(ROW, raw=0.8)), (3, replace(ROW, arm="control", raw=0.0))])
    assert arm_losses(SIGNATURE, rows, "challenger", ALL) == pytest.approx((0.04, 0.01))
    assert arm_losses(SIGNATURE, rows, "control", ALL) == pytest.approx((1.0,))


def test_only_the_first_row_of_a_key_in_an_hour_counts() -> None:
    hour = timedelta(hours=1)
    rows = joined(
        [
            (0, replace(ROW, key=7)),
            (1, replace(ROW, key=7, at=START + timedelta(minutes=5))),
            (2, replace(ROW, key=7, at=START + hour)),
            (3, replace(ROW, key=8)),
        ]
    )
    assert len(arm_losses(SIGNATURE, rows, "challenger", ALL)) == 3


def test_labels_count_when_they_arrive() -> None:
    rows = joined([(0, ROW), (1, replace(ROW, label_at=START + timedelta(hours=1))), (2, replace(ROW, label=None))])
    edge = int((START + timedelta(minutes=30)).timestamp()) * 10**9
    assert len(arm_losses(SIGNATURE, rows, "challenger", replace(ALL, until_ns=edge))) == 1
    assert len(arm_losses(SIGNATURE, rows, "challenger", replace(ALL, since_ns=edge))) == 1


def test_labels_of_unknown_classes_do_not_count() -> None:
    assert arm_losses(SIGNATURE, joined([(0, replace(ROW, label="maybe"))]), "challenger", ALL) == ()


def test_no_rows_are_no_losses() -> None:
    empty = joined([])
    assert losses(SIGNATURE, empty, 1.0).size == 0
    assert arm_losses(SIGNATURE, empty, "challenger", ALL) == ()
    assert shadow_losses(SIGNATURE, empty, empty, ALL) == ((), ())


def test_shadow_and_served_answer_are_paired_by_request() -> None:
    answers = joined([(0, replace(ROW, raw=0.6)), (1, replace(ROW, label=None)), (2, replace(ROW, label="maybe"))])
    shadows = joined([(place + 5, replace(ROW, raw=0.9, parent=f"{place:08d}:0")) for place in (2, 1, 0, 4)])
    shadowed, served = shadow_losses(SIGNATURE, shadows, answers, ALL)
    assert shadowed == pytest.approx((0.01,))
    assert served == pytest.approx((0.16,))


def test_a_regression_is_scaled_by_the_spread_of_its_labels() -> None:
    rows = joined([(place, replace(ROW, label=str(place))) for place in range(101)])
    flat = replace(rows, scores=rows.scores[:, 1])  # type: ignore[index]
    assert scale_of(PRICE, flat) == pytest.approx(90.0)
    assert scale_of(PRICE, replace(flat, labels=np.full(101, None, dtype=object))) == 1.0
    assert scale_of(PRICE, joined([])) == 1.0
    assert scale_of(SIGNATURE, rows) == 1.0


@pytest.mark.parametrize(
    ("shift", "standing"),
    [(-0.1, Standing.BETTER), (0.1, Standing.WORSE), (0.0, Standing.NON_INFERIOR), (0.03, Standing.INCONCLUSIVE)],
)
def test_a_comparison_is_decided_by_its_interval(shift: float, standing: Standing) -> None:
    rng = np.random.default_rng(1)
    champion = rng.uniform(0.2, 0.6, 2_000)
    noise = rng.normal(0, 0.8 if standing is Standing.INCONCLUSIVE else 0.1, 2_000)
    assert compare(champion + noise + shift, champion, margin=0.02).standing is standing


def test_few_rows_decide_nothing() -> None:
    champion = np.full(29, 0.9)
    assert compare(np.zeros(29), champion, margin=0.02).standing is Standing.INCONCLUSIVE


def test_more_challengers_need_more_evidence() -> None:
    rng = np.random.default_rng(2)
    champion = rng.uniform(0, 1, 100)
    challenger = champion - 0.1 + rng.normal(0, 0.1, 100)
    one = compare(challenger, champion, margin=0.0)
    five = compare(challenger, champion, margin=0.0, alpha_split=5)
    assert five.high > one.high
