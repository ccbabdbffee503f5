"""One rollout: its steps with their reasons, and the evidence so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kilter.contracts.rollout import HarmProcess, Rollout, RolloutState, RolloutStep
from kilter.errors import NotFound
from kilter.faces.web.page import PageSpec

if TYPE_CHECKING:
    from kilter.app import App
    from kilter.faces.web.page import Query

__all__ = ["PAGE", "ProcessItem", "RolloutPage", "data"]

PAGE = PageSpec(
    name="rollout",
    url="/rollouts/{rollout}",
    title="Rollout",
    about="A trial of a new version against the live one, on real requests, with the reason for every step.",
    section="rollouts",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessItem:
    """The running comparison of one metric: mean difference candidate minus live version."""

    metric: str
    n: int
    mean: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutPage:
    """One rollout and all its steps, oldest first."""

    rollout: Rollout
    steps: tuple[RolloutStep, ...]
    processes: tuple[ProcessItem, ...]
    commands: tuple[str, ...]


def data(app: App, query: Query) -> RolloutPage:
    """Return one rollout.

    Raises
    ------
    NotFound
        If there is no such rollout.
    """
    name = query.path["rollout"]
    found = app.metadata.read(lambda tx: tx.get(Rollout, name))
    if found is None:
        message = f"there is no rollout `{name}`"
        raise NotFound(message, hint="go to `/rollouts`")
    steps = app.metadata.read(lambda tx: tx.list(RolloutStep, where={"rollout_id": name}, limit=1_000))
    return RolloutPage(
        rollout=found,
        steps=steps,
        processes=tuple(_process(one) for one in found.processes),
        commands=_commands(found.state),
    )


def _process(process: HarmProcess) -> ProcessItem:
    """Return the comparison of one metric for people."""
    return ProcessItem(metric=process.metric, n=process.n, mean=process.sum / process.n if process.n else None)


def _commands(state: RolloutState) -> tuple[str, ...]:
    """Return what a person may do now."""
    if state.is_final:
        return ()
    if state is RolloutState.HELD:
        return ("resume", "promote", "abort")
    return ("promote", "abort") if state in (RolloutState.SHADOW, RolloutState.CANARY) else ("abort",)
