"""The monitor on made traffic: silent while nothing changes, and right about what does."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest

from kilter.contracts.decision import OutboxEvent
from kilter.contracts.deployment import Deployment
from kilter.contracts.evidence import AuditRow
from kilter.contracts.ids import AlertId, Digest, ModelId, VersionId
from kilter.contracts.model import Conversion, FileEntry, Manifest, ModelVersion
from kilter.contracts.monitor import Alert, HealthState, MonitorTick, Signal, TrustState, Window
from kilter.contracts.signature import Column, ColumnType, Signature, Task
from kilter.contracts.spec import DataSpec, DeploymentSpec, ModelSpec, MonitorSpec
from kilter.errors import NotFound, StoreError
from kilter.measures.profile import codec
from kilter.measures.profile.reference import build
from kilter.services.governance import Governance
from kilter.services.monitor import Monitor
from kilter.stores.memory import MemoryBlobs, MemoryMetadata
from kilter.testing.traffic import Traffic, Versions

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from kilter.contracts.arrays import Array
    from kilter.contracts.metadata import Record, WriteTx
    from kilter.measures.rows import FloatArray

    T = TypeVar("T")
    R = TypeVar("R", bound=Record)

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = 3_600
SIGNATURE = Signature(
    task=Task.BINARY,
    target="churned",
    columns=(Column(name="usage", type=ColumnType.FLOAT), Column(name="plan", type=ColumnType.TEXT)),
    classes=("no", "yes"),
    positive="yes",
)


class Clock:
    at = START

    def now(self) -> datetime:
        return self.at

    def time_ns(self) -> int:
        return int(self.at.timestamp()) * 10**9


class Ids:
    def __init__(self) -> None:
        self.made = 0

    def new(self, prefix: str) -> str:
        self.made += 1
        return f"{prefix}_{self.made:08d}"


class DyingStore(MemoryMetadata):
    """Dies at the n-th write, before anything of it is kept."""

    writes_left = 10**9

    def write(self, fn: Callable[[WriteTx], T]) -> T:
        def run(tx: WriteTx) -> T:
            result = fn(tx)
            self.writes_left -= 1
            if self.writes_left < 0:
                message = "killed"
                raise StoreError(message)
            return result

        return super().write(run)


def rows(
    rng: np.random.Generator, n: int, *, shift: float = 0.0, tilt: float = 0.0, flip: bool = False
) -> tuple[dict[str, Array], FloatArray, list[str]]:
    """Make inputs, chances and truths; `tilt` breaks calibration but not ranking, `flip` both."""
    usage = rng.normal(shift, 1.0, n)
    plan = rng.choice(np.array(["free", "pro", "team"], dtype=object), n, p=[0.6, 0.3, 0.1])
    logit = 1.5 * usage + (plan == "pro")
    chance = 1 / (1 + np.exp(-logit))
    true = 1 / (1 + np.exp(-((-logit if flip else logit) + tilt)))
    labels = np.where(rng.random(n) < true, "yes", "no").tolist()
    return {"usage": usage, "plan": plan}, np.column_stack([1 - chance, chance]), labels


class World:
    def __init__(
        self, *, metadata: MemoryMetadata | None = None, reference_rows: int = 4_000, profile: bool = True
    ) -> None:
        self.rng = np.random.default_rng(7)
        self.metadata = metadata or MemoryMetadata()
        self.blobs = MemoryBlobs()
        self.traffic = Traffic(self.metadata, "churn")
        columns, scores, labels = rows(self.rng, reference_rows)
        truth = np.array([float(label == "yes") for label in labels])
        data = codec.encode_reference(build(SIGNATURE, columns, scores, truth))
        digest = self.blobs.put(data)
        files = (FileEntry(path="profile.bin", size_bytes=len(data), digest=digest),)
        self.versions = Versions(tuple(self.version(number, files, profile=profile) for number in (1, 2)))
        self.spec = DeploymentSpec(
            model=ModelSpec(name="churn", source="m.onnx"),
            data=DataSpec(label_delay_s=4 * HOUR),
            monitor=MonitorSpec(),
        )
        self.deployment = Deployment(
            id="churn", spec=self.spec, champion=1, previous=None, generation=1, created_at=START, updated_at=START
        )
        self.metadata.write(lambda tx: tx.add(self.deployment))
        self.hour = 0
        self.clock = Clock()
        self.restart()

    @staticmethod
    def version(number: int, files: tuple[FileEntry, ...], *, profile: bool) -> ModelVersion:
        return ModelVersion(
            id=VersionId(f"churn-{number}"),
            model_id=ModelId("churn"),
            model_name="churn",
            number=number,
            digest=Digest("sha256:" + str(number) * 64),
            manifest=Manifest(
                signature=SIGNATURE,
                runtime="onnx",
                runtime_file="m.onnx",
                files=files,
                conversion=Conversion(source_format="onnx", converted=False, reason=""),
                profile_file="profile.bin" if profile else "",
            ),
            origin="added",
            source="m.onnx",
            created_at=START,
        )

    def restart(self) -> None:
        self.monitor = Monitor(
            metadata=self.metadata,
            blobs=self.blobs,
            table=self.traffic,
            versions=self.versions,
            auditor=Governance(metadata=self.metadata, clock=self.clock),
            clock=self.clock,
            ids=getattr(self, "ids", None) or self.fresh_ids(),
        )

    def fresh_ids(self) -> Ids:
        self.ids = Ids()
        return self.ids

    def serve(
        self,
        n: int = 600,
        *,
        version: int = 1,
        arm: str = "champion",
        labelled: bool = True,
        shift: float = 0.0,
        tilt: float = 0.0,
        flip: bool = False,
    ) -> None:
        """One hour of traffic; labels come two hours later."""
        begin = int(START.timestamp() + self.hour * HOUR) * 10**9
        stamps = np.sort(begin + self.rng.integers(0, HOUR * 10**9, n))
        columns, scores, labels = rows(self.rng, n, shift=shift, tilt=tilt, flip=flip)
        self.traffic.add(
            stamps, scores, columns, version=version, arm=arm, labels=labels if labelled else None, delay_s=2 * HOUR
        )

    def tick(self) -> MonitorTick:
        """Move on by an hour."""
        self.hour += 1
        return self.monitor.tick("churn", self.now)

    @property
    def now(self) -> datetime:
        return START + timedelta(hours=self.hour)

    def all(self, kind: type[R]) -> tuple[R, ...]:
        return self.metadata.read(lambda tx: tx.list(kind, limit=5_000))

    def promote(self, number: int) -> None:
        self.deployment = replace(self.deployment, champion=number, version=self.deployment.version + 1)
        self.metadata.write(lambda tx: tx.replace(self.deployment))


def test_a_model_that_stays_right_is_never_alarmed() -> None:
    world = World()
    for _ in range(40):
        world.serve()
        world.tick()
    windows = world.all(Window)
    assert len(windows) == 40
    assert not world.all(Alert)
    assert sum(window.is_mature for window in windows) >= 36
    health = world.monitor.headline("churn")
    assert health.state is HealthState.FINE
    assert windows[-1].trust is TrustState.TRUSTED
    assert {event.topic for event in world.all(OutboxEvent)} == {"window.closed", "window.matured"}


def test_lost_calibration_with_ranking_intact_suggests_recalibration() -> None:
    world = World()
    for hour in range(20):
        world.serve(tilt=1.5 if hour >= 8 else 0.0)
        world.tick()
    alerts = {alert.family: alert for alert in world.all(Alert)}
    assert alerts["calibration"].suggestion == "recalibrate"
    assert alerts["calibration"].severity == "page"
    assert alerts["calibration"].opened_at > START + timedelta(hours=8)
    assert abs((alerts["calibration"].since - START).total_seconds() / HOUR - 8) <= 1
    assert 9 <= alerts["calibration"].window <= 13
    assert "more often than the model says" in alerts["calibration"].headline
    health = world.monitor.headline("churn")
    assert health.state is HealthState.ATTENTION
    topics = [event.topic for event in world.all(OutboxEvent)]
    assert "alert.opened" in topics
    assert "alert.opened" in {row.action for row in world.all(AuditRow)}
    assert world.all(Window)[-1].trust is TrustState.DISTRUSTED


def test_lost_ranking_suggests_refitting() -> None:
    world = World()
    for hour in range(14):
        world.serve(flip=hour >= 6)
        world.tick()
    suggestions = {alert.family: alert.suggestion for alert in world.all(Alert)}
    assert suggestions["performance"] == "refit"


def test_moved_inputs_without_harm_are_a_notice() -> None:
    world = World()
    for hour in range(20):
        world.serve(shift=0.6 if hour >= 6 else 0.0)
        world.tick()
    alerts = world.all(Alert)
    assert {alert.severity for alert in alerts} == {"notice"}
    drift = next(alert for alert in alerts if alert.family == "feature_drift")
    assert "`usage`" in drift.headline
    assert drift.suggestion == "look"
    assert world.monitor.headline("churn").state is HealthState.WATCH


def test_failing_requests_page() -> None:
    world = World()
    for hour in range(6):
        world.serve()
        if hour >= 3:
            ns = int(START.timestamp() + world.hour * HOUR + 60) * 10**9
            world.traffic.fail(ns, requests=100, failures=100)
        world.tick()
    alert = next(alert for alert in world.all(Alert) if alert.family == "operational")
    assert alert.severity == "page"
    assert "requests failed" in alert.headline


def test_a_new_champion_closes_the_alerts_of_the_old() -> None:
    world = World()
    for _ in range(10):
        world.serve(tilt=2.5)
        world.tick()
    assert [alert for alert in world.all(Alert) if alert.closed_at is None]
    world.promote(2)
    for _ in range(3):
        world.serve(version=2)
        world.tick()
    assert {alert.closed_reason for alert in world.all(Alert)} == {"superseded by version 2"}
    assert {signal.number for signal in world.all(Signal)} == {1, 2}
    assert world.monitor.headline("churn").state is not HealthState.ATTENTION


def test_recovery_closes_an_alert_after_three_windows() -> None:
    world = World(reference_rows=8_000)
    for hour in range(24):
        world.serve(3_000, flip=4 <= hour < 7)
        world.tick()
    alerts = [alert for alert in world.all(Alert) if alert.family == "performance"]
    assert alerts[0].closed_reason == "3 windows in a row within tolerance"


def test_small_windows_grow_until_they_hold_enough_rows() -> None:
    world = World()
    for _ in range(12):
        world.serve(100)
        world.tick()
    windows = world.all(Window)
    assert [window.rows for window in windows] == [500, 500]
    assert windows[0].end_at - windows[0].start_at == timedelta(hours=5)


def test_silence_is_stopped_and_never_fine() -> None:
    world = World()
    world.serve()
    for _ in range(26):
        world.tick()
    windows = world.all(Window)
    assert [window.rows for window in windows] == [600, 0]
    assert windows[1].is_mature
    assert world.monitor.headline("churn").state is HealthState.STOPPED


def test_nothing_is_said_before_there_is_data() -> None:
    world = World()
    assert world.tick().closed == 0
    assert world.monitor.headline("churn").state is HealthState.UNKNOWN
    world.serve(labelled=False)
    world.tick()
    health = world.monitor.headline("churn")
    assert health.state is HealthState.UNKNOWN
    assert health.rows_needed > 0
    with pytest.raises(NotFound):
        world.monitor.tick("absent", world.now)


def test_labels_that_never_come_are_counted_as_missing() -> None:
    world = World()
    world.serve(labelled=False)
    for _ in range(6):
        world.tick()
    window = world.all(Window)[0]
    assert window.is_mature
    assert window.coverage is not None
    assert (window.coverage.joined, window.coverage.missing) == (0, 600)
    assert window.realised[0].not_evaluated == "too_few_labels: 0 of 30 labels"
    assert not [signal for signal in world.all(Signal) if signal.family in ("performance", "calibration")]


def test_rows_that_are_gone_when_their_labels_are_due_do_no_harm() -> None:
    world = World()
    world.serve()
    world.tick()
    world.traffic.forget()
    for _ in range(5):
        world.tick()
    window = world.all(Window)[0]
    assert window.is_mature
    assert window.coverage is not None
    assert window.coverage.predictions == 0


def test_only_the_champions_own_traffic_counts() -> None:
    world = World()
    world.serve(600)
    world.serve(300, version=2, arm="challenger", flip=True)
    world.serve(300, version=1, arm="pinned", flip=True)
    world.serve(200, version=1, arm="control")
    world.tick()
    assert [(window.number, window.rows) for window in world.all(Window)] == [(1, 800)]


def test_two_versions_in_one_window_are_profiled_apart() -> None:
    world = World()
    world.serve(400)
    world.serve(300, version=2)
    world.tick()
    assert [(window.number, window.rows) for window in world.all(Window)] == [(1, 400), (2, 300)]


def test_a_version_without_a_reference_is_still_counted() -> None:
    world = World(profile=False)
    for _ in range(4):
        world.serve()
        world.tick()
    window = world.all(Window)[0]
    assert window.rows == 600
    assert window.trust is TrustState.UNAVAILABLE
    assert next(one for one in window.realised if one.metric == "accuracy_score").estimate is not None
    assert not world.all(Signal)
    world.hour += 25
    world.monitor.tick("churn", world.now)
    assert world.all(Window)[-1].rows == 0


def test_a_small_reference_is_said() -> None:
    world = World(reference_rows=120)
    for _ in range(4):
        world.serve()
        world.tick()
    assert "reference has only 120 rows" in world.monitor.headline("churn").sentence
    assert world.all(Window)[0].trust is TrustState.UNAVAILABLE


def test_a_tick_reads_only_what_is_new() -> None:
    world = World()
    costs = []
    for _ in range(30):
        world.serve()
        before = world.traffic.rows_read
        world.tick()
        costs.append(world.traffic.rows_read - before)
    assert max(costs[20:]) <= max(costs[5:15])


def snapshot(world: World) -> list[object]:
    alerts = [(alert.family, alert.headline, alert.since, alert.repeats) for alert in world.all(Alert)]
    windows = [(one.id, one.rows, one.is_mature, one.profile, one.realised, one.coverage) for one in world.all(Window)]
    signals = [(signal.id, signal.state, signal.version) for signal in world.all(Signal)]
    return [alerts, windows, signals, len(world.all(OutboxEvent)), len(world.all(AuditRow))]


def test_a_tick_killed_at_any_write_ends_as_one_that_was_not() -> None:
    def run(store: DyingStore, *, is_killed: bool) -> World:
        world = World(metadata=store)
        for _ in range(8):
            world.serve(tilt=2.0)
            world.hour += 1
            deaths = 0
            while is_killed:
                store.writes_left = 1
                try:
                    world.monitor.tick("churn", world.now)
                except StoreError:
                    deaths += 1
                    world.restart()
                else:
                    assert deaths > 0 or world.hour < 3
                    break
            store.writes_left = 10**9
            world.monitor.tick("churn", world.now)
        return world

    whole = run(DyingStore(), is_killed=False)
    killed = run(DyingStore(), is_killed=True)
    assert snapshot(killed) == snapshot(whole)
    again = killed.monitor.tick("churn", killed.now)
    assert (again.closed, again.matured, again.opened) == (0, 0, ())


def test_a_canary_that_takes_half_of_the_traffic_halves_the_windows_and_nothing_else() -> None:
    world = World()
    for _ in range(12):
        world.serve(300, arm="control")
        world.serve(300, version=2, arm="challenger", flip=True)
        world.tick()
    windows = world.all(Window)
    assert [(window.number, window.rows) for window in windows] == [(1, 600)] * 6
    assert windows[0].end_at - windows[0].start_at == timedelta(hours=2)
    judged = [window.coverage for window in windows if window.is_mature]
    assert len(judged) == 5
    assert {(one.predictions, one.joined) for one in judged if one is not None} == {(600, 600)}
    signals = [signal for signal in world.all(Signal) if signal.family == "performance"]
    assert {(signal.number, signal.state.windows) for signal in signals} == {(1, 5)}
    assert [alert for alert in world.all(Alert) if alert.family == "performance"] == []


def test_a_window_that_holds_a_promotion_is_judged_for_each_version_on_its_own_rows() -> None:
    world = World()
    world.serve(500, flip=True)
    world.promote(2)
    world.serve(100, version=2)
    world.tick()
    for _ in range(4):
        world.serve(version=2)
        world.tick()
    first = [window for window in world.all(Window) if window.start_at == START]
    counted = [(window.number, window.coverage.joined) for window in first if window.coverage is not None]
    assert counted == [(1, 500), (2, 100)]
    old, new = (next(one for one in window.realised if one.metric == "accuracy_score") for window in first)
    assert old.n == 500
    assert new.n == 100
    assert (old.estimate or 0.0) < 0.5 < (new.estimate or 0.0)
    assert {alert.number for alert in world.all(Alert)} <= {2}
    assert not [alert for alert in world.all(Alert) if alert.family == "performance"]


def test_a_new_champion_whose_every_request_fails_is_judged_though_it_answered_nothing() -> None:
    world = World()
    world.promote(2)
    for _ in range(4):
        world.serve(600)
        world.traffic.fail(int(world.now.timestamp() + 60) * 10**9, requests=200, failures=200, version=2)
        world.tick()
    assert {(window.number, window.rows) for window in world.all(Window)} == {(1, 600), (2, 0)}
    assert {(alert.family, alert.number) for alert in world.all(Alert)} == {("operational", 2)}


def test_before_the_first_window_the_rows_so_far_and_its_end_are_said() -> None:
    world = World()
    assert "no prediction is logged" in world.monitor.headline("churn").sentence
    world.serve(1_543)
    world.serve(50, version=2, arm="challenger")
    world.clock.at = START + timedelta(hours=1)
    health = world.monitor.headline("churn")
    assert (health.state, health.rows_needed) == (HealthState.UNKNOWN, 0)
    assert "1,543 predictions are logged" in health.sentence
    world.tick()
    world.promote(2)
    assert "0 of 500 predictions are logged; the window ends at 2026-01-01 02:00" in (
        world.monitor.headline("churn").sentence
    )


def test_a_champion_without_rows_beside_a_busy_candidate_is_not_called_stopped() -> None:
    world = World()
    world.serve()
    world.tick()
    for _ in range(25):
        world.serve(10, version=2, arm="challenger")
        world.tick()
    assert world.all(Window)[-1].rows == 0
    health = world.monitor.headline("churn")
    assert (health.state, "240 predictions" in health.sentence) == (HealthState.UNKNOWN, True)


def test_an_outage_is_judged_at_the_end_of_its_first_window() -> None:
    world = World()
    world.serve()
    world.tick()
    for _ in range(2):
        world.traffic.fail(int(world.now.timestamp() + 60) * 10**9, requests=900, failures=900)
        world.tick()
    assert [window.rows for window in world.all(Window)] == [600, 0, 0]
    assert [alert.family for alert in world.all(Alert)] == ["operational"]


def test_an_alert_of_the_control_loop_outlives_a_promotion() -> None:
    world = World()
    for _ in range(10):
        world.serve(tilt=2.5)
        world.tick()
    found = next(alert for alert in world.all(Alert) if alert.closed_at is None)
    own = replace(found, id=AlertId("own"), family="control", version=1)
    world.metadata.write(lambda tx: tx.add(own))
    world.promote(2)
    world.tick()
    assert [alert.family for alert in world.all(Alert) if alert.closed_at is None] == ["control"]
