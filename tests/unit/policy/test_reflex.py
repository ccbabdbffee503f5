"""A plainly broken candidate is seen, a merely worse one is left to the judge."""

from __future__ import annotations

import math

import pytest

from kilter.contracts.meters import BOUNDS_NS
from kilter.policy.reflex import ArmCounts, breach, recent


def arm(*, failures: int = 0, answered: int = 0, slow: int = 0, usual: int = 0, very: int = 20) -> ArmCounts:
    """Counts with ``answered`` requests in the bucket ``usual`` and ``slow`` in the bucket ``very``."""
    buckets = [0] * (len(BOUNDS_NS) + 1)
    buckets[usual] += answered
    buckets[very] += slow
    return ArmCounts(failures=failures, buckets=tuple(buckets))


@pytest.mark.parametrize(
    ("failures", "answered", "is_broken"), [(21, 29, True), (20, 30, False), (49, 0, False), (50, 0, True)]
)
def test_more_than_two_in_five_failures_of_fifty_are_a_breach(failures: int, answered: int, is_broken: bool) -> None:  # noqa: FBT001
    assert (breach(arm(failures=failures, answered=answered), arm(answered=1000)) is not None) is is_broken


def test_a_share_that_is_for_the_judge_hardly_ever_breaches() -> None:
    p, n = 0.2, 50
    above = sum(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(21, n + 1))
    assert above == pytest.approx(0.0003, abs=0.0001)


def test_a_candidate_far_slower_than_the_champion_breaches() -> None:
    sentence = breach(arm(answered=190, slow=10), arm(answered=1000))
    assert sentence is not None
    assert "one request in 100 takes more than 1200 ms" in sentence


@pytest.mark.parametrize(
    ("candidate", "champion"),
    [
        (arm(answered=190, slow=9), arm(answered=1000)),  # too few answers
        (arm(answered=190, slow=10), arm(answered=199)),  # too few to compare with
        (arm(answered=199, slow=2), arm(answered=1000)),  # one request in 100 is not beyond the 99th percentile
        (arm(answered=190, slow=10, very=13), arm(answered=1000)),  # slower, but below 50 ms
        (arm(answered=190, slow=10), arm(answered=190, slow=10)),  # as slow as the champion
        (arm(answered=200), arm(answered=0, slow=1000, very=24)),  # the champion is beyond all bounds
    ],
)
def test_without_evidence_there_is_no_breach(candidate: ArmCounts, champion: ArmCounts) -> None:
    assert breach(candidate, champion) is None


def test_only_what_happened_lately_counts() -> None:
    history = [(arm(answered=answered, failures=failures), arm(answered=answered)) for answered, failures in STEPS]
    candidate, champion = recent(history, 50)
    assert (candidate.failures, candidate.answered, champion.answered) == (55, 5, 5)
    whole, _ = recent(history, 10_000)
    assert (whole.failures, whole.answered) == (55, 1005)


STEPS = [(0, 0), (900, 0), (1000, 0), (1000, 30), (1005, 55)]
