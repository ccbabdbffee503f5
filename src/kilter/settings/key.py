"""Every key of ``kilter.toml``: its table, its field in the tree, and how its value is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kilter.settings import value as read

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DEPLOYMENT_TABLES", "GATE_KEYS", "ROOT_TABLES", "TOP_LEVEL", "Key"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key: ``field`` is its name in the record (the key itself unless a unit is added)."""

    name: str
    read: read.Reader
    about: str
    field: str = ""
    is_path: bool = False
    is_required: bool = False

    @property
    def target(self) -> str:
        """Name of the record's field."""
        return self.field or self.name


TOP_LEVEL = ("schema", "include")

ROOT_TABLES: Mapping[str, tuple[Key, ...]] = {
    "project": (
        Key(name="name", read=read.text, about="name shown in the dashboard"),
        Key(name="home", read=read.text, about="folder that holds everything kilter writes", is_path=True),
        Key(name="clock", read=read.text, about='"system", or "replay:PATH" for a replayed clock'),
    ),
    "server": (
        Key(name="host", read=read.host, about="address of the control plane"),
        Key(name="port", read=read.integer(1, 65_535), about="port of the control plane and dashboard"),
        Key(name="allowed_hosts", read=read.texts, about="names by which browsers may call it"),
    ),
    "serving": (
        Key(name="host", read=read.host, about="address of the data plane"),
        Key(name="port", read=read.integer(1, 65_535), about="port of the data plane"),
        Key(name="grpc_port", read=read.integer(0, 65_535), about="port of the data plane's gRPC; 0 = none"),
        Key(
            name="metrics_port",
            read=read.integer(0, 65_535),
            about="port of `GET /metrics`; 0 = that of the data plane",
        ),
        Key(name="workers", read=read.integer(0, 256), about="serving processes; 0 = one per usable core"),
        Key(name="body_max", read=read.size, field="body_max_bytes", about="largest request body"),
        Key(
            name="fast_path",
            read=read.choice("auto", "off", "require"),
            about="answer plain requests inside the parser: auto = if the installed uvicorn allows it",
        ),
        Key(name="drain_s", read=read.number(0, 600), about="seconds given to requests at shutdown"),
        Key(name="prepare_timeout_s", read=read.number(1, 3_600), about="seconds given to load a new version"),
        Key(
            name="repository_control",
            read=read.choice("off", "local"),
            about="whether clients may unload models of this node: off, or local until the next route table",
        ),
        Key(name="default_deployment", read=read.text, about="whom `POST /invocations` asks; default the only one"),
    ),
    "control": (Key(name="poll_s", read=read.number(0.01, 60), about="seconds between two turns of the control loop"),),
}

