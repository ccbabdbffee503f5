"""Intervals follow one rule, and are exact at the edges."""

from __future__ import annotations

import numpy as np
import pytest

from kilter.errors import SchemaMismatch
from kilter.measures.interval import (
    logit_interval,
    mean_interval,
    paired_interval,
    quantile_interval,
    standard_error,
    wilson_interval,
)


def test_wilson_holds_the_edge_that_was_seen() -> None:
    assert wilson_interval(0, 20)[0] == 0.0
    assert wilson_interval(20, 20)[1] == 1.0
    assert wilson_interval(0, 20)[1] == pytest.approx(0.1611, abs=1e-4)


def test_a_share_needs_cases() -> None:
    with pytest.raises(SchemaMismatch):
        wilson_interval(0, 0)


def test_one_row_has_no_interval() -> None:
    with pytest.raises(SchemaMismatch, match="at least 2 clusters"):
        mean_interval(1.0, np.zeros(1))


def test_one_group_per_row_changes_nothing() -> None:
    psi = np.array([-1.0, 0.5, 0.5])
    assert standard_error(psi, groups=np.arange(3)) == pytest.approx(standard_error(psi))


def test_groups_name_every_row() -> None:
    with pytest.raises(SchemaMismatch, match="groups name 1 rows, expected 3"):
        standard_error(np.zeros(3), groups=np.arange(1))


def test_at_one_the_cases_speak_not_the_rows() -> None:
    few, all_rows = logit_interval(1.0, np.zeros(100), n_eff=5), logit_interval(1.0, np.zeros(100))
    assert few[0] < all_rows[0]
    assert logit_interval(0.0, np.zeros(100))[0] == 0.0


def test_a_higher_level_is_wider() -> None:
    psi = np.array([0.3, -0.3, 0.2, -0.2])
    narrow, wide = logit_interval(0.6, psi, level=0.8), logit_interval(0.6, psi, level=0.99)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_pairs_need_the_same_rows() -> None:
    with pytest.raises(SchemaMismatch, match="same rows"):
        paired_interval(0.0, np.zeros(3), np.zeros(2))


def test_quantiles_know_what_few_values_cannot_bound() -> None:
    estimate, low, high = quantile_interval(np.arange(10.0), 0.99)
    assert (estimate, high) == (9.0, np.inf)
    assert np.isfinite(low)
    assert quantile_interval(np.arange(10.0), 0.01)[1] == -np.inf
    with pytest.raises(SchemaMismatch):
        quantile_interval(np.array([]), 0.5)
