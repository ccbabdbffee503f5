"""Every check and every judge that is found keeps the promises of its room."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kilter import plugins
from kilter.contracts.reading import Basis, Direction, Reading
from kilter.contracts.verdict import GateRule
from kilter.testing.checks import CHECKS
from kilter.testing.gates import GATES

if TYPE_CHECKING:
    from types import ModuleType

    from kilter.testing.checks import CheckClause
    from kilter.testing.gates import GateClause

ROOMS = ("measures.performance", "measures.calibration", "measures.slices", "measures.quality")
MODULES = [
    module for room in ROOMS for module in plugins.members(room, "CHECK") if callable(getattr(module, "run", None))
]


def reading(estimate: float, subject: str = "model", *, half: float = 0.01) -> Reading:
    return Reading(
        metric="m", subject=subject, estimate=estimate, low=estimate - half, high=estimate + half, n=500,
        direction=Direction.LOWER,
    )  # fmt: skip


COUNT = Reading(metric="m", subject="dataset", estimate=0.0, basis=Basis.CENSUS, n=500)
EVIDENCE = {
    "limit": (GateRule(metric="m", max=0.5), [reading(0.3)]),
    "no_worse_than": (GateRule(metric="m", no_worse_than="live", margin=0.05), [reading(0.0, "difference:live")]),
    "slices": (GateRule(metric="m", slices=("a",), max=0.5), [reading(0.3, "slice:a=1"), reading(0.3, "slice:a=2")]),
    "zero": (GateRule(metric="m", max=0.0), [COUNT]),
}
JUDGES = plugins.members("policy.gates", "GATE")


@pytest.mark.parametrize("clause", CHECKS, ids=lambda clause: clause.__name__)
@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.CHECK.id)
def test_checks_keep_their_promises(module: ModuleType, clause: CheckClause) -> None:
    clause(module)


@pytest.mark.parametrize("clause", GATES, ids=lambda clause: clause.__name__)
@pytest.mark.parametrize("judge", JUDGES, ids=lambda judge: judge.GATE.id)
def test_judges_keep_their_promises(judge: ModuleType, clause: GateClause) -> None:
    clause(judge, *EVIDENCE[judge.GATE.id])


def test_ids_are_unique() -> None:
    ids = [module.CHECK.id for module in MODULES]
    assert len(ids) == len(set(ids))