DEPLOYMENT_TABLES: Mapping[str, tuple[Key, ...]] = {
    "model": (
        Key(name="name", read=read.model_name, about="name of model and deployment", is_required=True),
        Key(name="source", read=read.text, about="path of the model file", is_path=True, is_required=True),
        Key(name="version", read=read.text, about='"auto", or a registered number to keep live'),
        Key(
            name="task",
            read=read.choice("auto", "binary", "multiclass", "regression"),
            about="kind of answer; auto = inferred from model and data",
        ),
        Key(name="target", read=read.text, about="column that holds the truth"),
        Key(name="positive", read=read.text, about="class whose probability is the score; default the rarer"),
        Key(name="owner", read=read.text, about="who answers for the model"),
        Key(name="purpose", read=read.text, about="what it is for"),
        Key(name="risk", read=read.choice("minimal", "limited", "high"), about="sets the default gates"),
        Key(name="trust", read=read.boolean, about="allow a file format that runs code on load, in a sandbox"),
    ),
    "data": (
        Key(name="reference", read=read.text, about="table that the reference profile is built from", is_path=True),
        Key(name="holdout", read=read.text, about="table that the gates use; default the reference", is_path=True),
        Key(name="id", read=read.text, about="entity key column"),
        Key(name="time", read=read.text, about="event time column"),
        Key(name="protected", read=read.texts, about="columns for checking, never for predicting"),
        Key(name="pii", read=read.texts, about="personal columns: never logged in clear, never shown"),
        Key(
            name="label_delay",
            read=read.optional_duration,
            field="label_delay_s",
            about="time after which a missing label is missing; auto = learned from arrivals",
        ),
    ),
    "deployment": (
        Key(name="deadline_ms", read=read.integer(1, 60_000), about="time in which a request must be answered"),
        Key(name="max_batch_rows", read=read.integer(1, 65_536), about="most rows of one request, or of one batch"),
        Key(
            name="max_in_flight",
            read=read.integer(1, 1_024),
            about="most requests that wait or run at once in a serving process",
        ),
        Key(
            name="on_overload",
            read=read.choice("shed", "fallback"),
            about="more requests than can be answered in time: refuse (429), or answer from fallback",
        ),
        Key(
            name="on_error",
            read=read.choice("closed", "open"),
            about="failing model: say so (500), or answer from fallback",
        ),
        Key(name="fallback", read=read.fallback, about='"last_good", "constant:VALUE" or "NAME@VERSION"'),
    ),
    "log": (
        Key(
            name="durable",
            read=read.choice("memory", "process", "disk"),
            about="when a prediction counts as written: process survives kill -9, disk survives loss of power",
        ),
        Key(name="on_full", read=read.choice("fail", "count"), about="full disk: refuse (503), or answer and count"),
    ),
    "rollout": (
        Key(name="strategy", read=read.choice("canary", "shadow"), about="how a new version takes over"),
        Key(name="key", read=read.text, about="sticky column; default the entity key, else the request id"),
        Key(name="steps", read=read.steps, about="per cent of traffic at each step"),
        Key(name="step_min", read=read.duration, field="step_min_s", about="least time of a step"),
        Key(
            name="step_max",
            read=read.duration,
            field="step_max_s",
            about="longest time of a step before a person is asked",
        ),
        Key(name="min_units", read=read.integer(1, 10**9), about="least requests per arm and step"),
        Key(name="deadline", read=read.duration, field="deadline_s", about="longest time of the whole rollout"),
        Key(name="hold_max", read=read.duration, field="hold_max_s", about="longest time a rollout waits for a person"),
        Key(name="margins", read=read.margins, about="harm margins by metric, frozen at the start"),
        Key(name="promote_without_labels", read=read.boolean, about="go above 25 per cent without realised loss"),
    ),
    "monitor": (
        Key(name="window", read=read.duration, field="window_s", about="length of a window"),
        Key(name="min_rows", read=read.integer(20, 10**9), about="smaller windows merge forward"),
        Key(name="every", read=read.duration, field="every_s", about="time between two looks"),
        Key(name="pages", read=read.period, field="pages_period_s", about="false-alarm budget of pages"),
        Key(name="notices", read=read.period, field="notices_period_s", about="false-alarm budget of notices"),
        Key(name="drift_tolerance", read=read.number(0, 1), about="shift of a share that is no drift"),
        Key(name="loss_tolerance_absolute", read=read.number(0, 1), about="loss of accuracy that is no harm"),
        Key(name="loss_tolerance_relative", read=read.number(0, 1), about="relative rise of risk that is no harm"),
        Key(name="calibration_tolerance", read=read.number(0, 1), about="gap between stated and observed share"),
    ),
    "retrain": (
        Key(name="triggers", read=read.texts, about="families of alerts that start a repair"),
        Key(name="action", read=read.choice("ladder", "refit", "ask"), about="ladder = cheapest repair first"),
        Key(name="auto_recalibrate", read=read.boolean, about="roll a recalibrated version out without asking"),
        Key(name="command", read=read.text, about='training function as "module:function"'),
        Key(name="min_labels", read=read.integer(50, 10**9), about="labels needed to learn from"),
        Key(name="cool_down", read=read.duration, field="cool_down_s", about="time between two repairs"),
        Key(name="per_week", read=read.integer(0, 1_000), about="automatic repairs in seven days"),
        Key(name="deadline", read=read.duration, field="deadline_s", about="longest time of one training"),
        Key(name="promote", read=read.choice("review", "auto"), about="who lets a retrained version roll out"),
    ),
}

GATE_KEYS: tuple[Key, ...] = (
    Key(name="metric", read=read.text, about="any measure by name", is_required=True),
    Key(name="min", read=read.number(-1e308, 1e308), about="least value"),
    Key(name="max", read=read.number(-1e308, 1e308), about="largest value"),
    Key(name="no_worse_than", read=read.text, about='"live", "NAME@VERSION" or "baseline:dummy"'),
    Key(name="margin", read=read.number(0, 1e308), about="difference that still counts as no worse"),
    Key(name="slices", read=read.texts, about="columns in whose slices the rule is judged"),
    Key(name="min_rows", read=read.integer(1, 10**9), about="least rows of a slice"),
    Key(name="required", read=read.boolean, about="whether a missing reading blocks"),
    Key(name="on_fail", read=read.choice("block", "review", "warn"), about="what a failed gate does"),
    Key(name="on_inconclusive", read=read.choice("auto", "block", "review", "warn"), about="what no answer does"),
)
