from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kilter.contracts.spec import RetrainSpec
from kilter.contracts.trigger import Simulation
from kilter.policy.repair import Reference, Rung, choose, simulate

GOOD = Simulation(n=200, loss_before=0.25, loss_after=0.18, gain_low=0.03, auc=0.9, auc_low=0.87, auc_high=0.93)
REFERENCE = Reference(loss=0.17, auc=0.91, tolerance=0.02)
SPEC = RetrainSpec(command="training:train")


def chosen(
    simulation: Simulation | None = GOOD,
    *,
    family: str = "performance",
    suggestion: str = "look",
    spec: RetrainSpec = SPEC,
    reference: Reference = REFERENCE,
) -> Rung:
    return choose(family=family, suggestion=suggestion, spec=spec, simulation=simulation, reference=reference).rung


def test_recalibration_is_found_to_help_where_probabilities_moved() -> None:
    rng = np.random.default_rng(1)
    raw = rng.uniform(0.05, 0.95, 2_000)
    labels = (rng.uniform(size=2_000) < raw**3).astype(np.float64)
    found = simulate(raw, raw, labels)
    assert found is not None
    assert found.helps
    assert found.loss_after < found.loss_before
    assert found.auc_low < found.auc < found.auc_high


def test_recalibration_is_not_found_to_help_a_calibrated_model() -> None:
    rng = np.random.default_rng(2)
    raw = rng.uniform(0.05, 0.95, 2_000)
    found = simulate(raw, raw, (rng.uniform(size=2_000) < raw).astype(np.float64))
    assert found is not None
    assert not found.helps


@pytest.mark.parametrize(("n", "positive"), [(59, 30), (200, 0), (200, 5)])
def test_too_few_labels_simulate_nothing(n: int, positive: int) -> None:
    labels = np.zeros(n)
    labels[::2][:positive] = 1.0
    raw = np.full(n, 0.5)
    assert simulate(raw, raw, np.roll(labels, n - 2 * positive)) is None


def test_broken_inputs_are_never_refitted() -> None:
    assert chosen(suggestion="fix the feed") is Rung.ASK


def test_the_settings_can_name_the_action() -> None:
    assert chosen(spec=replace(SPEC, action="ask")) is Rung.ASK
    assert chosen(spec=replace(SPEC, action="refit")) is Rung.REFIT
    assert chosen(spec=replace(SPEC, action="fresh", command="")) is Rung.ASK


def test_the_cheapest_repair_that_works_is_taken() -> None:
    assert chosen() is Rung.RECALIBRATE
    assert chosen(reference=Reference(loss=None, auc=None, tolerance=0.02)) is Rung.RECALIBRATE


def test_a_fallen_ranking_needs_a_refit() -> None:
    assert chosen(replace(GOOD, auc=0.65, auc_low=0.62, auc_high=0.68)) is Rung.REFIT


def test_a_repair_that_would_not_help_is_not_taken() -> None:
    assert chosen(replace(GOOD, gain_low=-0.01)) is Rung.REFIT


def test_a_repair_that_falls_short_is_taken_only_if_nothing_better_exists() -> None:
    short = replace(GOOD, loss_after=0.22)
    assert chosen(short) is Rung.REFIT
    assert chosen(short, family="calibration") is Rung.RECALIBRATE
    assert chosen(short, spec=replace(SPEC, command="")) is Rung.RECALIBRATE


def test_without_a_simulation_only_a_refit_or_a_person_is_left() -> None:
    assert chosen(None) is Rung.REFIT
    assert chosen(None, spec=RetrainSpec()) is Rung.ASK
