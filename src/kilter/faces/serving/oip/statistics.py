"""What models have answered so far, in the form of the statistics extension."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kilter.contracts.meters import Statistics

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    from kilter.services.predictor import Predictor

    Totals: TypeAlias = Callable[[], Mapping[tuple[str, str], Statistics]]

__all__ = ["model_statistics"]

_NS_PER_MS = 1_000_000


def model_statistics(
    predictor: Predictor, totals: Totals, name: str | None = None, number: int | None = None
) -> list[dict[str, Any]]:
    """Return the counts of every loaded version, or of those of one deployment, summed over all processes.

    Parameters
    ----------
    predictor : Predictor
        Knows what is loaded.
    totals : callable
        Gives the counts by deployment and version; a version without requests may be missing.
    name : str or None
        One deployment; None is all.
    number : int or None
        One of its versions; None is all.

    Returns
    -------
    list of dict
        By deployment and version. Durations are of answered requests; ``compute_input`` is all that is
        neither waiting nor the model: reading, checking, the record.

    Raises
    ------
    NotFound
        If there is no such deployment, or the version is not loaded.
    NotReady
        If no table is in force yet and a deployment is asked for.
    StoreError
        If the counts of other processes cannot be read.
    """
    names = predictor.deployments() if name is None else (name,)
    asked = [(each, version) for each in names for version in predictor.versions(each)]
    if name is not None and number is not None:
        if (name, number) not in asked:
            predictor.target(name, number)  # says what is loaded instead
        asked = [(name, number)]
    counted = totals()
    return [_entry(each, version, counted.get((each, str(version)), Statistics())) for each, version in asked]


def _entry(name: str, number: int, counts: Statistics) -> dict[str, Any]:
    """Return one version's entry."""
    rest = max(0, counts.total_ns - counts.queue_ns - counts.compute_ns)
    return {
        "name": name,
        "version": str(number),
        "last_inference": counts.last_ns // _NS_PER_MS,
        "inference_count": counts.rows,
        "execution_count": counts.requests,
        "inference_stats": {
            "success": {"count": counts.requests, "ns": counts.total_ns},
            "fail": {"count": counts.failures, "ns": 0},
            "queue": {"count": counts.requests, "ns": counts.queue_ns},
            "compute_input": {"count": counts.requests, "ns": rest},
            "compute_infer": {"count": counts.requests, "ns": counts.compute_ns},
            "compute_output": {"count": counts.requests, "ns": 0},
        },
        "batch_stats": [],
    }
