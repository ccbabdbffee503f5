"""The demo's data: hourly bike rides of two years, and how they are split."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

__all__ = ["FEATURES", "LABEL_DELAY", "TARGET", "Rides", "in_utc", "load"]

FEATURES = ("hr", "weekday", "workingday", "holiday", "weathersit", "temp", "atemp", "hum", "windspeed")
"""What is known an hour ahead. ``casual`` and ``registered`` add up to the answer, so they are no inputs."""

TARGET = "busy"
LABEL_DELAY = timedelta(days=2)
_FIRST_PART_ENDS = datetime(2011, 7, 1, tzinfo=UTC)
_HELD_OUT_EVERY = 5
_UTC_OFFSET_H = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Rides:
    """The split data. An hour is busy when it has more rides than the median training hour.

    ``train`` and ``holdout`` are the first half-year (every fifth day is held out); ``replay`` is all
    that follows, in order of time, with ``hours`` its timestamps.
    """

    threshold: int
    train: pa.Table
    holdout: pa.Table
    replay: pa.Table
    hours: tuple[datetime, ...]


def load() -> Rides:
    """Read the shipped file and split it.

    Returns
    -------
    Rides
        Three tables with the features and the target.

    Raises
    ------
    FileNotFoundError
        If the package was installed without its data.
    """
    with files("kilter.demo").joinpath("data/bike_hourly.parquet").open("rb") as stream:
        table = pq.read_table(pa.BufferReader(stream.read()))
    days = [datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC) for day in table["dteday"].to_pylist()]
    hours = [day + timedelta(hours=int(hour)) for day, hour in zip(days, table["hr"].to_pylist(), strict=True)]
    day_number = np.array([(day - days[0]).days for day in days])
    is_first = np.array([hour < _FIRST_PART_ENDS for hour in hours])
    is_held_out = is_first & (day_number % _HELD_OUT_EVERY == _HELD_OUT_EVERY - 1)
    count = table["cnt"].to_numpy()
    threshold = int(np.median(count[is_first & ~is_held_out]))
    busy = pa.array((count > threshold).astype(np.int64))
    table = table.select(list(FEATURES)).append_column(TARGET, busy)
    replay = np.flatnonzero(~is_first)
    return Rides(
        threshold=threshold,
        train=table.filter(pa.array(is_first & ~is_held_out)),
        holdout=table.filter(pa.array(is_held_out)),
        replay=table.take(pa.array(replay)),
        hours=tuple(hours[position] for position in replay),
    )


def in_utc(table: pa.Table) -> pa.Table:
    """Return the table as a faulty export would give it: the hour of day in UTC instead of local time."""
    position = table.column_names.index("hr")
    shifted = pc.cast(pc.add(pc.cast(table["hr"], pa.int64()), _UTC_OFFSET_H), pa.int64())
    wrapped = pc.if_else(pc.greater_equal(shifted, 24), pc.subtract(shifted, 24), shifted)
    return table.set_column(position, "hr", wrapped)
