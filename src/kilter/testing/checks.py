"""Conformance kit of checks: what every module with ``CHECK`` and ``run`` must do, one clause a function.

A clause is given the module, and raises AssertionError with the promise that was broken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from kilter.contracts.check import Check, CheckInputs
from kilter.contracts.reading import Basis, Reading
from kilter.contracts.signature import Task
from kilter.testing.cases import case_of
from kilter.testing.promise import require

__all__ = ["CHECKS", "CheckClause"]

CheckClause: TypeAlias = Callable[[Check], None]


def honest_data_is_measured(check: Check) -> None:
    """On 400 honest rows of its task a check gives estimates, with intervals unless it counts."""
    for task in _tasks(check):
        readings = _readings(check, case_of(task, 400))
        spoken = [reading for reading in readings if reading.estimate is not None]
        require(bool(spoken), f"{check.CHECK.id} measures 400 rows of {task}")
        for reading in spoken:
            is_whole = reading.basis is Basis.CENSUS or (reading.low is not None and reading.high is not None)
            require(is_whole, f"{reading.metric} of a sample has an interval")
            if reading.low is not None and reading.high is not None:
                require(reading.low <= (reading.estimate or 0.0) <= reading.high, f"{reading.metric} lies inside")


def every_input_is_answered(check: Check) -> None:
    """0, 1, 2 rows, no labels, one class, infinities, huge values, missing needs: readings, never an exception."""
    for task in Task:
        whole = case_of(task, 60)
        for inputs in (*_sizes(task), *_gaps(whole), *_extremes(whole)):
            _readings(check, inputs)


def order_does_not_matter(check: Check) -> None:
    """Permuted rows give the same readings."""
    for task in _tasks(check):
        whole = case_of(task, 300)
        order = np.random.default_rng(1).permutation(300)
        shuffled = replace(
            whole,
            labels=np.asarray(whole.labels)[order],
            scores=np.asarray(whole.scores)[order],
            columns={name: np.asarray(values)[order] for name, values in whole.columns.items()},
        )
        for one, other in zip(_readings(check, whole), _readings(check, shuffled), strict=True):
            require(one.subject == other.subject, f"{one.metric} has the same subjects in any order of rows")
            is_close = one.estimate is None or abs(one.estimate - (other.estimate or 0.0)) < 1e-9
            require(is_close, f"{one.metric} is the same in any order of rows")


def the_same_inputs_give_the_same_readings(check: Check) -> None:
    """A check is a function: no clock, no chance beyond the seed."""
    for task in _tasks(check):
        require(
            _readings(check, case_of(task, 150)) == _readings(check, case_of(task, 150)),
            f"{check.CHECK.id} gives the same readings for the same inputs",
        )


def _tasks(check: Check) -> tuple[Task, ...]:
    """Return the tasks that a check applies to."""
    return tuple(Task(name) for name in check.CHECK.tasks) or tuple(Task)


def _readings(check: Check, inputs: CheckInputs) -> tuple[Reading, ...]:
    """Run, and require an answer."""
    readings = check.run(inputs)
    require(len(readings) > 0, f"{check.CHECK.id} answers with at least one reading")
    for reading in readings:
        is_coded = reading.not_evaluated is None or ": " in reading.not_evaluated
        require(is_coded, f"{reading.metric} gives a code and a text for what it did not evaluate")
    return readings


def _sizes(task: Task) -> list[CheckInputs]:
    """Return inputs of 0, 1 and 2 rows."""
    return [replace(case_of(task, n), durations_ms=np.ones(n)) for n in (0, 1, 2)]


def _gaps(whole: CheckInputs) -> list[CheckInputs]:
    """Return inputs with something missing."""
    n = np.asarray(whole.labels).shape[0]
    return [
        replace(whole, labels=None),
        replace(whole, scores=None),
        replace(whole, columns={}),
        replace(whole, durations_ms=None, slices=()),
        replace(whole, labels=np.full(n, np.nan)),
        replace(whole, slices=("nothing",)),
    ]


def _extremes(whole: CheckInputs) -> list[CheckInputs]:
    """Return inputs with one class, equal scores, and values that no sum can hold."""
    labels, scores = np.asarray(whole.labels), np.asarray(whole.scores)
    age = np.asarray(whole.columns["age"])
    plan = np.asarray(whole.columns["plan"])
    levels = np.array([f"straße {position}" for position in range(plan.size)], dtype=object)
    return [
        replace(whole, labels=np.zeros(labels.size)),
        replace(whole, labels=np.ones(labels.size)),
        replace(whole, scores=np.full(scores.shape, 1.0 / max(1, scores.ndim))),
        replace(whole, scores=np.full(scores.shape, np.nan)),
        replace(whole, scores=np.full(scores.shape, np.inf)),
        replace(whole, scores=np.full(scores.shape, 1e308), labels=np.where(labels > 0, 1.0, 0.0)),
        replace(whole, columns={"age": np.full(age.size, np.nan), "plan": np.full(age.size, None, dtype=object)}),
        replace(whole, columns={"age": np.full(age.size, np.inf), "plan": levels}),
        replace(whole, columns={"age": levels, "plan": age}),
    ]


CHECKS: tuple[CheckClause, ...] = (
    honest_data_is_measured,
    every_input_is_answered,
    order_does_not_matter,
    the_same_inputs_give_the_same_readings,
)
"""Clauses for every check."""
